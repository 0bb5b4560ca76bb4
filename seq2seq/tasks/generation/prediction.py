"""Prediction of continuations: search from prompts, features, states."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf

from seq2seq.data.records import Record
from seq2seq.data.tokenizers.tokenizer import END, START, Tokenizer
from seq2seq.decoding.hypotheses import Hypotheses
from seq2seq.decoding.strategy import Strategy
from seq2seq.layers.call_recorder import recorded_calls
from seq2seq.models.language_model import LanguageModel
from seq2seq.prediction_rows import Hypothesis, TextRow
from seq2seq.tasks.generation.data import GenerationData
from seq2seq.tasks.inputs import record_of, records_of
from seq2seq.tasks.observation import Observation
from seq2seq.tasks.padding import Batches, by_length, padded, text_batches
from seq2seq.tasks.prediction_options import PredictionOptions

OBSERVED_CHARACTERS = 80
"""Of a document, when its states are observed."""


class GenerationPrediction(GenerationData):
    """The prediction part of `Generation`."""

    decoding: Strategy
    _search: tuple[LanguageModel, Callable[..., Hypotheses]] | None = None

    def predict_rows(
        self, model: LanguageModel, inputs: Sequence[str], options: PredictionOptions
    ) -> list[TextRow]:
        """Continues prompts, which may be empty.

        Returns:
            Rows with `source`, `prediction` (the continuation) and `score`, its log-probability;
            and, where the search returns several, all `hypotheses`.
        """
        search = self._compiled(model)
        texts, ids = self._encoded(inputs)
        rows: list[TextRow] = [{"source": text, "prediction": "", "score": 0.0} for text in texts]
        for numbers in by_length(range(len(ids)), ids, options.batch_size):
            tokens, lengths = padded([ids[i] for i in numbers])
            result = search(tokens, lengths, np.array(numbers, np.int32))
            for place, i in enumerate(numbers):
                parts = (None if part is None else part[place].numpy() for part in result)
                continuations = self._continuations(ids[i], Hypotheses(*parts))
                rows[i].update(cast(TextRow, continuations[0]))
                if self.decoding.returns_multiple:
                    rows[i]["hypotheses"] = continuations
        return rows

    def _encoded(self, inputs: Sequence[str]) -> tuple[list[str], list[np.ndarray]]:
        """Returns texts, and their token ids after the start token."""
        texts = [record["source"] for record in records_of(inputs)]
        return texts, [np.append(START, ids) for ids in self.tokenizer.encode(texts)]

    def _continuations(self, prompt: np.ndarray, result: Hypotheses) -> list[Hypothesis]:
        """Returns the continuations of one prompt, the best first."""
        return [
            {
                "prediction": continuation(self.tokenizer, prompt, tokens[:length]),
                "score": float(score),
            }
            for tokens, length, score in zip(
                np.atleast_2d(result.tokens),
                np.atleast_1d(result.lengths),
                np.atleast_1d(result.scores),
                strict=True,
            )
            if score > -np.inf
        ]

    def _compiled(self, model: LanguageModel) -> Callable[..., Hypotheses]:
        """Returns the search as one graph, traced once for each model."""
        if self._search is None or self._search[0] is not model:
            self._search = (model, compile_search(model, self.decoding))
        return self._search[1]

    def feature_batches(
        self, model: LanguageModel, inputs: Sequence[str], batch_size: int
    ) -> Batches:
        """Yields texts after the start token."""
        return text_batches({"source": self._encoded(inputs)[1]}, batch_size)

    def observe(self, model: LanguageModel, example: Any, target: str | None = None) -> Observation:
        """Observes the layers from a state of zeros; the prediction is the most probable token."""
        text = record_of(example, 1, "source")["source"]
        ids = np.append(START, self.tokenizer.encode([text])[0]).astype(np.int32)
        with recorded_calls() as calls:
            logits = model.training_model({"tokens": ids[np.newaxis]})
        [prediction] = self.tokenizer.pieces([int(np.argmax(logits[0, -1]))])
        tokens = {"stack": self.tokenizer.pieces(ids.tolist())}
        return Observation(text, prediction, tokens, calls)

    def observed_parts(self, record: Record) -> tuple[Any, str | None]:
        """Returns the beginning of the document."""
        return record["text"][:OBSERVED_CHARACTERS], None


def continuation(
    tokenizer: Tokenizer, before: Sequence[int] | np.ndarray, tokens: Sequence[int] | np.ndarray
) -> str:
    """Returns the text of tokens that follow others, with the space between them, if any."""
    context = list(before)[-4:]  # a character is four bytes at most
    context_text, text = tokenizer.decode([context, [*context, *tokens]])
    return text[len(context_text) :]


def compile_search(model: LanguageModel, decoding: Strategy) -> Callable[..., Hypotheses]:
    """Compiles prompt reading and search into one graph, for any batch size and length.

    Returns:
        A function of token ids `(batch, steps)`, start token included, lengths `(batch,)` and
        random keys of the rows `(batch,)`.
    """

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None,), tf.int32),
        ],
        autograph=False,
    )
    def search(tokens: tf.Tensor, lengths: tf.Tensor, keys: tf.Tensor) -> Hypotheses:
        last, states = model.read(tokens, lengths)
        return decoding(model.step, states, lengths, last, END, keys=keys)

    return search
