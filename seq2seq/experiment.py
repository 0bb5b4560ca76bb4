"""Runs one experiment: builds data, task and model from a config, trains, evaluates and tracks."""

import json
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import keras
import tensorflow as tf
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from seq2seq.cluster import cluster
from seq2seq.config import build_as
from seq2seq.data.dataset import Dataset
from seq2seq.errors import UserError
from seq2seq.files import write_text
from seq2seq.log_file import log_to
from seq2seq.models.base import SequenceModel
from seq2seq.naming import run_name
from seq2seq.ops.compile import compiled_in_background
from seq2seq.ops.dispatch import disable_inter_op_parallelism
from seq2seq.plots.curves import learning_curves
from seq2seq.plots.figure import save_figure
from seq2seq.progress import shown_on, step
from seq2seq.report import print_report
from seq2seq.results import (
    collect_metrics,
    curves_of,
    intervals_of,
    write_history,
    write_results,
)
from seq2seq.run_folder import saved_overrides
from seq2seq.tasks.base import Task
from seq2seq.tasks.evaluation import Evaluation
from seq2seq.tasks.initial_encoder import InitialEncoder
from seq2seq.tasks.initial_weights import copy_weights, saved_tokenizers
from seq2seq.tasks.model_folder import (
    build_model,
    build_task,
    precision,
    save_model_folder,
)
from seq2seq.tasks.run_callback import RunCallback
from seq2seq.terminal import PlainConsole
from seq2seq.tracking.base import NOT_UPLOADED, RunStatus, Tracker, final_scores
from seq2seq.tracking.environment import ENVIRONMENT, describe_environment
from seq2seq.tracking.model_card import MODEL_CARD, ModelCard, SplitSummary
from seq2seq.training.checkpoints import Progress
from seq2seq.training.optimizers import build_optimizer
from seq2seq.training.stop_on_signal import TrainingInterrupted
from seq2seq.training.trainer import Trainer
from seq2seq.training.workers import ALONE, Workers
from seq2seq.trust import Trust

log = logging.getLogger(__name__)

EVALUATED_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Experiment:
    """The parts of a run, built from its config."""

    tracker: Tracker
    data: Dataset
    task: Task[Any, Any]
    model: SequenceModel
    trainer: Trainer
    optimizer: keras.optimizers.Optimizer
    workers: Workers


def run(
    config: DictConfig,
    run_folder: Path,
    tags: dict[str, str],
    console: Console,
    trust: Trust = (),
) -> dict[str, Any]:
    """Trains, evaluates and tracks one run; a worker that is not the chief only trains.

    Args:
        config: The composed config.
        run_folder: The folder for all files of the run.
        tags: The tags of the tracked run, such as its recipe.
        console: The console for log lines and progress; the final report goes to stdout.
        trust: Further modules and classes that a run may name whose weights initialise the model.

    Returns:
        The content of `metrics.json`; nothing, if the chief has it.

    Raises:
        UserError: If the config, the data or the machine cannot be used.
        TrainingInterrupted: After Ctrl-C; the last checkpoint and the model are saved.
    """
    workers = connected_workers(config)
    seed_everything(config.seed)
    keras.utils.clear_session()  # a sweep has many runs in one process
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    with (
        compiled_in_background(),
        precision(config.precision),
        shown_on(console),
        log_to(run_folder),
    ):
        experiment = build_experiment(config, run_folder, trust, workers)
        if not workers.is_chief:
            fit(experiment, run_folder)
            return {}
        tracker, task = experiment.tracker, experiment.task
        with tracked(tracker, run_folder, plain, tags, experiment.trainer.resume):
            with step("logging the data"):
                splits = summarize_data(experiment.data, task, tags.get("data"))
                for split in splits:
                    tracker.log_dataset(split)
            progress = train(experiment, run_folder, plain)
            evaluations = evaluate(experiment)
            metrics = collect_metrics(evaluations, progress)
            with step("writing the results"):
                write_history(run_folder, progress)
                write_results(run_folder, evaluations, metrics)
            with step("drawing the figures"):
                heading = run_name(tags, plain) or run_folder.name
                draw_figures(experiment, evaluations["test"], progress, run_folder, heading)
            with step("logging the results"):
                card = model_card(experiment, evaluations, metrics, splits, tags, plain, run_folder)
                write_text(run_folder / MODEL_CARD, card.file())
                tracker.log_card(card)
                example = task.served_example(experiment.data, evaluations["test"].rows)
                log_results(tracker, evaluations, metrics, progress, run_folder / "model", example)
    _report(evaluations["test"], metrics, run_folder, tracker)
    return metrics


def _report(test: Evaluation, metrics: dict[str, Any], run_folder: Path, tracker: Tracker) -> None:
    """Prints the scores and samples of a finished run, and where it is."""
    baselines = test.tables.get("baselines", [])
    print_report(PlainConsole(), metrics, test.rows, run_folder, tracker.pages(), baselines)


def connected_workers(config: DictConfig) -> Workers:
    """Returns the processes that train together, connected before TensorFlow runs an operation."""
    disable_inter_op_parallelism()
    # Runs of older versions have no such group.
    workers = build_as(config, "distribute", Workers) if "distribute" in config else ALONE
    if workers.count == 1 and cluster().source == "TF_CONFIG":
        raise UserError(
            "distribute: TF_CONFIG names several workers, and each would train a run of its own. "
            "Add distribute=multi_worker, or unset TF_CONFIG"
        )
    workers.connect()
    return workers


def build_experiment(
    config: DictConfig, run_folder: Path, trust: Trust = (), workers: Workers = ALONE
) -> Experiment:
    """Builds the parts of a run, prepares the data, and initialises the model."""
    tracker = build_as(config, "tracking", Tracker)
    data = build_as(config, "data", Dataset)  # type: ignore[type-abstract]
    task = build_task(config)
    trainer = build_as(config, "trainer", Trainer)
    optimizer = build_optimizer(config)
    initial = None if config.init_from is None else Path(config.init_from).expanduser()
    saved = saved_tokenizers(initial, config.init_tokenizers)
    # An invalid model fails here, before the data are read.
    with step("checking the model"):
        task.check_model(build_model(config, task.example_arguments))
    task.prepare(data, config.seed, saved)
    seed_everything(config.seed)  # again, since building and preparing draw random numbers
    with step("building the model"):
        model = build_model(config, task.model_arguments())
        log.info("model: %s parameters", f"{model.training_model.count_params():,}")
        is_fitted = config.init_tokenizers == "data"
        if initial is None or is_fitted:
            task.initialize(model)
        if initial is not None:
            copy_weights(initial, model, task if is_fitted else None, trust)
    initial_encoder = build_as(config, "initial_encoder", InitialEncoder)
    callbacks = {**(trainer.callbacks or {}), **initial_encoder.give(task, model, trust)}
    trainer.callbacks = callbacks
    for callback in callbacks.values():
        if isinstance(callback, RunCallback):
            callback.watch(task, model, data, run_folder, tracker.log_folder)
    return Experiment(tracker, data, task, model, trainer, optimizer, workers)


def train(experiment: Experiment, run_folder: Path, config: dict[str, Any]) -> Progress:
    """Trains the model, calibrates the task, and saves both in the model folder."""
    task, model = experiment.task, experiment.model
    write_text(run_folder / ENVIRONMENT, json.dumps(describe_environment(), indent=1))
    try:
        progress = fit(experiment, run_folder)
    except TrainingInterrupted:  # the model can predict nevertheless
        save_model_folder(run_folder / "model", task, model, config)
        raise
    with step("saving the model"):
        task.calibrate(model)
        save_model_folder(run_folder / "model", task, model, config)
    return progress


def fit(experiment: Experiment, run_folder: Path) -> Progress:
    """Trains the model."""
    task, model = experiment.task, experiment.model

    def score_validation() -> dict[str, float]:
        with step("scoring validation"):
            return task.validation_scores(model, experiment.data.records("validation"))

    return experiment.trainer.fit(
        model.loss_model,
        task,
        experiment.optimizer,
        run_folder,
        score_validation,
        experiment.tracker.log_metrics,
        experiment.workers,
    )


def evaluate(experiment: Experiment) -> dict[str, Evaluation]:
    """Predicts and scores validation and test data, and adds the loss to the scores."""
    task, model = experiment.task, experiment.model
    evaluations = {}
    for split in EVALUATED_SPLITS:
        with step(f"scoring {split}"):
            evaluations[split] = task.evaluate(model, experiment.data.records(split))
    for split, evaluation in evaluations.items():
        with step(f"measuring the {split} loss"):
            loss = experiment.trainer.measure(model.loss_model, task.loss, task.batches(split))
        evaluation.scores.update(loss)
    return evaluations


def seed_everything(seed: Any) -> None:
    """Seeds all random generators and makes TensorFlow deterministic.

    Runs of the same config on the same machine are bit-identical then.

    Raises:
        UserError: If the seed is not a whole number from 0 to 2**32 - 1.
    """
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f"seed: must be a whole number from 0 to {2**32 - 1}, got {seed!r}")
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


@contextmanager
def tracked(
    tracker: Tracker, run_folder: Path, config: dict[str, Any], tags: dict[str, str], resume: bool
) -> Iterator[None]:
    """Starts the tracked run, and finishes it with the status of the block's end."""
    with step("starting the tracked run"):
        tracker.start(run_folder, config, tags, resume)
    status: RunStatus = "FAILED"
    try:
        yield
        status = "FINISHED"
    except (TrainingInterrupted, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        with step("logging the run folder"):
            tracker.log_folder(run_folder, ignore=NOT_UPLOADED)
            tracker.finish(status)


def summarize_data(data: Dataset, task: Task[Any, Any], name: str | None) -> list[SplitSummary]:
    """Returns the source, the size and a digest of the content of each split.

    `name` is that of the data; None for the name that the dataset has for itself.
    """
    about = data.describe()
    return [
        SplitSummary(
            split, name or about["name"], about["source"], data.fingerprint(split), len(store)
        )
        for split, store in task.stores.items()
    ]


def draw_figures(
    experiment: Experiment,
    evaluation: Evaluation,
    progress: Progress,
    run_folder: Path,
    heading: str,
) -> None:
    """Writes the figures of a task's test split and the learning curves into `plots/`."""
    figures = experiment.task.figures(experiment.model, evaluation)
    for name, figure in figures.items():
        path = run_folder / "plots" / f"{name}.png"
        save_figure(figure, path, heading=f"{heading}, test split")
    curves = learning_curves(curves_of(progress))
    save_figure(curves, run_folder / "plots" / "curves.png", heading=heading)


def model_card(
    experiment: Experiment,
    evaluations: dict[str, Evaluation],
    metrics: dict[str, Any],
    splits: Sequence[SplitSummary],
    tags: dict[str, str],
    config: dict[str, Any],
    run_folder: Path,
) -> ModelCard:
    """Returns the description of a run for its readers."""
    return ModelCard(
        tags={**tags, **(config["tracking"].get("tags") or {})},
        splits=splits,
        metrics=metrics,
        overrides=saved_overrides(run_folder),
        parameters=experiment.model.training_model.count_params(),
        run_folder=run_folder,
        example=evaluations["test"].rows[0],
        intervals=intervals_of(evaluations["test"], config["task"].get("bleu_tokenize")),
        seed=config["seed"],
        baselines=evaluations["test"].tables.get("baselines", []),
    )


def log_results(
    tracker: Tracker,
    evaluations: dict[str, Evaluation],
    metrics: dict[str, Any],
    progress: Progress,
    folder: Path,
    example: tuple[Any, Mapping[str, Any]] | None,
) -> None:
    """Logs the model of a model folder, its final scores and sample predictions.

    `example` is an input of the model and a row of its answer; None if it cannot be served.
    """
    rows: Sequence[Mapping[str, Any]] = evaluations["test"].rows
    if example is not None:
        tracker.log_model(folder, *example, progress.total_steps)
    tracker.log_scores(final_scores(metrics), progress.total_steps)
    samples = random.Random(0).sample(rows, min(20, len(rows)))
    tables: dict[str, Sequence[Mapping[str, Any]]] = {"samples": samples}
    tables.update(evaluations["test"].tables)
    for name, table in tables.items():
        if table:
            columns = {key: [row[key] for row in table] for key in table[0]}
            tracker.log_table(columns, f"{name}.json")
