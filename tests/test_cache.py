import threading
from pathlib import Path

import pytest

from seq2seq.cache import cache_directory, ensure_directory
from seq2seq.errors import UserError


def test_cache_directory(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_directory() == Path("/somewhere/seq2seq")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_directory() == Path("/home/ada/.cache/seq2seq")


def test_written_once(tmp_path):
    target = tmp_path / "below" / "target"
    ensure_directory(target, lambda path: (path / "a").write_text("first"))
    ensure_directory(target, lambda path: (path / "a").write_text("second"))
    assert (target / "a").read_text() == "first"


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (ValueError, ValueError),
        (KeyboardInterrupt, KeyboardInterrupt),
        (OSError(28, "No space left on device"), UserError),
    ],
)
def test_a_failure_leaves_nothing(tmp_path, error, seen):
    def write(path):
        (path / "half").write_text("...")
        raise error

    with pytest.raises(seen):
        ensure_directory(tmp_path / "target", write)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot be written .*XDG_CACHE_HOME"):
        ensure_directory(tmp_path / "file" / "target", lambda path: None)


def test_two_at_once_give_one_complete_folder(tmp_path):
    both_write = threading.Barrier(2)

    def write(path, name):
        (path / "a").write_text(name)
        both_write.wait(timeout=10)
        (path / "b").write_text(name)

    def ensure(name):
        ensure_directory(tmp_path / "target", lambda path: write(path, name))

    threads = [threading.Thread(target=ensure, args=[name]) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    contents = [(tmp_path / "target" / name).read_text() for name in "ab"]
    assert contents in (["one", "one"], ["two", "two"])


def test_a_damaged_folder_is_made_anew_and_said(tmp_path, caplog):
    target = tmp_path / "target"
    for text in ("right", "right"):
        ensure_directory(target, lambda path, text=text: (path / "a").write_text(text))
        (target / "a").write_text("wrong")
    ensure_directory(target, lambda path: (path / "a").write_text("right"))
    assert (target / "a").read_text() == "right"
    assert [r.getMessage() for r in caplog.records] == [
        f"{target} is damaged (a) and is written again",
        f"{target} is damaged (a) and is written again",
    ]
