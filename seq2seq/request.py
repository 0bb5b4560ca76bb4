"""The options of a prediction, as the command line, Python and MLflow pass them to a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from omegaconf import OmegaConf

from seq2seq.errors import UserError


@dataclass(frozen=True)
class PredictionRequest:
    """How to predict, and which extra outputs to return.

    Attributes:
        batch_size: How many inputs are predicted at once.
        decoding: A choice of `conf/decoding`, such as `beam`; None for the run's search.
        settings: Changed values of the search, by their keys in its config, such as
            `{"beam_size": 10, "length_penalty.alpha": 1.0}`.
        n_best: The number of `hypotheses` of each row.
        alignments: For translations: whether to return each token's attention weights.
        token_scores: For translations: whether to return each token's log-probability.
        replace_unknown: For translations: whether unknown words become the source words that they
            attend to; None for the run's setting.
        attention: For classifications: whether to return the weights of attention pooling.
        horizon: For forecasts: the number of steps; None for as many as in training.
        levels: For forecasts: intervals to return, in percent.
        first_number: The number of the first input among all that are predicted in pieces: samples
            of translations depend on their seed and the number of their input.

    Raises:
        UserError: If `batch_size` is below 1.
    """

    batch_size: int = 64
    decoding: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    n_best: int | None = None
    alignments: bool = False
    token_scores: bool = False
    replace_unknown: bool | None = None
    attention: bool = False
    horizon: int | None = None
    levels: Sequence[float] = ()
    first_number: int = 0

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size)


def check_batch_size(batch_size: int) -> None:
    """Raises UserError if a batch size is no whole number, or below 1."""
    if not isinstance(batch_size, Integral):
        kind = type(batch_size).__name__
        raise UserError(
            f"batch_size: must be a whole number, not {kind}; predictions take one input, or one "
            "list or table of all."
        )
    if batch_size < 1:
        raise UserError(f"batch_size: must be at least 1, got {batch_size}.")


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Parses settings of the command line.

    Args:
        pairs: `KEY=VALUE` each, the value in YAML.

    Raises:
        UserError: If there is no `=`, or the value cannot be parsed.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise UserError(f"--set {pair}: must be KEY=VALUE, such as beam_size=10.")
        try:
            settings[key] = OmegaConf.from_dotlist([f"value={value}"])["value"]
        except Exception as error:  # of the YAML parser
            raise UserError(f"--set {pair}: {value!r} cannot be read as YAML.") from error
    return settings
