"""What sessions over HTTP do: a run reads pieces of many streams, and keeps a state for each."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from seq2seq.data.formats.json_lines import check_characters
from seq2seq.errors import UserError
from seq2seq.evaluation.classification import class_probabilities
from seq2seq.inference.forecast_sessions import ForecastSession
from seq2seq.inference.predictor import Predictor
from seq2seq.inference.sessions import Session
from seq2seq.models.base import ensemble_of
from seq2seq.serving.requests.bodies import FeedBody
from seq2seq.tasks.classification import Classification
from seq2seq.tasks.forecasting import Forecasting
from seq2seq.tasks.tagging import Tagging

CHUNK = 256
"""The steps that are read at once: outputs have a number for each step and label."""

DECIMALS = 6


class Streams(ABC):
    """The streams of a run by name."""

    @abstractmethod
    def feed(self, name: str, body: FeedBody) -> dict[str, Any]:
        """Continues a stream with a piece, and returns the fields of the answer.

        A new stream starts from zero states. A piece that raises changes nothing.

        Raises:
            UserError: If the piece does not suit the run.
        """

    @abstractmethod
    def forget(self, name: str) -> None:
        """Removes the state of a stream, if it has one."""


def streams_of(predictor: Predictor, maximum_tokens: int) -> Streams:
    """Returns the streams of a run.

    Raises:
        UserError: If its model reads the complete input before it predicts.
    """
    if isinstance(predictor.task, Forecasting):
        return SeriesStreams(predictor)
    return TokenStreams(predictor, maximum_tokens)


class TokenStreams(Streams):
    """Streams of tokens; after each one, the run predicts labels, classes or the next token.

    Args:
        predictor: The run.
        maximum_tokens: Of a piece.
    """

    def __init__(self, predictor: Predictor, maximum_tokens: int) -> None:
        self._task: Any = predictor.task
        [model] = ensemble_of(predictor.model)
        self._session = Session.of(model, type(self._task).__name__)
        self._maximum_tokens = maximum_tokens
        self._labels = self._task.label_names()

    def feed(self, name: str, body: FeedBody) -> dict[str, Any]:
        """Returns `steps`: of each token the most probable predictions."""
        tokens, ids = self._encoded(body)
        if len(ids) > self._maximum_tokens:
            raise UserError(
                f"piece: may have {self._maximum_tokens:,} tokens, has {len(ids):,}; send several."
            )
        steps = []
        for start in range(0, len(ids), CHUNK):
            logits = self._session.feed({name: ids[start : start + CHUNK]})[name]
            rows = self._predictions(logits, body.n_best)
            for token, row in zip(tokens[start : start + CHUNK], rows, strict=True):
                steps.append({"token": token, "predictions": row})
        return {"steps": steps}

    def forget(self, name: str) -> None:
        """Removes the state of a stream."""
        if name in self._session.sources:
            self._session.close([name])

    def _encoded(self, body: FeedBody) -> tuple[list[str], np.ndarray]:
        """Returns the tokens of a piece, and their ids."""
        task = self._task
        if body.values is not None or body.horizon is not None or body.levels:
            raise UserError("values, horizon and levels: are for runs that forecast series.")
        for text in [body.text or "", *(body.tokens or [])]:
            check_characters(text, "piece")
        if isinstance(task, Tagging):
            tokens = body.tokens
            if tokens is None:
                tokens = task.tokenizer.split.tokens(body.text or "")
            words = task.tokenizer.store_columns_without_characters()["words"]
            return tokens, words.encoder.encode([tokens])[0]
        if body.text is None:
            raise UserError(f"tokens: have no meaning for {type(task).__name__} runs; give text.")
        [ids] = task.tokenizer.encode([body.text])
        return task.tokenizer.pieces(ids), ids

    def _predictions(self, logits: np.ndarray, n_best: int) -> list[list[dict[str, Any]]]:
        """Returns the most probable labels, or tokens, of each step."""
        task = self._task
        is_class = isinstance(task, Classification)
        options = (task.temperature, task.labels.several) if is_class else ()
        probabilities = class_probabilities(logits.astype(np.float32), *options)
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :n_best]
        rows = []
        for numbers, values in zip(best, probabilities, strict=True):
            names = self._names(numbers)
            rows.append(
                [
                    {"label": name, "probability": round(float(values[k]), DECIMALS)}
                    for name, k in zip(names, numbers, strict=True)
                ]
            )
        return rows

    def _names(self, numbers: np.ndarray) -> list[str]:
        if self._labels:
            return [self._labels[number] for number in numbers]
        pieces: list[str] = self._task.tokenizer.pieces(numbers)
        return pieces


class SeriesStreams(Streams):
    """Series whose values arrive in pieces; after each one, the run forecasts what follows.

    Args:
        predictor: The run.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._session = ForecastSession(predictor)

    def feed(self, name: str, body: FeedBody) -> dict[str, Any]:
        """Returns `forecasts`; empty with the reason in `detail` where there can be none."""
        if body.values is None:
            raise UserError("values: are what a run that forecasts reads.")
        missing = [
            [np.nan if x is None else x for x in v] if isinstance(v, list) else v
            for v in body.values
        ]
        self._session.feed({name: [np.nan if value is None else value for value in missing]})
        try:
            return {"forecasts": self._session.forecast([name], body.horizon, body.levels)}
        except UserError as error:
            return {"detail": str(error)}

    def forget(self, name: str) -> None:
        """Removes the values of a series."""
        self._session.forget(name)
