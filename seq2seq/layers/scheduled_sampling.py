"""Scheduled sampling: in training, a decoder also reads tokens that it has drawn itself.

See Bengio et al. (2015), https://arxiv.org/abs/1506.03099. A schedule gives the probability that a
token of the target is read, which falls from 1 with the steps of the training.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import fraction, positive
from seq2seq.ops.dispatch import inference_kernels
from seq2seq.ops.drawing import draw
from seq2seq.ops.scan import scan
from seq2seq.private_api import stop_recording


class Schedule(ABC):
    """The probability that a token of the target is read, by the training step."""

    @abstractmethod
    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the probability, float32, after this many steps, float32."""


@dataclass(frozen=True)
class _SteppedSchedule(Schedule):
    """The arguments of schedules that fall within a number of steps, and their checks."""

    steps: int
    minimum: float = 0.0

    def __post_init__(self) -> None:
        positive("steps", self.steps)
        fraction("minimum", self.minimum)


@dataclass(frozen=True)
class LinearSchedule(_SteppedSchedule):
    """Falls by as much in each step.

    Args:
        steps: The steps until it reaches the minimum.
        minimum: The probability from then on, in [0, 1).

    Raises:
        ValueError: If an argument has an impossible value.
    """

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns `max(minimum, 1 - (1 - minimum) step / steps)`."""
        return tf.maximum(self.minimum, 1 - (1 - self.minimum) * step / self.steps)


@dataclass(frozen=True)
class ExponentialSchedule(Schedule):
    """Falls by the same share in each step.

    Args:
        base: The factor of a step, in (0, 1), such as 0.9998.
        minimum: The probability that it does not fall below, in [0, 1).

    Raises:
        ValueError: If an argument has an impossible value.
    """

    base: float
    minimum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.base < 1:
            raise ValueError(f"base: must be above 0 and below 1, got {self.base!r}")
        fraction("minimum", self.minimum)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns `max(minimum, base ** step)`."""
        return tf.maximum(self.minimum, tf.exp(step * math.log(self.base)))


@dataclass(frozen=True)
class InverseSigmoidSchedule(_SteppedSchedule):
    """Falls slowly, then fast, then slowly.

    Args:
        steps: The time scale, k in `k / (k + exp(step / k))`: a half is reached after `k log k`
            steps, 6,900 for 1000.
        minimum: The probability that it does not fall below, in [0, 1).

    Raises:
        ValueError: If an argument has an impossible value.
    """

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns `max(minimum, k / (k + exp(step / k)))`."""
        odds = step / self.steps - tf.math.log(float(self.steps))
        return tf.maximum(self.minimum, tf.sigmoid(-odds))


class ScheduledSampling(keras.layers.Layer):
    """Replaces tokens of the target by tokens drawn from the decoder's distributions, in training.

    The decoder reads the result from its start in one compiled loop, as in a search: without
    dropout, and without gradients, as none flow through drawn tokens. What the model then learns
    from is the ordinary pass over the tokens that come back. The first token is never replaced.

    Args:
        schedule: The probability that a token is not replaced.
        decode: Maps the inputs of a step, `{target, states[, memory]}`, to `{logits, states}`, as
            `Translator.decoder_model` does.

    Attributes:
        steps: How many training batches there have been, int64 `()`; saved in checkpoints.
        undivided_key: The config key of this layer, which counts batches that are not divided.
    """

    undivided_key = "model.scheduled_sampling"

    def __init__(
        self, schedule: Schedule, decode: Callable[[Any], Mapping[str, Any]], **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.schedule, self.decode = schedule, decode
        self.seed_generator = keras.random.SeedGenerator()
        self.steps = self.add_weight(
            (), "zeros", "int64", trainable=False, name="steps", aggregation="only_first_replica"
        )

    def call(
        self, target: tf.Tensor, states: Any, memory: Any, training: bool | None = None
    ) -> tf.Tensor:
        """Maps the target's tokens `(batch, target_length)` to those that are to be read."""
        if not training:
            return target
        probability = self.schedule(tf.cast(self.steps.value, tf.float32))
        self.steps.assign_add(1)
        uniform, noise = tf.unstack(
            keras.random.uniform(tf.concat([[2], tf.shape(target)], 0), seed=self.seed_generator)
        )

        def step(inputs: Any, state: Any) -> tuple[tf.Tensor, Any]:
            token = tf.where(inputs["is_replaced"], state["drawn"], inputs["target"])
            step_inputs = {"target": token, "states": state["states"]}
            outputs = self.decode({**step_inputs, **({"memory": memory} if memory else {})})
            logits = tf.cast(outputs["logits"], tf.float32)
            drawn = tf.cast(draw(logits, inputs["noise"]), token.dtype)
            return token, {"drawn": drawn, "states": outputs["states"]}

        first = tf.range(tf.shape(target)[1]) == 0
        sequences = {
            "target": target,
            "is_replaced": tf.logical_and(uniform >= probability, tf.logical_not(first)),
            "noise": noise,
        }
        with stop_recording(), inference_kernels():
            tokens, _ = scan(step, sequences, {"drawn": target[:, :1], "states": states})
        return tokens
