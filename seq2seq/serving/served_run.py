"""A run that a server holds: its predictor, and the batches of its requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from seq2seq.inference.predictor import Predictor
from seq2seq.request import PredictionRequest
from seq2seq.serving.batcher import Batcher
from seq2seq.serving.limits import Limits
from seq2seq.trust import Trust


@dataclass(frozen=True)
class BatchOptions:
    """What inputs of one batch have in common.

    Attributes:
        decoding: A choice of `conf/decoding`; this and the next are as in `PredictionRequest`.
        settings: The changed settings of the search.
        n_best: The number of hypotheses.
        alignments: Whether to return attention weights.
        token_scores: Whether to return log-probabilities of tokens.
        attention: Whether to return the weights of attention pooling.
        horizon: The steps of a forecast.
        levels: The intervals of a forecast, in percent.
        scores: Whether given targets are scored, instead of predicted.
        alone: A number that only this request has; None if it may share a batch.
    """

    decoding: str | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    n_best: int | None = None
    alignments: bool = False
    token_scores: bool = False
    attention: bool = False
    horizon: int | None = None
    levels: tuple[float, ...] = ()
    scores: bool = False
    alone: int | None = None


class ServedRun:
    """A loaded run with a queue of requests and one thread that predicts.

    Args:
        folder: The run folder.
        limits: The server's.
        trust: Further modules and classes that the run's config may name.
    """

    def __init__(self, folder: Path, limits: Limits, trust: Trust = ()) -> None:
        self.predictor = Predictor.load(folder, trust=trust)
        self.task = type(self.predictor.task).__name__.lower()
        self.batcher = Batcher(self._run, limits.latency / 1000, limits.batch_size, limits.queue)
        self._numbers, self._batch_size = count(), limits.batch_size

    def number_alone(self, decoding: str | None) -> int | None:
        """Returns a number of its own for a request that samples, otherwise None.

        Samples depend on the number of an input in its batch, so other requests may not join.
        """
        search = self.predictor.search
        own = "" if search is None else str(search["_target_"])
        samples = decoding == "sampling" if decoding else own.endswith("Sampling")
        return next(self._numbers) if samples else None

    def _run(self, inputs: Sequence[Any], options: BatchOptions) -> list[Any]:
        """Returns the rows of each input: one, or for forecasts one a target."""
        if options.scores:
            pairs = self.predictor.score(inputs, self._batch_size, options.alignments)
            return [[row] for row in pairs]
        request = PredictionRequest(
            batch_size=self._batch_size,
            decoding=options.decoding,
            settings=dict(options.settings),
            n_best=options.n_best,
            alignments=options.alignments,
            token_scores=options.token_scores,
            attention=options.attention,
            horizon=options.horizon,
            levels=options.levels,
        )
        rows = self.predictor.predict(inputs, request)
        width = len(rows) // len(inputs)
        return [rows[start : start + width] for start in range(0, len(rows), width)]
