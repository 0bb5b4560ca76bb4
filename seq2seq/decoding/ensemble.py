"""Ensembles: several models decoded together."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import tensorflow as tf

from seq2seq.decoding.hypotheses import Step, StepOutput


class Ensemble:
    """A step that averages the predictions of several models with one vocabulary.

    Its state is the tuple of their states, its memory the tuple of their memories, with `()` for a
    model that has none.

    Args:
        steps: The models' steps.
        average: `probabilities` (a token that any model finds likely stays likely) or
            `log_probabilities` (a token must be likely to all).

    Raises:
        ValueError: If there is no step, or the average is unknown.

    Example:
        >>> step = Ensemble([first, second])
        >>> search(step, (state_1, state_2), lengths, 1, 2, memory=(memory_1, memory_2))
    """

    def __init__(
        self,
        steps: Sequence[Step],
        average: Literal["probabilities", "log_probabilities"] = "probabilities",
    ) -> None:
        if not steps:
            raise ValueError("steps: must be at least one")
        if average not in ("probabilities", "log_probabilities"):
            raise ValueError(
                f"average: must be probabilities or log_probabilities, got {average!r}"
            )
        self.steps, self.average = tuple(steps), average

    def __call__(
        self, tokens: tf.Tensor, states: tuple[Any, ...], memories: tuple[Any, ...] | None = None
    ) -> StepOutput:
        """Runs one step of every model on tokens `(rows,)`.

        Returns:
            Logits of the averaged distribution, all states, and the mean attention of the models
            that return theirs.

        Raises:
            ValueError: If states or memories are not as many as the models, or vocabularies differ.
        """
        memories = ((),) * len(self.steps) if memories is None else memories
        for name, values in (("states", states), ("memories", memories)):
            if len(values) != len(self.steps):
                raise ValueError(
                    f"{name}: {len(self.steps)} models need as many, got {len(values)}"
                )
        outputs = []
        for step, state, memory in zip(self.steps, states, memories, strict=True):
            has_memory = not isinstance(memory, tuple) or memory
            arguments = (tokens, state, memory) if has_memory else (tokens, state)
            outputs.append(StepOutput(*step(*arguments)))
        sizes = {output.logits.shape[-1] for output in outputs}
        if len(sizes) > 1:
            raise ValueError(f"steps: models need one vocabulary, got sizes {sorted(sizes)}")
        attentions = [output.attention for output in outputs if output.attention is not None]
        return StepOutput(
            average_logits([output.logits for output in outputs], self.average),
            tuple(output.state for output in outputs),
            tf.add_n(attentions) / len(attentions) if attentions else None,
        )


def average_logits(logits: Sequence[tf.Tensor], average: str = "probabilities") -> tf.Tensor:
    """Returns logits of the mean of several distributions, each `(..., vocabulary_size)`."""
    log_probabilities = tf.stack(  # (models, ..., vocabulary_size)
        [tf.nn.log_softmax(tf.cast(tensor, tf.float32)) for tensor in logits]
    )
    if average == "log_probabilities":
        return tf.reduce_mean(log_probabilities, axis=0)
    return tf.reduce_logsumexp(log_probabilities, axis=0) - math.log(len(logits))
