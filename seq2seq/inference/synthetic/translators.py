"""What distillation and back-translation need of the runs that translate."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from seq2seq.errors import UserError
from seq2seq.inference.decoding_overrides import search_config
from seq2seq.inference.predictor import Predictor
from seq2seq.inference.synthetic.manifest import Values, model_digest
from seq2seq.request import PredictionRequest
from seq2seq.tasks.translation import Translation
from seq2seq.trust import Trust


@dataclass(frozen=True)
class Decoding:
    """How texts are translated.

    Attributes:
        name: A choice of `conf/decoding`.
        settings: Changed values of it, such as `{"beam_size": 10}`.
        batch_size: How many texts are translated at once.
        shard_size: How many texts a shard has.

    Raises:
        UserError: If a size is below 1.
    """

    name: str = "beam"
    settings: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    shard_size: int = 4096

    def __post_init__(self) -> None:
        for option, value in {"batch": self.batch_size, "shard": self.shard_size}.items():
            if value < 1:
                raise UserError(f"--{option}-size: must be at least 1, got {value}")

    def request(self) -> PredictionRequest:
        """Returns the request of all texts."""
        return PredictionRequest(self.batch_size, self.name, self.settings)


def load_translators(runs: Sequence[Path], command: str, trust: Trust = ()) -> Predictor:
    """Loads a run, or an ensemble; raises UserError if it is of another task than translation."""
    predictor = Predictor.load(*runs, trust=trust)
    if not isinstance(predictor.task, Translation):
        raise UserError(
            f"{runs[0]}: is a run of {type(predictor.task).__name__}; {command} needs runs of "
            "task=translation"
        )
    return predictor


def translation_plan(predictor: Predictor, runs: Sequence[Path], decoding: Decoding) -> Values:
    """Returns all that a translation depends on beside its text.

    Raises:
        UserError: If the search does not exist, or a setting of it.
    """
    assert predictor.search is not None  # of a translation
    search = search_config(
        predictor.search, decoding.name, decoding.settings, trust=predictor.trust
    )
    predictor.options(decoding.request())  # refuses impossible values
    return {
        "models": [model_digest(run) for run in runs],
        "decoding": OmegaConf.to_container(search),
        "batch_size": decoding.batch_size,
        "shard_size": decoding.shard_size,
    }
