"""`seq2seq sync`: sends to MLflow what it did not get of a run."""

import argparse
import json
from pathlib import Path
from typing import Any, cast

from seq2seq.commands._run_argument import trust_option
from seq2seq.errors import UserError
from seq2seq.progress import step

EXAMPLES = """\
  seq2seq sync outputs/translation/cldr_dates/2026-11-22_09-00-00
  seq2seq sync outputs/*/*/2026-11-22_*
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="a run folder")
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="the MLflow store (default that of the run)"
    )
    trust_option(parser)


def run(options: argparse.Namespace) -> int:
    """Sends metrics, scores, files and the status of each run; nothing is there twice."""
    for folder in options.runs:
        with step(f"sending {folder}"):
            print(_synced(folder, options))
    return 0


def _synced(folder: Path, options: argparse.Namespace) -> str:
    from omegaconf import OmegaConf

    from seq2seq.config import build_as
    from seq2seq.naming import tags_of
    from seq2seq.overrides import saved_hydra
    from seq2seq.run_folder import SAVED, claimed
    from seq2seq.tracking.mlflow_tracker import MlflowTracker
    from seq2seq.trust import load_saved

    path = folder / SAVED / "config.yaml"
    if not path.is_file():
        raise UserError(f"{folder}: is not a run folder, it has no {SAVED}/config.yaml")
    with claimed(folder):
        config = load_saved(path, options.trust)
        if options.tracking_uri is not None:
            config.tracking.tracking_uri = options.tracking_uri
        tracker = build_as(config, "tracking", MlflowTracker)
        choices = saved_hydra(path.with_name("hydra.yaml"), "runtime", "choices", dict)
        values = cast(dict[str, Any], OmegaConf.to_container(config))
        tracker.sync(folder, values, tags_of(choices, config), _results(folder / "metrics.json"))
    return f"{folder}: in MLflow, run {tracker.run_id}"


def _results(path: Path) -> dict[str, dict[str, float]] | None:
    """Returns the scores of a finished run; None if it has not finished."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
        parts = {part: dict(content[part]) for part in ("validation", "test", "training")}
        int(parts["training"]["steps"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: is damaged; `seq2seq train resume={path.parent}` writes it again"
        ) from error
    return parts
