"""Kills trainings and other commands with SIGKILL at random times, and starts them again.

Each command is run once undisturbed. Then it is started, killed after a random time, started again,
perhaps killed again, and at last left alone: its results have to be those of the undisturbed one,
bit by bit, or a clear message has to say what to do.

    F="--folder /tmp/kills"  # random_kills.jsonl there: one line for each command that was killed
    python -m benchmarks.faults random_kills $F --kills 1000                # all tasks: hours
    python -m benchmarks.faults random_kills $F --kills 50 --task tagging --tracking mlflow
    python -m benchmarks.faults random_kills $F --kills 20 --command compress
"""

import argparse
import contextlib
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.faults.folder_states import Observer
from benchmarks.faults.fork_server import TIMED_OUT, ForkServer, fork_server
from benchmarks.faults.shim import compiled
from benchmarks.faults.system_calls import IDENTICAL, Training, judged, last_line
from benchmarks.faults.trainings import TASKS, results

COMMANDS = ("train", "compress")

MOST_KILLS = 3
"""Kills of one command before it is left alone."""

LONGEST = 300.0
"""Seconds after which a command that is left alone has failed."""


@dataclass(frozen=True)
class Killed:
    """What came of a command that was killed: `outcome` is `IDENTICAL`, or says what is wrong."""

    command: str
    task: str
    tracking: str
    kills: list[float]
    outcome: str
    detail: str = ""
    notes: tuple[str, ...] = ()


class Trial:
    """A command of a task that is killed again and again.

    Args:
        server: Runs the commands.
        folder: For everything.
        command: One of `COMMANDS`.
        task: One of `TASKS`.
        tracking: `none` or `mlflow`.
    """

    def __init__(
        self, server: ForkServer, folder: Path, command: str, task: str, tracking: str
    ) -> None:
        self.training = Training(server, folder, task, tracking)
        self.command = command
        self._undisturbed()  # the first one writes caches
        if command == "compress":
            smaller = self.training.place / "smaller"
            self.training.start = Observer(self.training.place).state()
            self.training.command = ["compress", str(self.training.run_folder), str(smaller)]
            self.training.run_folder = smaller
        self.seconds, self.expected = self._undisturbed()

    def _undisturbed(self) -> tuple[float, Mapping[str, str]]:
        """Returns the seconds and the results of the command."""
        self.training.clear()
        start = time.monotonic()
        self._finish(self.training.command)
        return time.monotonic() - start, results(self.training.run_folder)

    def _finish(self, arguments: list[str]) -> None:
        if code := self.training.execute(arguments, "undisturbed"):
            said = self.training.messages("undisturbed")
            raise RuntimeError(f"{arguments[0]} failed ({code}): {said[-2000:]}")

    def killed(self, generator: random.Random) -> Killed:
        """Kills the command at random times, and judges what it ends with."""
        training, kills = self.training, list[float]()
        training.clear()
        for _ in range(generator.randint(1, MOST_KILLS)):
            seconds = generator.uniform(0, self.seconds)
            code = training.execute(training.command, "killed", timeout=seconds)
            if code != TIMED_OUT:
                break
            kills.append(round(seconds, 2))
        code = training.execute(training.command, "again", timeout=LONGEST)
        said = training.messages("again")
        outcome = judged(training, self.expected, code, said)
        return Killed(
            self.command, training.task, training.tracking, kills, outcome,
            "" if outcome == IDENTICAL else last_line(said), tuple(training.notes()),
        )  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this kind of trial."""
    parser.add_argument("--kills", type=int, default=1000, help="in all (default 1000)")
    parser.add_argument("--minutes", type=float, default=1e9, help="end after this time")
    parser.add_argument("--task", choices=sorted(TASKS), action="append", help="default: all")
    parser.add_argument("--tracking", choices=("none", "mlflow"), default="none")
    parser.add_argument("--command", choices=COMMANDS, default="train")
    parser.add_argument("--folder", type=Path, help="for the commands; kept")
    parser.add_argument("--seed", type=int, default=1, help="of the times")


def run(options: argparse.Namespace) -> int:
    """Kills commands of each task in turn; returns how many did not end as they should."""
    end, generator = time.monotonic() + 60 * options.minutes, random.Random(options.seed)
    counts: Counter[str] = Counter()
    kills = 0
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="seq2seq-"))
        )
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        library, modules, cache = compiled(folder), folder / "modules", folder / "cache"
        if not modules.exists():  # a first training tells what to import
            with fork_server(library, modules, cache) as server:
                Trial(server, folder, options.command, "translation", options.tracking)
        server = stack.enter_context(fork_server(library, modules, cache))
        trials = [
            Trial(server, folder / task, options.command, task, options.tracking)
            for task in options.task or TASKS
        ]
        path = folder / "random_kills.jsonl"
        file = stack.enter_context(path.open("a", encoding="utf-8"))
        while kills < options.kills and time.monotonic() < end:
            result = trials[sum(counts.values()) % len(trials)].killed(generator)
            kills += len(result.kills)
            counts[result.outcome] += 1
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            if result.outcome != IDENTICAL or result.notes:
                print(result, flush=True)
    print(f"{kills} kills, {sum(counts.values())} commands: {dict(counts)}")
    return sum(counts.values()) - counts[IDENTICAL]
