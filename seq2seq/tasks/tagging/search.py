"""Search for the most probable labels of a tagger, as compiled graphs."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from seq2seq.models.tagger import Tagger
from seq2seq.ops.crf import marginals, most_probable, n_best
from seq2seq.ops.dispatch import single_threaded_executor
from seq2seq.tasks.padding import by_length, padded
from seq2seq.tasks.prediction_graphs import prediction_graph

_SPELLED_TOGETHER = 1024


class TaggerSearch:
    """Finds the best label sequences of sentences, with graphs that are traced once.

    Args:
        model: The tagger.
        count: How many label sequences of each sentence.
    """

    def __init__(self, model: Tagger, count: int) -> None:
        self.model, self.count = model, count
        self._search = prediction_graph(
            model.prediction_model, lambda inputs: best_labels(model, inputs, count)
        )
        spelling = model.spelling_model
        self._spell = None if spelling is None else prediction_graph(spelling)

    def __call__(self, batch: Mapping[str, tf.Tensor | np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the result of `best_labels` as arrays."""
        tensors = {name: tf.convert_to_tensor(value) for name, value in batch.items()}
        with single_threaded_executor():
            return {name: value.numpy() for name, value in self._search(tensors).items()}

    def spell(self, words: Sequence[np.ndarray]) -> tf.Tensor:
        """Returns the spelling features of words, `(words, features)`, from their character ids.

        Raises:
            ValueError: If the tagger does not read characters.
        """
        if self.model.spelling_model is None or self._spell is None:
            raise ValueError("words: this tagger does not read characters")
        output = self.model.spelling_model.output
        order, parts = [], [tf.zeros((0, output.shape[-1]), output.dtype)]
        for numbers in by_length(range(len(words)), words, _SPELLED_TOGETHER):
            characters, lengths = padded([words[i] for i in numbers])
            parts.append(self._spell({"characters": characters, "character_length": lengths}))
            order += numbers
        return tf.gather(tf.concat(parts, axis=0), np.argsort(order))


def best_labels(model: Tagger, inputs: Mapping[str, tf.Tensor], count: int) -> dict[str, tf.Tensor]:
    """Finds the best label sequences of sentences.

    Args:
        model: The tagger.
        inputs: The inputs of its `prediction_model`.
        count: How many label sequences of each sentence.

    Returns:
        `labels`, int32 `(batch, count, steps)`; `scores`, their log-probabilities `(batch, count)`,
        minus infinity where there are fewer; and `probabilities` `(batch, steps)`, of each label of
        the best sequence.
    """
    outputs = model.prediction_model(inputs, training=False)
    logits, lengths = tf.cast(outputs["logits"], tf.float32), inputs["length"]
    size = logits.shape[-1]
    if "transitions" not in outputs and count == 1:
        labels = tf.argmax(logits, axis=-1, output_type=tf.int32)[:, tf.newaxis]
        log_probabilities = tf.reduce_max(tf.nn.log_softmax(logits), axis=-1)
        mask = tf.sequence_mask(lengths, tf.shape(logits)[1], tf.float32)
        scores = tf.reduce_sum(log_probabilities * mask, axis=1, keepdims=True)
        return {"labels": labels, "scores": scores, "probabilities": tf.exp(log_probabilities)}
    transitions = outputs.get("transitions", tf.zeros((size + 1, size + 1)))
    if count == 1:
        best, scores, probabilities = most_probable(logits, transitions, lengths)
        return {
            "labels": best[:, tf.newaxis],
            "scores": scores[:, tf.newaxis],
            "probabilities": probabilities,
        }
    labels, scores = n_best(logits, transitions, lengths, count)
    probabilities, normalizer = marginals(logits, transitions, lengths)
    return {
        "labels": labels,
        "scores": scores - normalizer[:, tf.newaxis],
        "probabilities": tf.gather(probabilities, labels[:, 0], batch_dims=2),
    }
