"""A run that a server holds: its predictor, and the batches of its requests."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakSet

from seq2seq.errors import UserError
from seq2seq.inference.generator import Generator
from seq2seq.inference.predictor import Predictor
from seq2seq.models.base import ensemble_of
from seq2seq.request import PredictionRequest
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.batcher import Batcher
from seq2seq.serving.models.session_table import (
    EndedSessionError,
    OpenSession,
    SessionTable,
    UnknownSessionError,
)
from seq2seq.serving.models.sources import FolderSource, Source
from seq2seq.serving.models.streams import Streams, streams_of
from seq2seq.serving.requests.bodies import FeedBody
from seq2seq.tasks.generation import Generation
from seq2seq.tasks.model_folder import definition
from seq2seq.trust import Trust

POLL = 0.05
"""The seconds between two looks at whether continuations have ended."""


@dataclass(frozen=True)
class BatchOptions:
    """What inputs of one batch have in common.

    Attributes:
        request: How to predict; None where given targets are scored.
        alignments: Whether scores come with attention weights.
        alone: Whether a request shares no batch.
    """

    request: PredictionRequest | None
    alignments: bool = False
    alone: bool = False


class ServedRun:
    """A loaded run with a queue of requests and one thread that predicts.

    Args:
        source: The run folder, or where it comes from.
        limits: The server's.
        trust: Further modules and classes that the run's config may name.

    Attributes:
        version: The version of the source that was loaded.
        folder: The run folder; of a registered model, it is removed after loading.
        recent: The last input that was predicted, and its options.
        continuations: What is generated in parts now, and needs the thread until it ends.
        sessions: The streams whose states are kept.
    """

    def __init__(self, source: Source | Path, limits: Limits, trust: Trust = ()) -> None:
        self.source = FolderSource(source) if isinstance(source, Path) else source
        self.trust = trust
        self.version = self.source.version()
        with self.source.files(self.version) as folder:
            self.folder = folder
            self.predictor = Predictor.load(folder, trust=trust)
            self._definition = definition(folder)
        self.task = type(self.predictor.task).__name__.lower()
        self.batcher = Batcher(self._run, limits.latency / 1000, limits.batch_size, limits.queue)
        self._limits = limits
        self.recent: tuple[Sequence[Any], BatchOptions] | None = None
        self.continuations: WeakSet[Any] = WeakSet()
        self.sessions = SessionTable(limits)
        self._ended_sessions: frozenset[str] = frozenset()

    @cached_property
    def generator(self) -> Generator:
        """What continues texts token by token.

        Raises:
            UserError: If the run does not generate text.
        """
        task, model = self.predictor.task, self.predictor.model
        if not isinstance(task, Generation):
            raise UserError(f"generate: has no meaning for {type(task).__name__} runs.")
        return Generator(task, model)  # type: ignore[arg-type]

    @cached_property
    def streams(self) -> Streams:
        """What reads the pieces of sessions; for the thread that predicts.

        Raises:
            UserError: If the model cannot.
        """
        return streams_of(self.predictor, self._limits.length)

    def open_streams(self) -> None:
        """Makes `streams`, and removes the states of sessions that have ended."""
        try:
            streams = self.streams
        except UserError:
            self.sessions.ended.clear()
            raise
        while self.sessions.ended:
            streams.forget(self.sessions.ended.pop())

    def feed(self, session: str, entry: OpenSession, body: FeedBody) -> dict[str, Any]:
        """Continues a session with a piece; for the thread that predicts.

        Raises:
            EndedSessionError: If the weights were replaced meanwhile.
            UnknownSessionError: If it has ended meanwhile.
            UserError: If the piece does not suit the run.
        """
        self.open_streams()
        if session in self._ended_sessions:
            raise EndedSessionError
        if session not in self.sessions:
            raise UnknownSessionError
        answer = self.streams.feed(session, body)
        entry.position += len(answer.get("steps") or body.values or ())
        return {"position": entry.position, **answer}

    def options(self, request: PredictionRequest) -> BatchOptions:
        """Returns the options of a prediction, whose batches are those of the server.

        Samples depend on the number of an input in its batch, so that a request which samples
        shares none.
        """
        request = replace(request, batch_size=self._limits.batch_size)
        search = self.predictor.search
        own = "" if search is None else str(search["_target_"])
        samples = request.decoding == "sampling" if request.decoding else own.endswith("Sampling")
        return BatchOptions(request, alone=samples)

    def submit(
        self, inputs: Sequence[Any], options: BatchOptions, length: int
    ) -> "Future[list[Any]]":
        """Queues a request; see `Batcher.submit`."""
        return self.batcher.submit(inputs, options, length, options.alone)

    def call(self, function: Callable[[], Any]) -> "Future[list[Any]]":
        """Queues a function for the thread that predicts; the future has its result in a list."""
        return self.batcher.submit([function], None, 0, alone=True)

    def can_take_weights(self, other: "ServedRun") -> bool:
        """Returns whether another run differs from this one in its weights alone.

        Never where texts are continued token by token, which would go on with other weights.
        """
        is_same = self._definition is not None and self._definition == other._definition
        return is_same and not isinstance(self.predictor.task, Generation)

    def take_weights(self, other: "ServedRun") -> list[str]:
        """Takes the weights of another run, which the compiled graphs of this one then read.

        For the thread that predicts, so that no prediction is made of both.

        Returns:
            The sessions that end, since their states are of the weights before.
        """
        [model], [new] = ensemble_of(self.predictor.model), ensemble_of(other.predictor.model)
        model.training_model.set_weights(new.training_model.get_weights())
        self.folder, self.version = other.folder, other.version
        ended = self.sessions.ids
        self._ended_sessions = frozenset(ended)
        return ended

    def warm_up(self, previous: "ServedRun") -> None:
        """Runs the last request of the run before, to compile what requests of its kind need."""
        if previous.recent is not None:
            inputs, options = previous.recent
            with suppress(Exception):  # the request may not suit this run
                self.submit(inputs, options, 0).result()

    async def retire(self, seconds: float) -> None:
        """Ends the thread after all requests that wait, and the continuations.

        Args:
            seconds: How long continuations may take; later ones get an error.
        """
        end = time.monotonic() + seconds
        while self.continuations and time.monotonic() < end:
            await asyncio.sleep(POLL)
        await asyncio.to_thread(self.batcher.close)

    def _run(self, inputs: Sequence[Any], options: BatchOptions | None) -> list[Any]:
        """Returns the rows of each input: one, or for forecasts one a target.

        Without options, inputs are functions, and the results are theirs.
        """
        if options is None:
            return [function() for function in inputs]
        if options.request is None:
            pairs = self.predictor.score(inputs, self._limits.batch_size, options.alignments)
            return [[row] for row in pairs]
        rows = self.predictor.predict(inputs, options.request)
        self.recent = (inputs[:1], options)
        width = len(rows) // len(inputs)
        return [rows[start : start + width] for start in range(0, len(rows), width)]
