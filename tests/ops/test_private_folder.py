"""Compiled code is loaded from where only this user or root can have put it."""

import logging
import os
import stat
import subprocess
from pathlib import Path

import pytest

from seq2seq.errors import UserError
from seq2seq.ops import private_folder
from seq2seq.ops.private_folder import make_private, remove_foreign
from tests.forked_commands import forked_python

LOAD = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
from seq2seq.ops import compile
def compiled(self, compiler, target):
    print("compiling")
    import shutil
    shutil.copy(sys.argv[1], target)
compile.Compilation.run = compiled
print("loaded", compile.load() is not None)
"""


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o000])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_a_folder_is_made_for_its_owner_alone(umask, tmp_path):
    make_private(tmp_path / "new" / "kernels")
    assert mode(tmp_path / "new" / "kernels") & 0o077 == 0


def test_an_open_folder_of_ones_own_is_closed(tmp_path):
    tmp_path.chmod(0o777)
    make_private(tmp_path)
    assert mode(tmp_path) == 0o700


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(private_folder.os, "getuid", lambda: os.geteuid() + 12345)
    if os.geteuid() == 0:
        os.chown(tmp_path, 4321, -1)
    with pytest.raises(UserError, match="SEQ2SEQ_KERNELS"):
        make_private(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "file", "link", "linked file"])
def test_what_others_may_have_written_is_removed(kind, tmp_path, caplog):
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "kernels.so").write_bytes(b"kept")
    if kind == "link":
        target.symlink_to(elsewhere)
    else:
        target.mkdir(mode=0o700)
        library = target / "kernels.so"
        if kind == "linked file":
            library.symlink_to(elsewhere / "kernels.so")
        else:
            library.write_bytes(b"foreign")
            (library if kind == "file" else target).chmod(0o777)
    remove_foreign(target)
    assert not os.path.lexists(target)
    assert (elsewhere / "kernels.so").read_bytes() == b"kept"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_ones_own_is_left(umask, tmp_path, caplog):
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (target / "kernels.so").write_bytes(b"ours")
    (target / "kernels.so").chmod(0o700)
    remove_foreign(target)
    assert (target / "kernels.so").exists()
    assert not caplog.records


@pytest.mark.compiled
@pytest.mark.parametrize("umask", [0], indirect=True)
def test_damaged_and_foreign_code_is_never_loaded(tmp_path, umask):
    from seq2seq.ops import compile

    compile.library()
    folder = compile._fingerprint(compile.find_compiler())
    compiled = Path(os.environ["SEQ2SEQ_KERNELS"]) / folder / "kernels.so"

    def load():
        environment = os.environ | {"SEQ2SEQ_KERNELS": str(tmp_path / "kernels")}
        done = subprocess.run(
            [forked_python(), "-c", LOAD, compiled],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-500:]
        lines = done.stdout.splitlines()
        assert lines[-1] == "loaded True"
        return "compiling" in lines

    assert load()
    assert not load()
    (made,) = (tmp_path / "kernels").glob("*/kernels.so")
    made.write_bytes(made.read_bytes()[: made.stat().st_size // 2])
    assert load()  # half of it: a signal for whoever maps it
    made.write_bytes(b"garbage")
    assert load()
    made.chmod(0o777)
    assert load()
    assert not load()
