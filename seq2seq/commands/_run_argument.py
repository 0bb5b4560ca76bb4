"""Options for the runs that commands load and for searches; runs from MLflow's model registry."""

import argparse
import re
from pathlib import Path

from seq2seq.progress import step

RUN_ID = re.compile("[0-9a-f]{8,32}")


def trust_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option --trust."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module or class of yours that the run's config may name, such as mypackage.layers; "
        "other code than seq2seq's is refused; may be repeated",
    )


def ensemble_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option --ensemble."""
    parser.add_argument(
        "--ensemble",
        nargs="+",
        action="extend",
        default=[],
        type=Path,
        metavar="RUN",
        help="further runs with the same vocabularies, whose distributions are averaged",
    )


def search_options(group: argparse._ArgumentGroup) -> None:
    """Adds the options --decoding, --set and --n-best."""
    group.add_argument(
        "--decoding", metavar="NAME", help="greedy, beam or sampling (default: that of the run)"
    )
    set_option(group, "changed settings of the search, such as beam_size=10")
    group.add_argument(
        "--n-best",
        type=int,
        metavar="N",
        help="the number of hypotheses (default: as the search says)",
    )


def set_option(group: argparse._ActionsContainer, text: str) -> None:
    """Adds the option --set, whose help is the text."""
    group.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help=text,
    )


def local_run(model: str | Path) -> Path:
    """Returns the path of a run folder.

    Finds it for an id of `seq2seq runs`, and downloads a registered model, `models:/NAME@ALIAS`.
    """
    name = str(model)
    if name.startswith("models:"):
        with step("downloading the model"):
            from seq2seq.tracking.logged_models import Registry

            return Registry().download(name)
    if RUN_ID.fullmatch(name) and not Path(name).exists():
        with step("looking for the run"):
            from seq2seq.tracking.mlflow_runs import RunStore

            store = RunStore()
            return store.folder(store.find(name)[-1])
    return Path(name)
