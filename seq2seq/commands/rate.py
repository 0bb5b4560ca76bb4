"""`seq2seq rate`: finds a learning rate for a recipe by one short training."""

import argparse
from pathlib import Path

from seq2seq.commands._figure import check_figure_folder
from seq2seq.commands._overrides import check_recipe_is_named, config_of, overrides_argument
from seq2seq.commands._start_tensorflow import start_tensorflow
from seq2seq.errors import UserError

EXAMPLES = """\
  seq2seq rate translation/cldr_dates
  seq2seq rate classification/imdb model.encoder.units=128 --steps 200
  seq2seq rate tagging/own_data data.directory=/my/data --from 1e-5 --to 0.1 --figure rates.png
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    overrides_argument(parser, "rate")
    parser.add_argument(
        "--steps", type=int, default=100, metavar="N", help="training steps (default: 100)"
    )
    parser.add_argument(
        "--from", dest="lowest", type=float, default=1e-6, metavar="RATE",
        help="the rate of the first step (default: 1e-6)",
    )  # fmt: skip
    parser.add_argument(
        "--to", dest="highest", type=float, default=1.0, metavar="RATE",
        help="the rate of the last step (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--figure", type=Path, default=Path("learning_rates.png"), metavar="FILE",
        help="the picture that is written (default: learning_rates.png)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Trains with a rising rate, draws the losses, and prints a suggestion."""
    check_recipe_is_named(options.overrides, "rate")
    if options.steps < 10:
        raise UserError(f"--steps {options.steps}: has to be 10 or more")
    if not 0 < options.lowest < options.highest:
        raise UserError(
            f"--from {options.lowest:g} --to {options.highest:g}: have to be above 0, and rising"
        )
    check_figure_folder(options.figure)
    start_tensorflow()
    from seq2seq.plots.figure import save_figure
    from seq2seq.plots.range_test import range_test_figure
    from seq2seq.rate_test import rate_test

    config = config_of(options.overrides, "tracking=none")
    test = rate_test(config, options.steps, options.lowest, options.highest)
    if not test.rates:
        raise UserError(f"--from {options.lowest:g}: the first step diverges already; lower it")
    figure = range_test_figure(test.rates, test.losses, test.smoothed, test.suggested)
    heading = options.overrides[0].removeprefix("recipe=")
    save_figure(figure, options.figure, heading=heading)
    if test.diverged:
        print(f"the loss diverges above a rate of {test.rates[-1]:.1e}")
    print(f"the loss is lowest at a rate of {test.lowest:.1e}")
    if test.suggested is None:
        print("it does not fall: try --from and --to, or more --steps")
    else:
        print(f"it falls fastest at: optimizer.learning_rate={test.suggested:.1e}")
    print(f"picture: {options.figure}")
    return 0
