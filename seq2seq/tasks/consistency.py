"""The check of a loss that compares two readings of a row, under two dropout masks."""

from seq2seq.errors import UserError
from seq2seq.models.base import SequenceModel


def check_drops(consistency: float, model: SequenceModel) -> None:
    """Raises a UserError if `task.consistency` is set, but the model has no dropout."""
    if consistency and not model.drops:
        raise UserError(
            "task.consistency: compares the model's outputs under two dropout masks, and there "
            "is no dropout; set model.output_dropout, model.encoder.dropout or another."
        )
