"""Runs programs, each in its own process, in turn, several rounds."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.batches import Batch, make_batches, save_batches
from benchmarks.environments import (
    eole_python,
    joeynmt_python,
    marian_python,
    opennmt_tf_python,
    own_python,
    torch_python,
    tuned,
)
from benchmarks.products import Sizes, mean_sizes
from benchmarks.programs.job import Job
from benchmarks.works import Work

ROOT = Path(__file__).parents[1]
WARM_UP = 10


@dataclass(frozen=True)
class Program:
    """What is started.

    Attributes:
        module: Of `benchmarks.programs`.
        precision: `float32` or `bfloat16`; of searches also `COMPRESSED` and `INT8`.
        python: Returns the Python of its environment, which it may have to build.
        tuned: Whether it gets the settings that make PyTorch faster.
        optional: Whether it runs only where it is asked for.
    """

    module: str
    precision: str = "float32"
    python: Callable[[], Path] = own_python
    tuned: bool = False
    optional: bool = False

    @property
    def trains(self) -> bool:
        """Whether it is a training, and not one of the raw limit's programs."""
        return self.module != "limit"


PROGRAMS = {
    "seq2seq": Program("ours"),
    "seq2seq_bf16": Program("ours", "bfloat16"),
    "keras": Program("keras_stock"),
    "keras_tuned": Program("keras_tuned", tuned=True),
    "torch": Program("torch_plain", python=torch_python),
    "torch_tuned": Program("torch_plain", python=torch_python, tuned=True),
    "torch_bf16": Program("torch_plain", "bfloat16", python=torch_python, tuned=True),
    "torch_fused": Program("torch_fused", python=torch_python, tuned=True),
    "torch_fused_bf16": Program("torch_fused", "bfloat16", python=torch_python, tuned=True),
    "joeynmt": Program("joeynmt_luong", python=joeynmt_python, optional=True),
    "joeynmt_tuned": Program("joeynmt_luong", python=joeynmt_python, tuned=True, optional=True),
    "opennmt_tf": Program("opennmt_luong", python=opennmt_tf_python, optional=True),
    "eole": Program("eole_luong", python=eole_python, optional=True),
    "eole_tuned": Program("eole_luong", python=eole_python, tuned=True, optional=True),
    "marian": Program("marian_s2s", python=marian_python, tuned=True, optional=True),
    "limit": Program("limit"),
    "limit_torch": Program("limit", python=torch_python, tuned=True),
    "limit_bf16": Program("limit", "bfloat16"),
    "limit_torch_bf16": Program("limit", "bfloat16", python=torch_python, tuned=True),
}

Result = dict[str, Any]


def default_programs(programs: Mapping[str, Program]) -> list[str]:
    """Returns the names of those that run without being asked for."""
    return [name for name, program in programs.items() if not program.optional]


def left_out(programs: Mapping[str, Program], measured: Sequence[str]) -> str:
    """Returns a line that names those that were not measured; empty where all were."""
    names = [name for name in programs if name not in measured]
    return f"Not measured: {', '.join(names)} (--programs chooses)." if names else ""


@contextmanager
def prepared(work: Work, steps: int) -> Iterator[tuple[Path, list[Batch]]]:
    """Gives the file of a work's batches, warm-up included, and those that are timed."""
    batches = make_batches(work, WARM_UP + steps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "batches.npz")
        save_batches(batches, path)
        yield path, batches[WARM_UP:]


def run_program(
    program: Program,
    work: Work,
    batches: Path,
    variables: Mapping[str, str] | None = None,
    **more: float,
) -> Result:
    """Runs one program once.

    Args:
        program: The program.
        work: The work.
        batches: The file of its batches.
        variables: Further environment variables.
        more: Further fields of `Job`.

    Raises:
        RuntimeError: If it fails: a peer is never left out in silence.
    """
    python = program.python()
    variables = {**(tuned() if program.tuned else {}), **(variables or {})}
    job = Job(
        work, str(batches), program.precision, **{"warm_up": WARM_UP, **more}, started=time.time()
    )
    done = subprocess.run(
        [str(python), "-m", f"benchmarks.programs.{program.module}", job.to_json()],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{program.module} failed on '{work.title}':\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run_rounds(
    works: Mapping[str, Work], programs: Sequence[str], rounds: int, steps: int
) -> Iterator[tuple[dict[str, Sizes], dict[str, dict[str, list[Result]]]]]:
    """Runs all programs on all works, in turn.

    Yields:
        After each round, by work: the sizes of its batches; and by program its results so far.
    """
    sizes: dict[str, Sizes] = {}
    found: dict[str, dict[str, list[Result]]] = {
        key: {program: [] for program in programs} for key in works
    }
    for number in range(1, rounds + 1):
        for key, work in works.items():
            with prepared(work, steps) as (path, batches):
                sizes[key] = mean_sizes(batches)
                for program in programs:
                    result = run_program(PROGRAMS[program], work, path)
                    found[key][program].append(result)
                    print(_line(number, key, program, result), file=sys.stderr, flush=True)
        yield sizes, found


def _line(number: int, work: str, program: str, result: Result) -> str:
    speed = result.get("tokens_per_second")
    return f"round {number}: {work} {program}" + (f" {speed:,.0f} tokens/s" if speed else "")
