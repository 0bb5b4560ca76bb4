"""Models on the command line: run folders, and `models:/NAME@ALIAS` of MLflow's registry."""

import argparse
from pathlib import Path


def trust_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option --trust."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module or class of yours that the run's config may name, such as "
        "mypackage.layers; all other code but seq2seq's own is refused; may be given again",
    )


def local_run(model: str | Path) -> Path:
    """Returns a run folder, or a local copy of a registered model.

    Raises:
        UserError: If there is no such registered model.
    """
    if not str(model).startswith("models:"):
        return Path(model)
    from seq2seq.tracking.logged_models import Registry

    return Registry().download(str(model))
