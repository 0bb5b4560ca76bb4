"""`seq2seq evaluate`: a run's scores on a split of its data, or on files."""

import json
from contextlib import nullcontext
from pathlib import Path

from omegaconf import DictConfig

from seq2seq.config import build
from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.by_ending import labelled_file
from seq2seq.data.formats.conll import Conll, in_columns, layout_of
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.errors import UserError
from seq2seq.inference.files import check_readable, output
from seq2seq.inference.predictor import Predictor
from seq2seq.tasks.generation import Generation, checked_rate
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
) -> dict[str, float]:
    """Predicts and scores, and prints the scores as JSON.

    Args:
        run_folder: A run folder.
        split: A split of the data that the run was trained on.
        source: A file to use instead: of sources, or of both, laid out as the files that the run
            was trained on, or in columns (CoNLL).
        target: The references of a file of sources, line by line.
        predictions: Where to write the predictions as JSONL.
        dynamic_rate: Of a language model: the learning rate of dynamic evaluation, instead of its
            own.
        trust: Modules and classes of one's own that the run's config may name.

    Returns:
        The scores.

    Raises:
        UserError: If the run or the data cannot be used.
    """
    if dynamic_rate is not None:
        checked_rate(dynamic_rate, "--dynamic-rate")
    data = data_of(run_folder, split, source, target, trust)
    # Opened and read first, so that a mistake is found before the work is done.
    with nullcontext() if predictions is None else output(str(predictions)) as stream:
        records = list(data.records(split))
        predictor = Predictor.load(run_folder, trust=trust)
        if dynamic_rate is not None:
            if not isinstance(predictor.task, Generation):
                raise UserError(
                    "--dynamic-rate: is for language models, trained by task=generation"
                )
            predictor.task.dynamic_rate = dynamic_rate
        evaluation = predictor.task.evaluate(predictor.model, records)
        if stream is not None:
            for row in evaluation.rows:
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(json.dumps({**evaluation.scores, "signatures": evaluation.signatures}, indent=2))
    return evaluation.scores


def scores_on(data: Dataset, split: str, run_folder: Path, trust: Trust = ()) -> dict[str, float]:
    """Returns the scores of a run on a split of any data."""
    predictor = Predictor.load(run_folder, trust=trust)
    return predictor.task.evaluate(predictor.model, data.records(split)).scores


def data_of(
    run_folder: Path,
    split: str,
    source: Path | None,
    target: Path | None,
    trust: Trust = (),
) -> Dataset:
    """Returns data that have the split: two files, or what the run was trained on."""
    if source is None and target is not None:
        raise UserError("--target: give --source, too")
    if source is not None and target is not None:
        check_readable(source, "--source")
        check_readable(target, "--target")
        return ParallelText(".", {split: str(source)}, {split: str(target)})
    saved = run_folder / ".hydra" / "config.yaml"
    if not saved.is_file():
        raise UserError(f"{run_folder}: has no .hydra/config.yaml; give --source and --target")
    config = load_saved(saved, trust, ("data", *PARTS))
    if source is not None:
        check_readable(source, "--source")
        return _one_file(config, split, source)
    data: Dataset = build(config, "data")
    if split not in data.split_names:
        raise UserError(f"--split {split}: the run's data has {', '.join(data.split_names)}")
    return data


def _one_file(config: DictConfig, split: str, source: Path) -> Dataset:
    """Returns a file of records with references, laid out as the files that a run was trained on.

    A file in columns may also be given where a run was trained on other data, and a table where it
    classifies.
    """
    path, data = str(source.absolute()), config.data
    trained = build(config, "data")
    if in_columns(source.name):
        known = trained.format if isinstance(trained, Conll) else None
        return Conll(".", {split: path}, **vars(layout_of(source.name, known)))
    if "files" not in data and (fields := build_task(config).input_fields):
        return labelled_file(source, split, (*fields, "label"))
    if "files" not in data:
        raise UserError(
            "--source: the run was not trained on files that hold sources and references; give "
            "--target, too"
        )
    data.files, data.holdout = {split: path}, None
    one_file: Dataset = build(config, "data")
    return one_file
