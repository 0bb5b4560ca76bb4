"""Models on the command line: run folders, and `models:/NAME@ALIAS` of MLflow's registry."""

import argparse
from pathlib import Path


def trust_option(parser: argparse.ArgumentParser) -> None:
    """Describes how a user's own classes are trusted."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module or class of yours that the run's config may name, such as "
        "mypackage.layers; other code than seq2seq's own is refused; may be given again",
    )


def local_run(model: str | Path) -> Path:
    """A run folder as it is, a registered model as a local copy of its run folder.

    MLflow is imported only where it is needed: that takes seconds.

    Raises:
        UserError: If there is no such registered model.
    """
    if not str(model).startswith("models:"):
        return Path(model)
    from seq2seq.tracking.logged_models import Registry

    return Registry().download(str(model))
