"""Faults at system calls: the library that performs them, the states of crashes, and a sample."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults import shim
from benchmarks.faults.__main__ import parser
from benchmarks.faults.folder_states import CrashRecorder
from benchmarks.faults.fork_server import fork_server
from benchmarks.faults.shim import Call, read_log
from benchmarks.faults.system_calls import (
    CRASHES,
    IDENTICAL,
    NOT_REACHED,
    REFUSED,
    Outcome,
    Training,
    Trial,
    is_clear,
    read_outcomes,
    table,
)
from benchmarks.faults.trainings import differences, results

pytestmark = pytest.mark.skipif(shim.compiler() is None, reason="there is no C compiler")

FULL = "No space left on device"

WRITES = """
import os, sys
from pathlib import Path
os.chdir(sys.argv[1])
Path("../outside").write_bytes(b"not counted")
for name in "ab":
    try:
        with open(name, "wb", buffering=0) as file:
            file.write(b"12345678")
            os.fsync(file.fileno())
    except OSError as error:
        print(name, error.strerror)
try:
    os.replace("a", "c")
    print("done")
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return shim.compiled(tmp_path_factory.mktemp("library"))


def faulty(library, folder, program=WRITES, fault="none", at=0):
    """Runs a program with a fault; returns its exit code, its output, and names of its calls."""
    place, log = folder / "place", folder / "log"
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", program, str(place)],
        env=shim.environment(library, place, fault, at, str(log)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.returncode, done.stdout.split("\n")[:-1], read_log(log)


def contents(folder):
    return {path.name: path.read_bytes() for path in (folder / "place").iterdir()}


def test_calls_below_the_folder_are_counted(library, tmp_path):
    code, lines, calls = faulty(library, tmp_path)
    assert (code, lines) == (0, ["done"])
    place = tmp_path / "place"
    assert [each.relative_to(place) for each in calls] == [
        "open a", "write a", "fsync a", "open b", "write b", "fsync b", "rename a c",
    ]  # fmt: skip
    assert [each.number for each in calls] == list(range(1, 8))
    assert (calls[1].size, calls[1].result, calls[1].offset) == (8, 8, 0)


OTHERS = """
import os, shutil, sqlite3, sys, tempfile
os.chdir(sys.argv[1])
folder = tempfile.mkdtemp(dir=".")
with open(f"{folder}/a", "wb") as file:
    file.write(b"0123456789" * 1000)
    file.truncate(5)
shutil.copyfile(f"{folder}/a", "copy")
os.truncate("copy", 3)
os.link("copy", "link")
os.symlink("copy", "symbolic")
os.chmod("copy", 0o600)
with open("copy", "r+b") as file:
    os.pwrite(file.fileno(), b"xy", 1)
    os.writev(file.fileno(), [b"a", b"b"])
shutil.rmtree(folder)
connection = sqlite3.connect("data.db")
connection.execute("CREATE TABLE t (a)")
connection.close()
os.execvp("cp", ["cp", "copy", "copy2"])
"""


def test_all_kinds_of_calls_are_counted_and_no_other_program(library, tmp_path):
    code, _, calls = faulty(library, tmp_path, OTHERS)
    assert code == 0
    names = {each.name for each in calls}
    assert names >= {
        "mkdir", "open", "write", "ftruncate", "truncate", "link", "symlink", "chmod", "pwrite",
        "writev", "unlink", "rmdir", "fdatasync",
    }  # fmt: skip
    assert names & {"sendfile", "copy_file_range"}
    assert any(each.path.endswith("data.db-journal") for each in calls)
    assert not any("copy2" in each.path for each in calls)
    assert contents(tmp_path)["copy2"] == b"aby"


@pytest.mark.parametrize(
    ("fault", "at", "lines", "files"),
    [
        ("ENOSPC", 2, ["a " + FULL, "done"], {"b": b"12345678", "c": b""}),
        ("EIO", 6, ["b Input/output error", "done"], {"b": b"12345678", "c": b"12345678"}),
        (
            "ENOSPC_on",
            5,
            ["b No space left on device", "No space left on device"],
            {"a": b"12345678", "b": b""},
        ),
    ],
)
def test_calls_fail(library, tmp_path, fault, at, lines, files):
    code, printed, _ = faulty(library, tmp_path, fault=fault, at=at)
    assert (code, printed, contents(tmp_path)) == (0, lines, files)


@pytest.mark.parametrize(
    ("fault", "at", "files"),
    [
        ("kill_before", 2, {"a": b""}),
        ("kill_after", 2, {"a": b"12345678"}),
        ("torn", 5, {"a": b"12345678", "b": b"1234"}),
        ("kill_after", 7, {"c": b"12345678", "b": b"12345678"}),
    ],
)
def test_the_process_is_killed(library, tmp_path, fault, at, files):
    code, lines, calls = faulty(library, tmp_path, fault=fault, at=at)
    assert (code, lines) == (-signal.SIGKILL, [])
    assert calls[-1].number == at
    assert contents(tmp_path) == files


def test_a_write_that_is_short_goes_on(library, tmp_path):
    program = WRITES.replace(", buffering=0", "")
    code, lines, calls = faulty(library, tmp_path, program, "short_write", 3)
    assert (code, lines, contents(tmp_path)["c"]) == (0, ["done"], b"12345678")
    assert [each.result for each in calls if each.name == "write"][:2] == [4, 4]


THREADS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
os.chdir(sys.argv[1])
def write(number):
    with open(str(number), "wb", buffering=0) as file:
        for _ in range(50):
            file.write(b"x")
with ThreadPoolExecutor(8) as pool:
    list(pool.map(write, range(8)))
"""


def test_calls_of_threads_are_counted_one_by_one(library, tmp_path):
    _, _, calls = faulty(library, tmp_path, THREADS)
    assert [each.number for each in calls] == list(range(1, 8 * 51 + 1))


def call(name, path, second="", offset=0, result=0):
    return Call(1, name, str(path), str(second) if second else "", offset, result, result)


@pytest.fixture
def crashes(tmp_path):
    """Returns the states after a call, by fault: the files by name."""
    recorder = CrashRecorder(tmp_path)

    def after(*arguments, **options):
        found = recorder.after(call(*arguments, **options))
        return {each.fault: dict(each.state.contents) for each in found}

    return after


def test_a_torn_write_leaves_half(tmp_path, crashes):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    crashes("open", path)
    path.write_bytes(b"oldabcd")
    found = crashes("write", path, offset=3, result=4)
    assert found["kill"] == {"a": b"oldabcd"}
    assert found["torn"] == {"a": b"oldab"}


def test_what_was_not_synced_is_lost(tmp_path, crashes):
    path = tmp_path / "a"
    path.write_bytes(b"first")
    found = crashes("write", path, result=5)
    assert (found["power_loss"], found["power_loss_names"]) == ({"a": b""}, {})
    found = crashes("fsync", path)
    assert (found["power_loss"], found["power_loss_names"]) == ({"a": b"first"}, {})
    found = crashes("fsync", tmp_path)
    assert found["power_loss_names"] == {"a": b"first"}
    path.write_bytes(b"second")
    found = crashes("write", path, result=6)
    assert found["power_loss"] == found["power_loss_names"] == {"a": b"first"}


def test_a_rename_without_a_sync_of_the_folder_may_be_undone(tmp_path, crashes):
    old, new = tmp_path / "a", tmp_path / "below" / "b"
    new.parent.mkdir()
    for path, content in ((old, b"old"), (new, b"new")):
        path.write_bytes(content)
        crashes("fsync", path)
    crashes("fsync", new.parent)
    synced = crashes("fsync", tmp_path)["power_loss_names"]
    assert synced == {"a": b"old", "below": None, "below/b": b"new"}
    os.replace(new, old)
    found = crashes("rename", new, old)
    assert found["power_loss"] == {"a": b"new", "below": None}
    assert found["power_loss_names"] == synced
    assert crashes("fsync", tmp_path)["power_loss_names"] == {**synced, "a": b"new"}


def test_a_state_is_made_again(tmp_path):
    recorder = CrashRecorder(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a").write_bytes(b"1")
    state = recorder.after(call("open", tmp_path / "a"))[0].state
    state.restore(tmp_path / "other")
    again = CrashRecorder(tmp_path / "other").after(call("open", tmp_path))[0].state
    assert again.key() == state.key()


def test_messages_and_outcomes(tmp_path):
    assert is_clear("saving\nseq2seq: error: disk: full\n")
    assert not is_clear("seq2seq: error: disk: full\nTraceback (most recent call last)\n")
    assert not is_clear("killed\n")
    outcomes = [
        Outcome("t", "none", "EIO", number, "write a", outcome)
        for number, outcome in enumerate(
            (IDENTICAL, REFUSED, REFUSED, "different: model", NOT_REACHED)
        )
    ]
    assert table(outcomes).splitlines()[2].split(maxsplit=1) == ["write", "1/2/1 -1"]
    assert read_outcomes(tmp_path / "none.jsonl") == []


def test_results_are_compared(tmp_path):
    for name, seconds in (("a", 1), ("b", 2)):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "model" / "config.yaml").write_text("x: 1\n")
        (tmp_path / name / "metrics.json").write_text(f'{{"test": 1, "seconds": {seconds}}}')
    a, b = (results(tmp_path / name) for name in "ab")
    assert a == b
    (tmp_path / "b" / "model" / "config.yaml").write_text("x: 2\n")
    assert differences(a, results(tmp_path / "b")) == ["model/config.yaml"]


def test_the_command_line():
    options = parser().parse_args(
        ["system_calls", "--task", "tagging", "--every", "7", "--fault", "kill", "--fault", "EIO"]
    )
    assert (options.task, options.every, options.fault) == ("tagging", 7, ["kill", "EIO"])
    options = parser().parse_args(["readers", "--inputs", "5"])
    assert (options.inputs, options.seed) == (5, 1)


TOY = """
import json, os, pathlib, sys, tempfile

way, run = sys.argv[1], pathlib.Path(sys.argv[2])

def sync(path):
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)

def save(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if way == "in_place":
        path.write_text(text)
        return
    aside = path.with_suffix(".aside")
    aside.write_text(text)
    if way != "unsynced":
        sync(aside)
    os.replace(aside, path)
    sync(path.parent)

try:
    saved = run / "checkpoint.json"
    step, weight = json.loads(saved.read_text()) if saved.exists() else (0, 1)
    for step in range(step, 2):
        weight = 3 * weight + step
        save(saved, json.dumps([step + 1, weight]))
    save(run / "model" / "weights.json", json.dumps(weight))
    save(run / "metrics.json", json.dumps({"test": weight}))
except OSError as error:
    print("seq2seq: error:", error.strerror, file=sys.stderr)
    sys.exit(1 if way == "wrong_code" else 2)
"""


class ToyServer:
    """Runs a small program in the place of `seq2seq`."""

    def __init__(self, library):
        self.library = library

    def start(self, request):
        variables = shim.environment(
            self.library, request.place, request.fault, request.at, request.log, request.reply
        )
        with open(f"{request.output}.err", "wb") as stderr:
            command = [sys.executable, "-S", "-E", "-c", TOY, *request.arguments]
            self.process = subprocess.Popen(command, env=variables, stderr=stderr)

    def wait(self):
        return self.process.wait()

    def run(self, request):
        self.start(request)
        return self.wait()


def toy(library, folder, way):
    training = Training(ToyServer(library), folder, "forecasting", "none")
    training.command = [way, str(training.run_folder)]
    return Trial(training)


def outcomes(trial, *faults, every=1):
    return {case: trial.outcome(*case).outcome for case in trial.cases(faults)[::every]}


def test_a_program_that_keeps_the_promise(library, tmp_path):
    trial = toy(library, tmp_path, "atomic")
    found = outcomes(trial, *CRASHES, "EIO", "ENOSPC_on", "torn_write", every=3)
    assert len({fault for fault, _ in found}) == 7
    assert {*found.values()} == {IDENTICAL, REFUSED}
    assert {found[case] for case in found if case[0] in CRASHES} == {IDENTICAL}


def test_states_of_one_run_are_those_of_processes_that_are_killed(library, tmp_path):
    trial = toy(library, tmp_path, "in_place")
    for crash in trial.crashes:
        if crash.fault in ("kill", "torn"):
            fault = {"kill": "kill_after", "torn": "torn_write"}[crash.fault]
            code, _ = trial.training.with_fault(fault, crash.call.number)
            assert code == -signal.SIGKILL
            left = CrashRecorder(trial.training.place).after(crash.call)[0].state
            assert left.key() == crash.state.key()


@pytest.mark.parametrize(
    ("way", "fault", "broken"),
    [
        ("in_place", "kill", "stack trace"),  # an empty file
        ("in_place", "torn", "stack trace"),
        ("unsynced", "power_loss", "stack trace"),
        ("unsynced", "kill", None),
        ("wrong_code", "ENOSPC", "exit code 1, then identical"),
    ],
)
def test_a_program_that_breaks_the_promise(library, tmp_path, way, fault, broken):
    found = set(outcomes(toy(library, tmp_path, way), fault, every=2).values())
    assert (broken in found) if broken else found == {IDENTICAL}


def test_a_training_that_is_interrupted_ends_the_same(library, tmp_path):
    """A sample; `python -m benchmarks.faults system_calls` is the long run."""
    with fork_server(library, Path(os.devnull), tmp_path / "cache") as server:
        trial = Trial(Training(server, tmp_path, "translation", "none"))
        saved = [n for n in trial.calls if trial.kind(n).startswith("rename run/checkpoints")]
        config = [n for n in trial.calls if trial.kind(n).startswith("write run/.hydra")]
        killed = trial.outcome("kill", saved[-1])
        full = trial.outcome("ENOSPC", config[-1])
    assert killed.outcome == IDENTICAL, killed
    assert full.outcome == REFUSED, full
