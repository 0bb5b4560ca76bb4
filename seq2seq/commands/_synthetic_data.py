"""What the commands `distill` and `augment` have in common."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands._run_argument import ensemble_option, set_option, trust_option

if TYPE_CHECKING:
    from seq2seq.inference.synthetic.data_folder import Written
    from seq2seq.inference.synthetic.translators import Decoding


def synthetic_data_options(parser: argparse.ArgumentParser, real_copies: int) -> None:
    """Adds the options of both commands; `real_copies` is a default."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FOLDER",
        type=Path,
        required=True,
        help="the folder of the data; one that is not complete is continued",
    )
    ensemble_option(parser)
    parser.add_argument(
        "--real-copies",
        type=int,
        metavar="N",
        default=real_copies,
        help=f"how often the real training pairs are in the training data (default {real_copies})",
    )
    group = parser.add_argument_group("search")
    group.add_argument(
        "--decoding",
        metavar="NAME",
        default="beam",
        help="greedy, beam or sampling (default beam)",
    )
    set_option(group, "changed settings of the search, such as beam_size=10")
    group.add_argument(
        "--batch-size", type=int, metavar="N", default=64, help="texts at once (default 64)"
    )
    group.add_argument(
        "--shard-size",
        type=int,
        metavar="N",
        default=4096,
        help="texts of a shard, which is what a stopped command does again (default 4096)",
    )
    trust_option(parser)


def decoding_of(options: argparse.Namespace) -> "Decoding":
    """Returns how texts are translated."""
    from seq2seq.inference.synthetic.translators import Decoding
    from seq2seq.request import parse_settings

    return Decoding(
        options.decoding, parse_settings(options.set), options.batch_size, options.shard_size
    )


def print_result(folder: Path, written: "Written", who: str) -> None:
    """Prints what the data are, and the command that trains `who` on them."""
    counts = written.manifest["counts"]
    assert isinstance(counts, dict)
    numbers = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    print(f"{folder}: {numbers}\nTrain {who}:\n  {written.command}")
