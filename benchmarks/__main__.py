"""`python -m benchmarks PART`: `training` is what `make bench` runs."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import (
    decoding,
    endurance,
    forecasting,
    growth,
    m3,
    quality,
    scaling,
    sessions,
    tagging,
    training,
    translating,
    workers,
)
from benchmarks.harness import PROGRAMS, default_programs
from benchmarks.works import WORKS

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parts = parser.add_subparsers(required=True)
    part = _part(parts, "training", training.main, rounds=3, steps=40)
    part.add_argument("--works", type=_names(WORKS), default=list(WORKS), metavar="A,B,...")
    part.add_argument(
        "--programs",
        type=_names(PROGRAMS),
        default=default_programs(PROGRAMS),
        metavar=",".join(PROGRAMS),
    )
    part = _part(parts, "growth", growth.main, rounds=1, steps=15)
    part.add_argument("--axes", type=_names(growth.AXES), default=list(growth.AXES))
    part.add_argument("--programs", type=_names(PROGRAMS), default=["seq2seq", "keras"])
    part.add_argument("--sentences", type=int, default=growth.MOST_SENTENCES)
    part = _part(parts, "scaling", scaling.main, rounds=1, steps=10)
    part.add_argument("--works", type=_names(WORKS), default=["A", "E", "G"], metavar="A,B,...")
    part = _part(parts, "sessions", sessions.main, rounds=1, steps=10)
    part.add_argument("--sources", type=int, default=10_000)
    _part(parts, "tagging", tagging.main, rounds=3, steps=40)
    part = _part(parts, "decoding", decoding.main, rounds=3, steps=16)
    part.add_argument(
        "--programs",
        type=_names(decoding.PROGRAMS),
        default=default_programs(decoding.PROGRAMS),
        metavar=",".join(decoding.PROGRAMS),
    )
    part = _part(parts, "translating", translating.main, rounds=3)
    part.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="of translation/multi30k")
    part.add_argument("--marian", type=Path, metavar="FOLDER", help="of Marian's model")
    part.add_argument("--minutes", type=float, default=0, help="for which Marian trains before")
    part = parts.add_parser("quality", description=quality.main.__doc__)
    part.set_defaults(main=quality.main)
    part.add_argument("--programs", type=_names(quality.PROGRAMS), default=list(quality.DEFAULT))
    part.add_argument("--epochs", type=int, default=12, help="of others, default: %(default)s")
    part.add_argument("--trials", type=int, default=1, help="of each, default: %(default)s")
    part.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON and plot")
    part.add_argument("overrides", nargs="*", metavar="key=value", help="of our recipe")
    part = _part(parts, "forecasting", forecasting.main, rounds=3, steps=300)
    part.add_argument("--series", type=int, default=forecasting.SERIES)
    part.add_argument("--threads", type=int, help="of each program, default: as many as cores")
    part.add_argument(
        "--programs", type=_names(forecasting.PROGRAMS), default=list(forecasting.PROGRAMS)
    )
    part = parts.add_parser("endurance", description=endurance.main.__doc__)
    part.set_defaults(main=endurance.main)
    part.add_argument("--steps", type=int, default=50_000, help="default: %(default)s")
    part.add_argument("--predictions", type=int, default=100_000, help="default: %(default)s")
    part.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON and plot")
    _add_m3(parts)
    _add_workers(parts)
    arguments = parser.parse_args()
    try:
        arguments.main(arguments)
    except RuntimeError as error:
        sys.exit(f"error: {error}")


def _add_m3(parts: Any) -> None:
    part = parts.add_parser("m3", description=m3.main.__doc__)
    part.set_defaults(main=m3.main)
    part.add_argument("--seeds", type=_numbers, default=[1, 2, 3], metavar="1,2,...")
    part.add_argument("--groups", type=_names(m3.GROUPS), default=list(m3.GROUPS))
    part.add_argument("--methods", type=_names(m3.METHODS), default=list(m3.METHODS))
    part.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON")


def _add_workers(parts: Any) -> None:
    part = _part(parts, "workers", workers.main, rounds=1, steps=10)
    part.add_argument("--works", type=_names(WORKS), default=["A", "C"], metavar="A,B,...")
    part.add_argument("--check", type=_numbers, default=[], metavar="MBIT,...", help="as root")
    part.add_argument("--rows", type=int, help="of a batch, default: those of the work")
    part.add_argument("--figures", type=workers.figures, metavar="SERIAL,ROWS,DENSE,SPARSE,GROWTH")


def _part(
    parts: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    rounds: int,
    steps: int | None = None,
) -> argparse.ArgumentParser:
    part = parts.add_parser(name, description=run.__doc__)
    part.set_defaults(main=run)
    part.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    if steps is not None:
        part.add_argument("--steps", type=int, default=steps, help="timed, default: %(default)s")
    part.add_argument("--results", type=Path, default=RESULTS, help="folder of JSON and plot")
    return part


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Returns what reads a list such as `A,B`."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)} (known: {', '.join(known)})"
            )
        return names

    return read


def _numbers(text: str) -> list[int]:
    """Reads a list such as `1,2`."""
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
