"""One run from its config: data -> task -> trainer -> evaluation -> tracking."""

import json
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import keras
import tensorflow as tf
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from seq2seq.config import build, build_as
from seq2seq.data.dataset import Dataset
from seq2seq.errors import UserError
from seq2seq.files import write_text
from seq2seq.ops.dispatch import disable_inter_op_parallelism
from seq2seq.plots.curves import learning_curves
from seq2seq.plots.files import save_figure
from seq2seq.report import print_report
from seq2seq.run_folder import LOCK
from seq2seq.tasks.base import Evaluation, Row
from seq2seq.tasks.model_folder import build_task, precision, save_model_folder
from seq2seq.tasks.run_callback import RunCallback
from seq2seq.terminal import PlainFormatter
from seq2seq.tracking.base import RunStatus, Tracker
from seq2seq.training.checkpoints import Progress
from seq2seq.training.interrupt import TrainingInterrupted
from seq2seq.training.trainer import Trainer
from seq2seq.trust import Trust

log = logging.getLogger(__name__)

EVALUATED = ("validation", "test")


def run(
    config: DictConfig,
    run_folder: Path,
    tags: dict[str, str],
    console: Console,
    trust: Trust = (),
) -> dict[str, Any]:
    """Trains, evaluates and tracks one run.

    Args:
        config: The composed config.
        run_folder: Where everything the run makes is kept.
        tags: What to find the tracked run by, such as its recipe.
        console: Where a person follows the run.
        trust: Modules and classes of one's own that runs may name of which this one takes weights.

    Returns:
        The content of `metrics.json`.

    Raises:
        UserError: If something the user can mend is wrong.
        TrainingInterrupted: After Ctrl-C; what was learned is saved.
    """
    disable_inter_op_parallelism()
    seed_everything(config.seed)
    keras.utils.clear_session()  # a sweep runs many in one process
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    with precision(config.precision), log_to(run_folder, console):
        tracker = build_as(config, "tracking", Tracker)  # type: ignore[type-abstract]
        data = build_as(config, "data", Dataset)  # type: ignore[type-abstract]
        task = build_task(config)
        trainer = build_as(config, "trainer", Trainer)
        optimizer = build_as(config, "optimizer", keras.optimizers.Optimizer)
        # An impossible model fails here, at once.
        task.check_model(build(config, "model", **task.example_arguments))
        task.prepare(data, config.seed)
        seed_everything(config.seed)  # what was drawn so far does not count
        model = build(config, "model", **task.model_arguments())
        log.info("model: %s parameters", f"{model.training_model.count_params():,}")
        task.initialize(model)
        trainer.callbacks |= build(config, "initial_encoder").give(task, model, trust)
        for callback in trainer.callbacks.values():
            if isinstance(callback, RunCallback):
                callback.watch(task, model, data, run_folder, tracker.log_folder)

        def score_validation() -> dict[str, float]:
            return task.evaluate(model, data.records("validation")).scores

        with tracked(tracker, run_folder, plain, tags, trainer.resume):
            log_data(tracker, data)
            try:
                progress = trainer.fit(
                    model.loss_model,
                    task,
                    optimizer,
                    run_folder,
                    score_validation,
                    tracker.log_metrics,
                    console,
                )
            except TrainingInterrupted:  # what was learned can predict
                save_model_folder(run_folder / "model", task, model, plain)
                raise
            task.calibrate(model)
            save_model_folder(run_folder / "model", task, model, plain)
            evaluations = {split: task.evaluate(model, data.records(split)) for split in EVALUATED}
            for split, evaluation in evaluations.items():
                evaluation.scores.update(
                    trainer.measure(model.loss_model, task.loss, task.batches(split))
                )
            metrics = collect_metrics(evaluations, progress)
            write_history(run_folder, progress)
            write_results(run_folder, evaluations, metrics)
            for name, figure in task.figures(model, evaluations["test"]).items():
                save_figure(figure, run_folder / "plots" / f"{name}.png")
            log_results(tracker, run_folder, evaluations, metrics, progress)
    print_report(console, metrics, evaluations["test"].rows, run_folder, tracker.page_command())
    return metrics


def seed_everything(seed: Any) -> None:
    """Makes two runs of one config on one machine bit-identical.

    Raises:
        UserError: If the seed is impossible.
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f"seed: must be a whole number from 0 to {2**32 - 1}, got {seed!r}")
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


class ConsoleHandler(logging.Handler):
    """Prints log lines above the progress bar, whole."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one line."""
        self.console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def log_to(run_folder: Path, console: Console) -> Iterator[None]:
    """Sends the package's log to the console and, with times, to `train.log`."""
    run_folder.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(run_folder / "train.log", encoding="utf-8")
    to_file.setFormatter(PlainFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    to_console = ConsoleHandler(console)
    logger = logging.getLogger("seq2seq")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in (to_file, to_console):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in (to_file, to_console):
            logger.removeHandler(handler)
        to_file.close()


@contextmanager
def tracked(
    tracker: Tracker, run_folder: Path, config: dict[str, Any], tags: dict[str, str], resume: bool
) -> Iterator[None]:
    """Opens the tracked run, and closes it with the status that the block ends with."""
    tracker.start(run_folder, config, tags, resume)
    status: RunStatus = "FAILED"
    try:
        yield
        status = "FINISHED"
    except (TrainingInterrupted, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        tracker.log_folder(run_folder, ignore=["checkpoints/*", LOCK])
        tracker.finish(status)


def log_data(tracker: Tracker, data: Dataset) -> None:
    """Logs where each split comes from, with a digest of its content."""
    description = data.describe()
    for split in ("train", *EVALUATED):
        tracker.log_dataset(
            description["name"], description["source"], data.fingerprint(split), split
        )


def collect_metrics(evaluations: dict[str, Evaluation], progress: Progress) -> dict[str, Any]:
    """Puts the scores of the splits and the cost of the training together."""
    return {
        **{split: dict(sorted(e.scores.items())) for split, e in evaluations.items()},
        "training": {
            "steps": progress.total_steps,
            "epochs": progress.epoch,
            "best_epoch": progress.best_epoch,
            "seconds": round(progress.seconds, 1),
            "target_tokens_per_second": round(progress.target_tokens / progress.training_seconds),
            "waiting_share": round(progress.waiting_share, 5),
        },
        "signatures": evaluations["test"].signatures,
    }


def write_results(
    run_folder: Path, evaluations: dict[str, Evaluation], metrics: dict[str, Any]
) -> None:
    """Writes `predictions/`, `tables/`, then `metrics.json`: who finds that finds all."""
    for split, evaluation in evaluations.items():
        write_rows(run_folder / "predictions" / f"{split}.jsonl", evaluation.rows)
        for name, rows in evaluation.tables.items():
            write_rows(run_folder / "tables" / f"{split}_{name}.jsonl", rows)
    write_text(run_folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")


def write_history(run_folder: Path, progress: Progress) -> None:
    """Writes `history.jsonl`: what each epoch scored, and what had been spent by then."""
    unknown: list[dict[str, float]] = [{}] * (len(progress.history) - len(progress.costs))
    costs = [*unknown, *progress.costs]  # a run of an older version has none
    epochs = [{**epoch, **cost} for epoch, cost in zip(progress.history, costs, strict=True)]
    write_rows(run_folder / "history.jsonl", epochs)


def write_rows(path: Path, rows: list[Row]) -> None:
    """Writes one JSON object a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def log_results(
    tracker: Tracker,
    run_folder: Path,
    evaluations: dict[str, Evaluation],
    metrics: dict[str, Any],
    progress: Progress,
) -> None:
    """Logs final scores, sample predictions and the learning curves."""
    finals = {
        f"{part}_{name}": value
        for part in (*EVALUATED, "training")
        for name, value in metrics[part].items()
    }
    tracker.log_metrics(finals, progress.total_steps)
    rows = evaluations["test"].rows
    if "source" in rows[0]:
        source, steps = rows[0]["source"], progress.total_steps
        tracker.log_model(run_folder / "model", source, rows[0], finals, steps)
    sample = random.Random(0).sample(rows, min(20, len(rows)))
    tracker.log_table({key: [row[key] for row in sample] for key in sample[0]}, "samples.json")
    for name, table in evaluations["test"].tables.items():
        if table:
            columns = {key: [row[key] for row in table] for key in table[0]}
            tracker.log_table(columns, f"{name}.json")
    curves: dict[str, list[tuple[int, float]]] = {}
    for epoch in progress.history:
        for name, value in epoch.items():
            if name != "step":
                curves.setdefault(name.removeprefix("train_"), []).append(
                    (int(epoch["step"]), value)
                )
    save_figure(learning_curves(curves), run_folder / "plots" / "curves.png")
