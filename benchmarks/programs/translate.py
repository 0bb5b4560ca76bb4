"""What programs that translate a file have in common: their job, and the clock."""

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.programs.job import report

SECONDS = 4.0
Translate = Callable[[list[str]], list[str]]


@dataclasses.dataclass(frozen=True)
class TranslationJob:
    """One measurement.

    Attributes:
        model: A run folder, or the folder of Marian's models and vocabulary.
        source: The file to translate, a sentence a line.
        output: The file to write.
        beam: The beam size; 1 for a greedy search.
        started: When the process was started, in seconds since the epoch.
        file: Marian's model.
        shortlist: The file of Marian's lexicon; empty for none.
    """

    model: str
    source: str
    output: str
    beam: int
    started: float
    file: str = ""
    shortlist: str = ""

    def to_json(self) -> str:
        """Returns the job as a program's argument."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_arguments(cls) -> "TranslationJob":
        """Reads the job that this process was started with."""
        return cls(**json.loads(sys.argv[1]))


def measure(job: TranslationJob, translate: Translate, **versions: str) -> None:
    """Translates the file and writes it, then translates it again for some seconds; reports.

    Args:
        job: What is measured.
        translate: Translates sentences.
        versions: Of the program's libraries.
    """
    lines = Path(job.source).read_text(encoding="utf-8").splitlines()
    translations = translate(lines)
    Path(job.output).write_text("".join(f"{line}\n" for line in translations), encoding="utf-8")
    with_loading = time.time() - job.started
    sentences, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS:
        translate(lines)
        sentences += len(lines)
    report(
        versions=versions,
        sentences_per_second=sentences / seconds,
        seconds_with_loading=with_loading,
    )
