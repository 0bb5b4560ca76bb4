"""`seq2seq evaluate`: computes the scores of a run on a split of its data, or on files."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from omegaconf import DictConfig

from seq2seq.config import build
from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.by_ending import labelled_file
from seq2seq.data.formats.conll import Conll, is_conll, layout_of
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.data.formats.series import Series
from seq2seq.errors import UserError
from seq2seq.inference.history_tables import advice_for, changed_reading
from seq2seq.inference.input_files import check_readable
from seq2seq.inference.output_files import output
from seq2seq.inference.predictor import Predictor
from seq2seq.progress import step
from seq2seq.tasks.forecasting import Forecasting
from seq2seq.tasks.generation import Generation
from seq2seq.tasks.generation.evaluation import checked_rate
from seq2seq.tasks.model_folder import PARTS, build_task
from seq2seq.trust import Trust, load_saved


def evaluate(
    run_folder: Path,
    split: str,
    source: Path | None,
    target: Path | None,
    predictions: Path | None,
    dynamic_rate: float | None = None,
    trust: Trust = (),
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, float]:
    """Predicts and scores, prints the scores as JSON, and returns them.

    Args:
        run_folder: A run folder.
        split: A split of the data that the run was trained on.
        source: A file to use instead. It holds sources only, or also references: then in the format
            of the files that the run was trained on, or in CoNLL.
        target: A file with the reference of each line of `source`.
        predictions: The JSONL file to write the predictions to.
        dynamic_rate: The learning rate of dynamic evaluation, for a language model; None for that
            of its config.
        trust: Further modules and classes that the run's config may name.
        settings: How a `source` of series is read otherwise than in training, see
            `changed_reading`.

    Raises:
        UserError: If the run or the data cannot be used.
    """
    if dynamic_rate is not None:
        checked_rate(dynamic_rate, "--dynamic-rate")
    data = data_of(run_folder, split, source, target, trust, settings)
    # The output is opened and the data are read first, so that mistakes show before the work.
    with nullcontext() if predictions is None else output(str(predictions)) as stream:
        with step("reading the data"), advice_for("--set KEY=VALUE"):
            records = list(data.records(split))
        predictor = Predictor.load(run_folder, trust=trust)
        if dynamic_rate is not None:
            if not isinstance(predictor.task, Generation):
                raise UserError(
                    "--dynamic-rate: is for language models, trained by task=generation"
                )
            predictor.task.dynamic_rate = dynamic_rate
        with step(f"scoring {split if source is None else source}"):
            evaluation = predictor.task.evaluate(predictor.model, records)
        if stream is not None:
            for row in evaluation.rows:
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    signatures = {"signatures": evaluation.signatures} if evaluation.signatures else {}
    print(json.dumps({**evaluation.scores, **signatures}, indent=2))
    return evaluation.scores


def scores_on(data: Dataset, split: str, run_folder: Path, trust: Trust = ()) -> dict[str, float]:
    """Returns the scores of a run on a split of any data."""
    predictor = Predictor.load(run_folder, trust=trust)
    with step(f"scoring the {split} data with {run_folder}"):
        return predictor.task.evaluate(predictor.model, data.records(split)).scores


def data_of(
    run_folder: Path,
    split: str,
    source: Path | None,
    target: Path | None,
    trust: Trust = (),
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Dataset:
    """Returns the data to evaluate on: files, or the run's data, which must have the split."""
    if settings and (source is None or target is not None):
        raise UserError("--set: says how a table of series is read; give --source")
    if source is None and target is not None:
        raise UserError("--target: give --source, too")
    for path, option in ((source, "--source"), (target, "--target")):
        if path is not None:
            check_readable(path, option)
    if source is not None and target is not None:
        return ParallelText(".", {split: str(source)}, {split: str(target)})
    saved = run_folder / ".hydra" / "config.yaml"
    if not saved.is_file():
        raise UserError(f"{run_folder}: has no .hydra/config.yaml; give --source and --target")
    config = load_saved(saved, trust, ("data", *PARTS))
    if source is not None:
        return _one_file(config, split, source, settings)
    data: Dataset = build(config, "data")
    if split not in data.split_names:
        raise UserError(f"--split {split}: the run's data has {', '.join(data.split_names)}")
    return data


def _one_file(config: DictConfig, split: str, source: Path, changes: Mapping[str, Any]) -> Dataset:
    """Returns a file of sources and references as data.

    CoNLL files are read for any run, tables for any classifier; other files are read like those
    that the run was trained on.
    """
    path = str(source.absolute())
    training_data = build(config, "data")
    task = build_task(config)
    if changes and (is_conll(source.name) or not isinstance(task, Forecasting)):
        raise UserError("--set: says how a table of series is read, for runs that forecast")
    if is_conll(source.name):
        layout = training_data.format if isinstance(training_data, Conll) else None
        return Conll(".", {split: path}, **vars(layout_of(source.name, layout)))
    if isinstance(task, Forecasting):
        form = training_data.format if isinstance(training_data, Series) else task.format
        form, too_short = changed_reading(form, changes)
        settings = asdict(form) | {"too_short": too_short}
        lengths = {name: config.data[name] for name in ("validation_length", "test_length")}
        return Series(".", path, **{**settings, **lengths, "targets": task.targets})
    if "files" not in config.data:
        if fields := task.input_fields:
            return labelled_file(source, split, (*fields, "label"))
        raise UserError(
            "--source: the run was not trained on files that hold sources and references; give "
            "--target, too"
        )
    config.data.files, config.data.holdout = {split: path}, None
    data: Dataset = build(config, "data")
    return data
