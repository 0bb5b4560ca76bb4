"""Translating Multi30k's test 2016: sentences a second and BLEU, of runs and of Marian."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import marian_python, own_python, tuned
from benchmarks.files import about_machine, load_before, write
from benchmarks.harness import ROOT, Result
from benchmarks.lexicon import save_lexicon
from benchmarks.marian import MODEL, convert, to_ids, to_lines, write_lines
from benchmarks.marian_training import BEST, train_for
from benchmarks.multi30k import bleu, fitted_tokenizers, read_texts, to_text
from benchmarks.programs.translate import TranslationJob

GOAL = 2.0
"""What issue 24 asks for: times Marian's sentences a second at equal BLEU."""
NOISE = 0.1
"""Of BLEU: so much less still counts as equal."""
INT8_MODEL, LEXICON = "model.int8.bin", "lexicon.txt"
BEAMS = (1, 5)
MARIAN = "marian"


@dataclass(frozen=True)
class Candidate:
    """What translates.

    Attributes:
        name: For people.
        module: Of `benchmarks.programs`.
        python: Of its environment.
        model: Its folder.
        file: Marian's model in it.
        shortlist: The file of Marian's lexicon.
    """

    name: str
    module: str
    python: Path
    model: Path
    file: str = ""
    shortlist: str = ""


def main(arguments: argparse.Namespace) -> None:
    """Translates round by round, greedily and with a beam of 5; what is known is written."""
    load = load_before()
    texts = read_texts()
    candidates = [
        Candidate(run.name, "translate_ours", own_python(), run) for run in arguments.runs
    ]
    if arguments.marian is not None:
        candidates += marian(arguments.marian, texts, arguments.minutes)
    results: dict[str, list[Result]] = {}
    about = about_machine(load_before=load, rounds=arguments.rounds)
    for number in range(1, arguments.rounds + 1):
        for candidate in candidates:
            for beam in BEAMS:
                result = translated(candidate, beam, texts)
                results.setdefault(f"{candidate.name}, beam {beam}", []).append(result)
                print(f"round {number}: {candidate.name}, beam {beam}: {result}", file=sys.stderr)
        write(arguments.results / "translating", {**about, **compared(results)})
    print(table(summarised(results)))


def marian(folder: Path, texts: Mapping[str, Any], minutes: float) -> list[Candidate]:
    """Returns Marian's models of a folder, after some more minutes of training."""
    python = marian_python()
    pair = fitted_tokenizers(texts)
    if minutes:
        train_for(folder, texts, pair, minutes)
    best = BEST if (folder / BEST).exists() else MODEL
    convert(folder, INT8_MODEL, best, str(python))
    if not (folder / LEXICON).exists():
        sources, targets = texts["train"]
        save_lexicon(pair.source.encode(sources), pair.target.encode(targets), folder / LEXICON)
    lexicon = str(folder / LEXICON)
    models = [("", best, ""), (" int8", INT8_MODEL, "")]
    models += [(f"{name} shortlist", file, lexicon) for name, file, _ in models]
    return [
        Candidate(f"{MARIAN}{name}", "translate_marian", python, folder, file, shortlist)
        for name, file, shortlist in models
    ]


def translated(candidate: Candidate, beam: int, texts: Mapping[str, Any]) -> Result:
    """Lets a candidate translate the test set in its own process.

    Raises:
        RuntimeError: If it fails.
    """
    sources, references = texts["test"]
    is_marian = bool(candidate.file)
    pair = fitted_tokenizers(texts) if is_marian else None
    with tempfile.TemporaryDirectory() as place:
        source, output = Path(place, "source"), Path(place, "output")
        write_lines(source, to_lines(pair.source.encode(sources)) if pair else sources)
        job = TranslationJob(
            str(candidate.model),
            str(source),
            str(output),
            beam,
            started=time.time(),
            file=candidate.file,
            shortlist=candidate.shortlist,
        )
        done = subprocess.run(
            [str(candidate.python), "-m", f"benchmarks.programs.{candidate.module}", job.to_json()],
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(tuned() if is_marian else {})},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{candidate.name} failed:\n{done.stderr}")
        lines = output.read_text(encoding="utf-8").splitlines()
    translations = to_text(pair, [to_ids(line) for line in lines]) if pair else lines
    return {**json.loads(done.stdout.splitlines()[-1]), "bleu": bleu(translations, references)}


def compared(results: Mapping[str, Sequence[Result]]) -> dict[str, Any]:
    """Returns the figures of all programs, and ratios."""
    programs = summarised(results)
    return {"programs": programs, "times_marian_at_equal_bleu": ratios(programs)}


def summarised(results: Mapping[str, Sequence[Result]]) -> dict[str, Result]:
    """Returns the medians of the rounds, and each of them."""
    figures = ("sentences_per_second", "seconds_with_loading", "bleu")
    return {
        name: {
            **{figure: statistics.median(each[figure] for each in rounds) for figure in figures},
            "versions": rounds[0]["versions"],
            "rounds_of": [{figure: each[figure] for figure in figures} for each in rounds],
        }
        for name, rounds in results.items()
    }


def ratios(programs: Mapping[str, Result]) -> dict[str, float]:
    """Returns how many times as fast as each of Marian's searches our fastest is.

    Only searches of ours count whose BLEU is as high; without one there is no ratio.
    """
    faster: dict[str, float] = {}
    for name, theirs in programs.items():
        ours = [
            each["sentences_per_second"]
            for program, each in programs.items()
            if not program.startswith(MARIAN) and each["bleu"] >= theirs["bleu"] - NOISE
        ]
        if name.startswith(MARIAN) and ours:
            faster[name] = max(ours) / theirs["sentences_per_second"]
    return faster


def table(programs: Mapping[str, Result]) -> str:
    """Returns the figures in Markdown."""
    lines = [
        "| program | sentences/s | s for the file, loading included | BLEU |",
        "|---|---|---|---|",
    ]
    for name, figures in programs.items():
        lines.append(
            f"| {name} | {figures['sentences_per_second']:,.0f} "
            f"| {figures['seconds_with_loading']:.1f} | {figures['bleu']:.1f} |"
        )
    lines.append("")
    for name, ratio in ratios(programs).items():
        lines.append(f"our fastest of at least its BLEU, over {name}: {ratio:.2f} (goal {GOAL:g})")
    return "\n".join(lines)
