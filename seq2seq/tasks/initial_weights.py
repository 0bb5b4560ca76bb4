"""A model that starts with all weights of another run, to train on on other data."""

import logging
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np

from seq2seq.errors import UserError
from seq2seq.models.base import SequenceModel, VocabularyWeight
from seq2seq.tasks.base import Task
from seq2seq.tasks.model_folder import load_model_folder, model_folder
from seq2seq.tasks.vocabularies import Origins, origins
from seq2seq.trust import Trust

log = logging.getLogger(__name__)

InitialTokenizers = Literal["run", "data"]
"""Whose tokenizers and labels a run has that starts from another one: of that run, or fitted."""


def saved_tokenizers(initial: Path | None, choice: object) -> Path | None:
    """Returns the model folder whose tokenizers and labels are used; None to fit them on the data.

    Args:
        initial: The run of `init_from`, if there is one.
        choice: The value of `init_tokenizers`.

    Raises:
        UserError: If the choice is unknown or has no meaning, or the run has no model.
    """
    known = get_args(InitialTokenizers)
    if choice not in known:
        raise UserError(f"init_tokenizers: must be {' or '.join(known)}, got {choice!r}")
    if initial is None:
        if choice == "data":
            raise UserError(
                "init_tokenizers=data: is for init_from=RUN; without it, tokenizers are always "
                "fitted on the data. Leave it out"
            )
        return None
    folder = model_folder(initial)
    return folder if choice == "run" else None


def copy_weights(
    run: Path, model: SequenceModel, task: Task[Any, Any] | None = None, trust: Trust = ()
) -> None:
    """Copies all weights of a run to a model.

    Args:
        run: The run.
        model: A model of the same shape; with a task, its vocabularies may be others.
        task: The prepared task of the model, if its vocabularies may differ from those of the run:
            rows of tokens of both are kept, further tokens start with the mean of their pieces by
            the run's tokenizer, and all others stay as they are.
        trust: Further modules and classes that the run's config may name.

    Raises:
        UserError: If there is no such run, or its model has another shape.
    """
    other_task, other = load_model_folder(run, trust)
    sources, targets = other.training_model.weights, model.training_model.weights
    changes = {} if task is None else _vocabulary_changes(run, (other_task, other), (task, model))
    for source, target in zip(sources, targets, strict=False):
        if _fixed_shape(source, changes.get(id(target))) != _fixed_shape(
            target, changes.get(id(target))
        ):
            raise UserError(
                f"init_from={run}: {target.path} has the shape {tuple(source.shape)} there and "
                f"{tuple(target.shape)} here; give the model the same settings, or leave out "
                "recipe= and the model's, to take those of the run."
            )
    if len(sources) != len(targets):
        raise UserError(
            f"init_from={run}: its model has {len(sources)} arrays of weights, but this one "
            f"{len(targets)}; give the model the same layers, or leave out recipe= and the model's "
            "settings, to take those of the run."
        )
    for source, target in zip(sources, targets, strict=True):
        if change := changes.get(id(target)):
            target.assign(with_rows(np.array(source), np.array(target), *change))
        else:
            target.assign(source)
    log.info("from %s: %sall weights", run, "tokenizers, labels and " if task is None else "")


def with_rows(
    source: np.ndarray, target: np.ndarray, weight: VocabularyWeight, rows: Origins
) -> np.ndarray:
    """Returns a weight of a new model with the rows of an old one.

    Args:
        source: The weight of the old model.
        target: That of the new model.
        weight: Which axis has the rows.
        rows: Where the rows come from.
    """
    old, new = np.moveaxis(source, weight.axis, 0), np.moveaxis(target.copy(), weight.axis, 0)
    for number, pieces in enumerate(rows.rows):
        if pieces:
            new[number] = np.mean(old[pieces], axis=0)
    return np.moveaxis(new, 0, weight.axis)


def _vocabulary_changes(
    run: Path,
    source: tuple[Task[Any, Any], SequenceModel],
    target: tuple[Task[Any, Any], SequenceModel],
) -> dict[int, tuple[VocabularyWeight, Origins]]:
    """Returns how the weights with a row for each token change, by their id; logs the counts."""
    old, new = (task.vocabularies() for task, _ in (source, target))
    if old is None or new is None:
        raise UserError(
            f"init_tokenizers=data: {type(target[0]).__name__} runs start with the vocabularies of "
            "init_from; leave it out."
        )
    if old.keys() != new.keys():
        raise UserError(
            f"init_from={run}: is a run of {type(source[0]).__name__}, not of "
            f"{type(target[0]).__name__}; initial_encoder.run=RUN takes encoders of other tasks."
        )
    by_name = {name: origins(old[name], new[name]) for name in new}
    for name, rows in by_name.items():
        log.info(
            "from %s: %s: %s of %s tokens kept, %s as the mean of their pieces, "
            "%s as in a new run, %s left out",
            run, name, f"{rows.shared:,}", f"{len(rows.rows):,}", f"{rows.composed:,}",
            f"{rows.new:,}", f"{len(old[name].tokens) - rows.shared:,}",
        )  # fmt: skip
    return {
        id(weight.variable): (weight, by_name[weight.vocabulary])
        for weight in target[1].vocabulary_weights()
    }


def _fixed_shape(
    weight: keras.Variable, change: tuple[VocabularyWeight, Origins] | None
) -> tuple[int, ...]:
    """Returns the shape of a weight without the axis of its vocabulary, if it has one."""
    shape = tuple(weight.shape)
    return shape if change is None else shape[: change[0].axis] + shape[change[0].axis + 1 :]
