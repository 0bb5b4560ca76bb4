"""`seq2seq register`: registers a run's model in MLflow."""

import argparse
import json
from pathlib import Path

EXAMPLES = """\
  seq2seq register outputs/translation/cldr_dates/2026-11-22_09-00-00 --name dates
  seq2seq register RUN --name dates --alias champion
  seq2seq predict models:/dates@champion sentences.txt
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "model",
        metavar="RUN",
        help="a run folder, a sweep's folder (its best trial), or an MLflow run id",
    )
    parser.add_argument("--name", required=True, help="the name in MLflow's model registry")
    parser.add_argument("--alias", help="an alias of this version, such as champion")
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="the MLflow store (default as for training)"
    )


def run(options: argparse.Namespace) -> int:
    """Registers the model, and prints its URI."""
    from seq2seq.tracking.logged_models import Registry

    registry = Registry(options.tracking_uri)
    version = registry.register(_run_id(options.model), options.name, options.alias)
    alias = f" models:/{options.name}@{options.alias}" if options.alias else ""
    print(f"models:/{options.name}/{version}{alias}")
    return 0


def _run_id(run: str) -> str:
    from seq2seq.errors import UserError

    folder = Path(run)
    if not folder.is_dir():
        return run
    best = folder / "best.json"
    if best.is_file():
        folder = folder / str(json.loads(best.read_text("utf-8"))["trial"])
    run_id = folder / "mlflow_run_id"
    if not run_id.is_file():
        raise UserError(f"{folder}: was not tracked by MLflow (it has no mlflow_run_id)")
    return run_id.read_text("utf-8").strip()
