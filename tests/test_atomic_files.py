import hashlib
import json
import os
from pathlib import Path

import pytest

from seq2seq.files import (
    CHECKSUMS,
    atomic_file,
    atomic_folder,
    damaged_files,
    remove_unfinished,
    write_text,
)


def written_by_half(path):
    with atomic_file(path) as aside:
        aside.write_text("half")
        raise KeyboardInterrupt


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "übersetzt\n")
    assert path.read_bytes() == b"\xc3\xbcbersetzt\n"
    with pytest.raises(KeyboardInterrupt):
        written_by_half(path)
    assert path.read_bytes() == b"\xc3\xbcbersetzt\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_whole_or_stays(tmp_path):
    target = tmp_path / "model"
    with atomic_folder(target) as aside:
        write_text(aside / "weights", "first")
    with pytest.raises(OSError, match="not empty"), atomic_folder(target):
        pass
    with pytest.raises(ValueError, match="stop"), atomic_folder(target, replace=True):
        raise ValueError("stop")
    assert (target / "weights").read_text() == "first"
    with atomic_folder(target, replace=True) as aside:
        write_text(aside / "weights", "second")
    assert (target / "weights").read_text() == "second"
    assert os.listdir(tmp_path) == ["model"]


def test_checksums_are_those_of_hashlib(tmp_path):
    with atomic_folder(tmp_path / "t") as aside:
        write_text(aside / "sub" / "a", "content")
    sums = json.loads((tmp_path / "t" / CHECKSUMS).read_text())
    assert sums == {"sub/a": [7, hashlib.sha256(b"content").hexdigest()]}


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "removed", "grown"])
def test_any_damage_to_a_file_is_seen(tmp_path, damage):
    with atomic_folder(tmp_path / "t") as folder:
        (folder / "a").write_bytes(bytes(range(256)))
        (folder / "b").write_bytes(b"")
    path = tmp_path / "t" / "a"
    assert damaged_files(tmp_path / "t") == []
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    changed = {"cut": content[:-8], "flipped": content, "emptied": b"", "grown": content + b"x"}
    path.unlink() if damage == "removed" else path.write_bytes(changed[damage])
    assert damaged_files(tmp_path / "t") == ["a"]


@pytest.mark.parametrize("text", ["", "[", "[]", '{"a": 1}', "[" * 100_000, '{"a": ["x", 1]}'])
def test_unreadable_checksums_are_damage(tmp_path, text):
    (tmp_path / CHECKSUMS).write_text(text)
    assert damaged_files(tmp_path) == [CHECKSUMS]


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    pid = os.fork()
    if not pid:
        with atomic_file(tmp_path / "a") as aside:
            aside.write_text("half")
            os._exit(1)
    os.waitpid(pid, 0)
    (tmp_path / "kept").write_text("")
    assert len(os.listdir(tmp_path)) == 2
    remove_unfinished(tmp_path)
    assert os.listdir(tmp_path) == ["kept"]


def test_a_folder_whose_replacement_cannot_be_renamed_stays(tmp_path, monkeypatch):
    target = tmp_path / "model"
    with atomic_folder(target) as new:
        (new / "weights").write_text("old")
    rename = Path.rename

    def failing(self, to):
        if self.parent.name.startswith(".unfinished-") and self.name == "model":
            raise OSError(5, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"), atomic_folder(target, replace=True) as new:
        (new / "weights").write_text("new")
    assert (target / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
