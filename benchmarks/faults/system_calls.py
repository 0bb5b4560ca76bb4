"""Interrupts a training at each system call that changes the disk, and starts it again.

The promise: whatever the fault and the call, the same command, started again, ends with the results
of a run that was never interrupted, bit by bit; or a clear message and exit code 2 say why not,
and nothing older is lost.

A training is run once with `system_calls.c`, which stops it after each call: so all states that a
crash can leave are collected in one run (faults `kill`, `torn`, `power_loss`, `power_loss_names`),
and only starting again from each has to be tried. Calls that fail (`ENOSPC`, `EIO`, once or from
there `_on`), calls that write half (`short_write`), and processes that are really killed
(`kill_before`, `kill_after`, `torn_write`) take a training each.

    F="--folder /tmp/faults --task tagging"  # results.jsonl there: what is in it is not tried again
    python -m benchmarks.faults system_calls $F                          # all calls: many hours
    python -m benchmarks.faults system_calls $F --distinct --minutes 60  # one of each kind and file
    python -m benchmarks.faults system_calls $F --fault EIO --matching "^rename run/checkpoints"
    python -m benchmarks.faults system_calls $F --killed-at 250          # of a run started again
    python -m benchmarks.faults system_calls $F --tracking mlflow --fault kill --every 50

What goes wrong is printed; what the commands wrote to stderr is then in `failures/` of the folder.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shlex
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.folder_states import Crash, CrashRecorder, State
from benchmarks.faults.fork_server import TIMED_OUT, ForkServer, Request, fork_server
from benchmarks.faults.shim import NEED_SPACE, WRITES, Call, compiled, compiler, read_log
from benchmarks.faults.trainings import TASKS, differences, results, write_data

CRASHES = ("kill", "torn", "power_loss", "power_loss_names")
ERRORS = ("ENOSPC", "EIO", "ENOSPC_on", "EIO_on", "short_write")
KILLS = ("kill_before", "kill_after", "torn_write")
OF_WRITES = ("short_write", "torn_write")
FAULTS = (*CRASHES, *ERRORS, *KILLS)
DEFAULT_FAULTS = (*CRASHES, *ERRORS)

IDENTICAL = "identical"
REFUSED = "refused clearly, identical afterwards"
NOT_REACHED = "fault not reached"
GOOD = (IDENTICAL, REFUSED, NOT_REACHED)

KILLED = -9
USER_ERROR = 2


@dataclass(frozen=True)
class Outcome:
    """What came of one fault: `outcome` is one of `GOOD`, or says what is wrong."""

    task: str
    tracking: str
    fault: str
    number: int
    call: str
    outcome: str
    detail: str = ""
    notes: Sequence[str] = field(default_factory=list)
    seconds: float = 0.0
    same_as: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Identifies the case."""
        return self.task, self.tracking, self.fault, self.number

    @property
    def kind(self) -> str:
        """The name of the call."""
        return self.call.partition(" ")[0]


class Training:
    """A training in a folder of its own, run with and without faults.

    Args:
        server: Runs the commands.
        folder: For everything.
        task: One of `TASKS`.
        tracking: `none`, or `mlflow` for a store beside the run folder.
    """

    def __init__(self, server: ForkServer, folder: Path, task: str, tracking: str) -> None:
        self.server, self.folder, self.task, self.tracking = server, folder, task, tracking
        self.place = folder / "place"
        self.run_folder = self.place / "run"
        store = f"tracking.tracking_uri=sqlite:///{self.place}/mlflow.db"
        self.command = [
            "train",
            *write_data(task, folder / "data" / task),
            "tracking=none" if tracking == "none" else store,
            f"hydra.run.dir={self.run_folder}",
        ]
        self.start = State({})

    def start_from(self, state: State, number: int) -> None:
        """Makes this the training that is started again after the call of a number."""
        self.task, self.start = f"{self.task} after {number}", state
        self.command = ["train", f"resume={self.run_folder}"]

    def execute(self, arguments: Sequence[str], name: str, **options: Any) -> int:
        """Runs a command; returns its exit code."""
        return self.server.run(self._request(arguments, name, **options))

    def _request(self, arguments: Sequence[str], name: str, **options: Any) -> Request:
        output, modules = str(self.folder / name), str(self.folder / "modules")
        return Request(arguments, str(self.place), output, modules=modules, **options)

    def messages(self, name: str) -> str:
        """Returns what a command wrote to stderr."""
        return (self.folder / f"{name}.err").read_text(encoding="utf-8", errors="replace")

    def clear(self, state: State | None = None) -> None:
        """Makes a state, by default that before the training, and forgets what commands wrote."""
        (state or self.start).restore(self.place)
        for path in self.folder.glob("*.err"):
            path.unlink()

    def keep_messages(self, name: str) -> None:
        """Copies what the last commands wrote to stderr into `failures/NAME`."""
        kept = self.folder / "failures" / name
        kept.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("*.err"):
            shutil.copy(path, kept)

    def recorded(self) -> Iterator[list[Crash]]:
        """Runs the training; yields the states that a crash could leave, call by call."""
        self.clear()
        log, reply = self.folder / "calls.fifo", self.folder / "reply.fifo"
        for fifo in (log, reply):
            fifo.unlink(missing_ok=True)
            os.mkfifo(fifo)
        recorder = CrashRecorder(self.place)
        request = self._request(self.command, "recorded", log=str(log), reply=str(reply))
        self.server.start(request)
        with log.open(encoding="utf-8") as calls, reply.open("wb", buffering=0) as replies:
            for line in calls:
                yield recorder.after(Call.from_line(line))
                with contextlib.suppress(BrokenPipeError):
                    replies.write(b".")
        if code := self.server.wait():
            raise RuntimeError(f"the training failed ({code}): {self.messages('recorded')[-2000:]}")

    def with_fault(self, fault: str, number: int) -> tuple[int, list[Call]]:
        """Runs the training with a fault; returns its exit code and the calls up to its end."""
        self.clear()
        log = self.folder / "calls.log"
        log.unlink(missing_ok=True)
        kind = "torn" if fault == "torn_write" else fault
        code = self.execute(self.command, "faulty", fault=kind, at=number, log=str(log))
        return code, read_log(log)

    def started_again(self) -> tuple[int, str]:
        """Starts the same command again, and does what its message says; returns code and stderr.

        Where the folder holds a run that can be resumed, that is `resume=RUN`.
        """
        code = self.execute(self.command, "again")
        said = self.messages("again")
        if code == USER_ERROR and (shown := re.search(r"resume=(\S+|'[^']*')", said)):
            resume = f"resume={shlex.split(shown[1])[0]}"
            code = self.execute(["train", resume], "resumed")
            said = self.messages("resumed")
        return code, said

    def notes(self) -> list[str]:
        """Returns what is not as it should be beside the results."""
        notes = [
            f"left over: {path.relative_to(self.place)}"
            for path in sorted(self.place.rglob(".unfinished-*"))
        ]
        if self.tracking != "none":
            notes += tracking_notes(self.place / "mlflow.db")
        return notes


def tracking_notes(database: Path) -> list[str]:
    """Returns what is wrong in an MLflow store after a finished training."""
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            states = [row[0] for row in connection.execute("SELECT status FROM runs")]
            scores = connection.execute("SELECT count(*) FROM metrics WHERE key='test_loss'")
            count = scores.fetchone()[0]
    except sqlite3.Error as error:
        return [f"MLflow: {error}"]
    notes = [] if states == ["FINISHED"] else [f"MLflow: runs {states}"]
    return notes if count else [*notes, "MLflow: no test_loss"]


def is_clear(messages: str) -> bool:
    """Returns whether messages have one error of the command, and no stack trace."""
    return messages.count("seq2seq: error: ") == 1 and "Traceback" not in messages


def trace(messages: str) -> str:
    """Describes the stack trace in some messages."""
    is_of_logging = "--- Logging error ---" in messages
    return "stack trace of logging" if is_of_logging else "stack trace"


def last_line(messages: str) -> str:
    """Returns the error of some messages, or their last line."""
    lines = [line for line in messages.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("seq2seq: error: ")]
    return (errors or lines or [""])[-1][:600]


def judged(training: Training, expected: Mapping[str, str], code: int, said: str) -> str:
    """Returns the outcome of a command that had no fault."""
    if code == TIMED_OUT:
        return "timed out"
    if "Traceback" in said:
        return trace(said)
    if code == USER_ERROR:
        return "refused, and no way to go on" if is_clear(said) else "unclear message"
    if code != 0:
        return f"exit code {code}"
    changed = differences(expected, results(training.run_folder))
    return f"different: {', '.join(changed)}" if changed else IDENTICAL


class Trial:
    """Tries the cases of one training."""

    def __init__(self, training: Training) -> None:
        self.training = training
        training.clear()
        self._earlier = results(training.run_folder)
        self.crashes = [crash for crashes in training.recorded() for crash in crashes]
        self.expected = results(training.run_folder)
        self.calls = {crash.call.number: crash.call for crash in self.crashes}
        self._outcomes: dict[str, tuple[Outcome, str]] = {}

    def cases(self, faults: Sequence[str]) -> list[tuple[str, int]]:
        """Returns the faults and the numbers of the calls at which they can happen."""
        cases = [(crash.fault, crash.call.number) for crash in self.crashes]
        cases += [
            (fault, call.number) for fault in (*ERRORS, *KILLS) for call in self.possible(fault)
        ]
        return [case for case in cases if case[0] in faults]

    def possible(self, fault: str) -> list[Call]:
        """Returns the calls at which a fault of a running process can happen."""
        names = {
            "ENOSPC": NEED_SPACE,
            "ENOSPC_on": NEED_SPACE,
            **dict.fromkeys(OF_WRITES, WRITES),
        }.get(fault)
        return [call for call in self.calls.values() if names is None or call.name in names]

    def kind(self, number: int) -> str:
        """Returns a call without the random parts of its paths."""
        text = self.calls[number].relative_to(self.training.place)
        return re.sub(r"\.unfinished-\w+|uploading\.\w+|\b[0-9a-f]{32}\b", "*", text)

    def outcome(self, fault: str, number: int) -> Outcome:
        """Tries one case."""
        start = time.monotonic()
        tried = self._crash if fault in CRASHES else self._fault
        result = tried(fault, number)
        return Outcome(**{**asdict(result), "seconds": round(time.monotonic() - start, 1)})

    def _crash(self, fault: str, number: int) -> Outcome:
        """Starts again from the state that a crash leaves; equal states are tried once."""
        [crash] = [c for c in self.crashes if (c.fault, c.call.number) == (fault, number)]
        key = crash.state.key()
        if key in self._outcomes:
            known, name = self._outcomes[key]
            call = crash.call.relative_to(self.training.place)
            changes = {"fault": fault, "number": number, "call": call, "same_as": name}
            return Outcome(**{**asdict(known), **changes})
        self.training.clear(crash.state)
        outcome, detail = self._again()
        result = self._made(fault, crash.call, outcome, detail)
        self._outcomes[key] = result, f"{fault} {number}"
        return result

    def _again(self) -> tuple[str, str]:
        code, said = self.training.started_again()
        outcome = judged(self.training, self.expected, code, said)
        return outcome, "" if outcome == IDENTICAL else last_line(said)

    def _fault(self, fault: str, number: int) -> Outcome:
        """Runs the training with the fault, and starts it again if it ended."""
        training = self.training
        code, calls = training.with_fault(fault, number)
        said, lost = training.messages("faulty"), self._lost()
        reached = [call for call in calls if call.number == number]
        if not reached:
            return self._made(fault, self.calls[number], NOT_REACHED, "")
        [call] = reached
        is_write = call.name in WRITES
        if (fault in OF_WRITES and not is_write) or (
            fault in ("ENOSPC", "EIO") and call.result >= 0
        ):
            return self._made(fault, call, NOT_REACHED, "the call was of another kind this time")
        if code == KILLED:
            return self._made(fault, call, *self._again())
        if code == 0 and "Traceback" not in said:
            outcome = judged(training, self.expected, code, said)
            return self._made(fault, call, outcome, "the training went on")
        detail = last_line(said)
        again, why = self._again()
        if code == USER_ERROR and lost:
            outcome = f"refused, with the loss of {', '.join(lost)}, then {again}"
        elif code == USER_ERROR and is_clear(said):
            outcome = REFUSED if again == IDENTICAL else f"refused, then {again}"
        elif "Traceback" in said:
            outcome = f"{trace(said)}, exit code {code}, then {again}"
        else:
            ended = "timed out" if code == TIMED_OUT else f"exit code {code}"
            outcome = f"{ended}, then {again}"
        return self._made(fault, call, outcome, f"{detail} | {why}" if why else detail)

    def _lost(self) -> list[str]:
        """Returns the results of before the training that are neither as then nor as at its end."""
        now = results(self.training.run_folder)
        return [
            name
            for name, digest in self._earlier.items()
            if now.get(name) not in (digest, self.expected.get(name))
        ]

    def _made(self, fault: str, call: Call, outcome: str, detail: str) -> Outcome:
        training = self.training
        notes = training.notes() if outcome in GOOD else []
        name = call.relative_to(training.place)
        return Outcome(
            training.task, training.tracking, fault, call.number, name, outcome, detail, notes
        )


def table(outcomes: Sequence[Outcome]) -> str:
    """Returns the counts by kind of call and fault: identical/refused/other, -: not reached."""
    faults = [fault for fault in FAULTS if any(each.fault == fault for each in outcomes)]
    kinds = sorted({each.kind for each in outcomes})
    counts = Counter((each.kind, each.fault, _column(each)) for each in outcomes)
    rows = [["call", *faults]]
    for kind in [*kinds, "all"]:
        row = [kind]
        for fault in faults:
            cells = [
                sum(counts[each, fault, column] for each in ([kind] if kind != "all" else kinds))
                for column in range(4)
            ]
            text = "/".join(map(str, cells[:3])) + (f" -{cells[3]}" if cells[3] else "")
            row.append(text if any(cells) else "")
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    legend = "identical/refused clearly/other, -N: not reached"
    return "\n".join([legend, *(line.rstrip() for line in lines)])


def _column(outcome: Outcome) -> int:
    order = {IDENTICAL: 0, REFUSED: 1, NOT_REACHED: 3}
    return order.get(outcome.outcome, 2)


def read_outcomes(path: Path) -> list[Outcome]:
    """Returns the outcomes of a file of JSON lines; none if there is none."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Outcome(**json.loads(line)) for line in lines]


def described(outcome: Outcome) -> str:
    """Returns an outcome as a line."""
    case = f"{outcome.task} {outcome.tracking} {outcome.fault} {outcome.number} ({outcome.call})"
    detail = f": {outcome.detail}" if outcome.detail else ""
    notes = f" [{'; '.join(outcome.notes)}]" if outcome.notes else ""
    return f"{case}: {outcome.outcome}{detail}{notes}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this kind of trial."""
    parser.add_argument("--task", choices=sorted(TASKS), default="translation")
    parser.add_argument("--tracking", choices=("none", "mlflow"), default="none")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="may be repeated")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="each K-th case")
    parser.add_argument(
        "--distinct", action="store_true", help="one case of each fault, kind of call and file"
    )
    parser.add_argument("--call", type=int, action="append", help="at this call; may be repeated")
    parser.add_argument(
        "--matching", default="", metavar="REGEX", help='calls such as "rename run/model"'
    )
    parser.add_argument(
        "--killed-at",
        type=int,
        metavar="N",
        help="the training that is interrupted is one started again after a kill after call N",
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="end after this time")
    parser.add_argument("--folder", type=Path, help="for the trainings; kept")
    parser.add_argument(
        "--results", type=Path, help="outcomes, as JSON lines; those there are kept"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order of the cases")


def run(options: argparse.Namespace) -> int:
    """Tries the cases that are not in the results yet; returns how many of all were not good."""
    if compiler() is None:
        raise SystemExit("system_calls: needs a C compiler (cc, or the one that $CC names)")
    with contextlib.ExitStack() as stack:
        folder = options.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seq2seq-")))
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        library = compiled(folder)
        modules, cache = folder / "modules", folder / "cache"
        if not modules.exists():  # a first training tells what to import
            with fork_server(library, modules, cache) as server:
                list(Training(server, folder, options.task, options.tracking).recorded())
        server = stack.enter_context(fork_server(library, modules, cache))
        training = Training(server, folder, options.task, options.tracking)
        outcomes = tried(training, options, options.results or folder / "results.jsonl")
    print(table(outcomes))
    return sum(each.outcome not in GOOD for each in outcomes)


def started_again_at(trial: Trial, number: int) -> Trial:
    """Returns the trial of a training that goes on after a kill after a call."""
    [state] = [
        crash.state
        for crash in trial.crashes
        if (crash.fault, crash.call.number) == ("kill", number)
    ]
    trial.training.start_from(state, number)
    again = Trial(trial.training)
    if changed := differences(trial.expected, again.expected):
        raise RuntimeError(f"killed after call {number} and started again: {changed} differ")
    return again


def tried(training: Training, options: argparse.Namespace, path: Path) -> list[Outcome]:
    """Tries the remaining cases of a training; returns their outcomes and the earlier ones."""
    end = time.monotonic() + 60 * options.minutes
    faults = options.fault or DEFAULT_FAULTS
    trial = Trial(training)
    if options.killed_at is not None:
        trial = started_again_at(trial, options.killed_at)
    outcomes = [
        each
        for each in read_outcomes(path)
        if (each.task, each.tracking) == (training.task, training.tracking)
    ]
    done = {each.key for each in outcomes}
    cases = trial.cases(faults)
    random.Random(options.seed).shuffle(cases)
    if options.distinct:
        by_kind = {(fault, trial.kind(number)): (fault, number) for fault, number in cases}
        cases = list(by_kind.values())
    chosen = [
        (fault, number)
        for fault, number in cases[:: options.every]
        if (options.call is None or number in options.call)
        and re.search(options.matching, trial.kind(number))
        and (training.task, training.tracking, fault, number) not in done
    ]
    print(f"{len(trial.calls)} calls, {len(cases)} cases, {len(chosen)} to try", flush=True)
    with path.open("a", encoding="utf-8") as file:
        for number, case in enumerate(chosen, 1):
            if time.monotonic() > end:
                break
            outcome = trial.outcome(*case)
            outcomes.append(outcome)
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            if outcome.outcome not in GOOD:
                training.keep_messages(f"{outcome.task}_{outcome.fault}_{outcome.number}")
            if outcome.outcome not in GOOD or outcome.notes:
                print(f"{number}/{len(chosen)} {described(outcome)}", flush=True)
    shutil.rmtree(training.place, ignore_errors=True)
    return outcomes
