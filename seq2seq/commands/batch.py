"""`seq2seq batch`: measures speed and memory of a training with batches of several sizes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.commands._figure import check_figure_folder
from seq2seq.commands._overrides import check_recipe_is_named, config_of, overrides_argument
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.errors import UserError

if TYPE_CHECKING:
    from seq2seq.batch_size_test import MeasuredSize

FACTORS = (0.25, 0.5, 1, 2, 4)
"""The default sizes, as multiples of the recipe's."""

EXAMPLES = """\
  seq2seq batch translation/cldr_dates
  seq2seq batch classification/imdb --sizes 16,32,64,128 --steps 50
  seq2seq batch tagging/own_data data.directory=/my/data precision=bfloat16 --figure sizes.png
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    overrides_argument(parser, "batch")
    parser.add_argument(
        "--sizes", type=_sizes, metavar="N,N,...",
        help="values of batching.batch_size (default: the recipe's times 1/4, 1/2, 1, 2 and 4)",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=int, default=20, metavar="N",
        help="training steps with each size (default: 20)",
    )  # fmt: skip
    parser.add_argument(
        "--figure", type=Path, default=Path("batch_sizes.png"), metavar="FILE",
        help="the picture that is written (default: batch_sizes.png)",
    )  # fmt: skip


def _sizes(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(
            f"has to be whole numbers of at least 1, such as 16,32,64, got {text!r}"
        )
    return sorted(set(map(int, parts)))


def run(options: argparse.Namespace) -> int:
    """Trains some steps with each size, prints and draws what they cost, and suggests one."""
    check_recipe_is_named(options.overrides, "batch")
    if options.steps < 1:
        raise UserError(f"--steps {options.steps}: has to be 1 or more")
    check_figure_folder(options.figure)
    start_tensorflow()
    from seq2seq.batch_size_test import best_size, measured_sizes
    from seq2seq.plots.batch_sizes import batch_size_figure
    from seq2seq.plots.figure import save_figure

    config = config_of(options.overrides, "tracking=none")
    own = config.batching.batch_size
    sizes = options.sizes or sorted({max(int(own * factor), 1) for factor in FACTORS})
    print("batch_size    steps   labels/s    memory", flush=True)
    measured = []
    for cost in measured_sizes(config, sizes, options.steps):
        print(_line(cost), flush=True)
        measured.append(cost)
    size = best_size(measured)
    if size is None:
        raise UserError("--sizes: there is not enough memory for any; name smaller ones")
    print(_advice(size, own))
    points = [(cost.size, cost.speed, cost.memory) for cost in measured if cost.fits]
    figure = batch_size_figure(*zip(*points, strict=True))
    save_figure(figure, options.figure, heading=options.overrides[0].removeprefix("recipe="))
    print(f"picture: {options.figure}")
    return 0


def _line(measured: "MeasuredSize") -> str:
    line = f"{measured.size:>10,} {measured.steps:>8,}"
    if not measured.fits:
        return f"{line} not enough memory: needs about {measured.estimate:.1f} GiB"
    return f"{line} {measured.speed:>10,.0f} {measured.memory:>5.1f} GiB"


def _advice(size: int, own: int) -> str:
    advice = f"the smallest of about the highest speed: batching.batch_size={size}"
    if size == own:
        return f"{advice}, which is the recipe's"
    more = "fewer" if size > own else "more"
    return f"{advice}; an epoch has {more} steps then: look at the learning rate, `seq2seq rate`"
