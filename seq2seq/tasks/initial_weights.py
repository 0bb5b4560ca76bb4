"""A model that starts with all weights of another run, to train on on other data."""

import logging
from pathlib import Path

from seq2seq.errors import UserError
from seq2seq.models.base import SequenceModel
from seq2seq.tasks.model_folder import load_model_folder
from seq2seq.trust import Trust

log = logging.getLogger(__name__)


def copy_weights(run: Path, model: SequenceModel, trust: Trust = ()) -> None:
    """Copies all weights of a run to a model of the same shape.

    Raises:
        UserError: If there is no such run, or its model has another shape.
    """
    _, other = load_model_folder(run, trust)
    sources, targets = other.training_model.weights, model.training_model.weights
    for source, target in zip(sources, targets, strict=False):
        if source.shape != target.shape:
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
    model.training_model.set_weights(other.training_model.get_weights())
    log.info("from %s: tokenizers, labels and all weights", run)
