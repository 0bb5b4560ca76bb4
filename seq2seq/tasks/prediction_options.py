"""The options of a prediction."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from seq2seq.decoding.strategy import Strategy
from seq2seq.errors import UserError


@dataclass(frozen=True)
class PredictionOptions:
    """How to predict, and which extra outputs to return.

    A task refuses the options that do not apply to it, see `Task.prediction_options`.

    Attributes:
        batch_size: How many inputs are predicted at once.
        decoding: Another search than the task's.
        n_best: How many hypotheses each row has, of a task without a search; others have as many as
            their `decoding` says.
        alignments: Whether rows have the attention weights of each target token.
        token_scores: Whether rows have the log-probability of each target token.
        replace_unknown: Whether an unknown word becomes the source word that it attends to; None
            for the task's setting.
        attention: Whether rows have the weights of attention pooling.
        horizon: How many steps are forecast; None for as many as in training.
        levels: The intervals of a forecast, in percent.
        first_number: The number of the first input, which samples of translations depend on.
    """

    batch_size: int = 64
    decoding: Strategy | None = None
    n_best: int | None = None
    alignments: bool = False
    token_scores: bool = False
    replace_unknown: bool | None = None
    attention: bool = False
    horizon: int | None = None
    levels: tuple[float, ...] = ()
    first_number: int = 0

    def refuse_others(self, applicable: Iterable[str], task: str) -> None:
        """Raises a `UserError` if an option is set that does not apply to the runs of a task."""
        for option in fields(self):
            is_set = getattr(self, option.name) != option.default
            if is_set and option.name not in (*applicable, "batch_size", "first_number"):
                raise UserError(f"{option.name}: has no meaning for {task} runs.")


DEFAULTS = PredictionOptions()
