"""`seq2seq download`: gets the data of recipes."""

import argparse
from pathlib import Path

EXAMPLES = """\
  seq2seq download
  seq2seq download multi30k_en_de
  seq2seq download classification/sst2 --directory /my/data
  SEQ2SEQ_DATA=/my/data seq2seq train classification/sst2

recipes on TensorFlow Datasets, such as classification/imdb, download by themselves
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    argument = parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="a data set or its recipe (default: list the data sets)",
    )
    argument.completer = complete_name  # type: ignore[attr-defined]  # read by argcomplete
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="D",
        help="put the files into D/NAME (default: the folder that the variable SEQ2SEQ_DATA names, "
        "where recipes look, or ../shared/data)",
    )


def complete_name(**_: object) -> list[str]:
    """Returns the names of the data sets."""
    from seq2seq.data.downloads import data_sets

    return list(data_sets())


def run(options: argparse.Namespace) -> int:
    """Downloads a data set, or lists those that can be downloaded."""
    from seq2seq.data.downloads import data_directory, data_sets, download
    from seq2seq.errors import UserError
    from seq2seq.nearest_name import nearest

    sets = data_sets()
    if options.name is None:
        _print_list()
        return 0
    by_recipe = {recipe: data_set for data_set in sets.values() for recipe in data_set.recipes}
    data_set = sets.get(options.name) or by_recipe.get(options.name)
    if data_set is None:
        raise UserError(
            f"{options.name}: no such data set{nearest(options.name, {**sets, **by_recipe})}. "
            "`seq2seq download` lists them"
        )
    directory = options.directory or data_directory()
    print(f"{data_set.title}; licence: {data_set.licence}\nfrom {data_set.address}", flush=True)
    folder = download(data_set, directory, lambda line: print(line, flush=True))
    variable = "" if directory == data_directory() else f"SEQ2SEQ_DATA={directory.absolute()} "
    print(f"The data are in {folder}. Train on them:")
    for recipe in data_set.recipes:
        print(f"  {variable}seq2seq train {recipe}")
    return 0


def _print_list() -> None:
    from rich.table import Column, Table

    from seq2seq.data.downloads import data_sets
    from seq2seq.terminal import PlainConsole

    table = Table("name", "size", "licence", Column("recipes", no_wrap=True), box=None)
    for name, data_set in data_sets().items():
        size = f"{data_set.size / 1e6:.1f} MB"
        table.add_row(name, size, data_set.licence, "\n".join(data_set.recipes))
    PlainConsole(width=max(80, PlainConsole().width)).print(table)
