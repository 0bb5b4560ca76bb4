"""A run that a server holds: its predictor, and the batches of its requests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        request: How to predict; None where given targets are scored.
        alignments: Whether scores come with attention weights.
        alone: A number that only this request has; None if it may share a batch.
    """

    request: PredictionRequest | None
    alignments: bool = False
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

    def options(self, request: PredictionRequest) -> BatchOptions:
        """Returns the options of a prediction, whose batches are those of the server.

        Samples depend on the number of an input in its batch, so that a request which samples
        shares none.
        """
        request = replace(request, batch_size=self._batch_size)
        search = self.predictor.search
        own = "" if search is None else str(search["_target_"])
        samples = request.decoding == "sampling" if request.decoding else own.endswith("Sampling")
        return BatchOptions(request, alone=next(self._numbers) if samples else None)

    def _run(self, inputs: Sequence[Any], options: BatchOptions) -> list[Any]:
        """Returns the rows of each input: one, or for forecasts one a target."""
        if options.request is None:
            pairs = self.predictor.score(inputs, self._batch_size, options.alignments)
            return [[row] for row in pairs]
        rows = self.predictor.predict(inputs, options.request)
        width = len(rows) // len(inputs)
        return [rows[start : start + width] for start in range(0, len(rows), width)]
