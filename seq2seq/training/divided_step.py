"""A training step whose batches are divided into parts, and the parts among workers.

The sum of the gradients is made in an order that depends on the parts alone: the batches of a shard
one after the other, then the shards in pairs. Each worker has a contiguous part of the shards, so
that the first rounds of pairs are its own, and it sends one sum. Where gradients are sent as
bfloat16, those of each shard are rounded to it, and each sum of a pair.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.ops.gather import distinct_rows
from seq2seq.training.checkpoints import is_random_state
from seq2seq.training.masked_loss_model import (
    Batch,
    Gradient,
    LossGradients,
    StepResult,
    TrainedModel,
)
from seq2seq.training.workers import Workers, summed_in_pairs

SEED_DISTANCE = 1_000_000_007
"""The distance between the seeds of two parts; the seeds that Keras draws are below it."""


class Sums(NamedTuple):
    """The losses and gradients of parts, summed over their real elements."""

    dense: tf.Tensor
    """The gradients that are no slices, one after the other."""
    totals: tf.Tensor
    """The objective, the reported loss, and the number of real elements. Float32 `(3,)`."""
    values: list[tf.Tensor]
    """The slices of the gradients of embedding tables, `(slices, width)` each."""
    rows: list[tf.Tensor]
    """Their rows in the tables, `(slices,)` each."""


def add(one: Sums, other: Sums) -> Sums:
    """Adds sums; slices are concatenated."""
    values = [tf.concat(pair, axis=0) for pair in zip(one.values, other.values, strict=True)]
    rows = [tf.concat(pair, axis=0) for pair in zip(one.rows, other.rows, strict=True)]
    return Sums(one.dense + other.dense, one.totals + other.totals, values, rows)


def with_distinct_rows(sums: Sums) -> Sums:
    """Adds up the slices of each row of a table, so that it is sent once."""
    tables = [distinct_rows(*table) for table in zip(sums.values, sums.rows, strict=True)]
    return sums._replace(values=[t[0] for t in tables], rows=[t[1] for t in tables])


class DividedStep:
    """Computes a step's parts, sums their gradients over all workers, and updates the weights.

    Every part has random numbers of its own. A part continues the recurrent states of the same rows
    of the batch before. After a step, all states are the same on all workers.

    Args:
        workers: The workers, and the shards of this one.
        batches: How many batches a step has.
        model: The model.
        signature: That of its batches.

    Raises:
        UserError: If a layer needs batches that are not divided.
    """

    def __init__(self, workers: Workers, batches: int, model: TrainedModel, signature: Any) -> None:
        self.workers, self.batches, self.model = workers, batches, model
        self._check_layers()
        states = list(enumerate(model.non_trainable_variables))
        self.random = [(n, state.value) for n, state in states if is_random_state(state)]
        carried = {id(v) for layer in model.layers for v in getattr(layer, "carried", ())}
        self.carried = [(n, state.value) for n, state in states if id(state) in carried]
        self.are_slices: list[bool | None] = []  # of each weight's gradient; None if it has none
        specs = [tf.TensorSpec(state.shape, state.dtype) for _, state in states]
        number = tf.TensorSpec([], tf.int64)
        self._computed = tf.function(self._compute, [signature, specs, number], autograph=False)
        outputs, _ = self._computed.get_concrete_function().structured_outputs
        sent = [tf.TensorSpec(each.shape, workers.gradients) for each in outputs.values]
        sums = tf.nest.map_structure(lambda each: tf.TensorSpec(each.shape, each.dtype), outputs)
        sums = sums._replace(dense=tf.TensorSpec(sums.dense.shape, workers.gradients), values=sent)
        carried_specs = [tf.TensorSpec(value.shape, value.dtype) for _, value in self.carried]
        self._applied = tf.function(self._apply, [sums, specs, carried_specs], autograph=False)
        self.is_checked = workers.shards == 1

    def __call__(self, next_batch: Callable[[], Batch]) -> StepResult:
        """Makes one step; see `Step`."""
        before = self.model.states()
        parts: list[tuple[Batch, tf.Tensor]] = []
        shards: list[Sums] = []
        carried: list[list[tf.Tensor]] = []
        for shard in self.workers.own_shards:
            self._begin_shard(before, shard)
            sums: Sums | None = None
            for number in range(self.batches):
                batch, stream = next_batch(), number * self.workers.shards + shard
                with tf.device(self.workers.device(shard)):
                    part, row_losses = self._computed(batch, before, tf.constant(stream, tf.int64))
                    sums = part if sums is None else add(sums, part)
                parts.append((batch, row_losses))
            assert sums is not None
            shards.append(self._rounded(with_distinct_rows(sums)))
            carried.append([state[: self._rows(state, shard)] for _, state in self.carried])
        self._check_states(before)
        total, after = self._summed(shards, carried)
        logs, checked = self._applied(total, before, after)
        batch, row_losses = parts[0]
        if not bool(checked.is_applied):
            batch, row_losses = max(parts, key=lambda part: _highest(part[1]))
        return logs, checked._replace(row_losses=row_losses), batch

    def _rounded(self, sums: Sums) -> Sums:
        """Returns a shard's sums, with gradients of the type that is sent."""
        dtype = self.workers.gradients
        values = [tf.cast(each, dtype) for each in sums.values]
        return sums._replace(dense=tf.cast(sums.dense, dtype), values=values)

    def _rows(self, state: tf.Variable, shard: int) -> int:
        """Returns how many rows of a recurrent state belong to a shard."""
        return len(range(shard, state.shape[0], self.workers.shards))

    def _begin_shard(self, before: list[tf.Tensor], shard: int) -> None:
        """Puts the recurrent states of a shard's rows first, where its batches have them."""
        for number, state in self.carried:
            own = before[number][shard :: self.workers.shards]
            state.assign(tf.concat([own, before[number][self._rows(state, shard) :]], axis=0))

    def _compute(
        self, batch: Batch, before: list[tf.Tensor], stream: tf.Tensor
    ) -> tuple[Sums, tf.Tensor]:
        """Returns the sums of a part, with random numbers of a stream, and its row losses."""
        shift = tf.stack([stream * SEED_DISTANCE, 0])
        for number, state in self.random:
            state.assign(before[number] + shift)
        computed = self.model.gradients(batch)
        for _, state in self.random:
            state.assign_sub(shift)
        gradients = computed.gradients
        self.are_slices = [
            None if g is None else isinstance(g, tf.IndexedSlices) for g in gradients
        ]
        elements = tf.reduce_sum(computed.weights)
        reported = tf.reduce_sum(computed.losses * computed.weights)
        slices = [g for g in gradients if isinstance(g, tf.IndexedSlices)]
        flat = [
            tf.reshape(tf.cast(gradient, tf.float32), [-1])
            for gradient, are_slices in zip(gradients, self.are_slices, strict=True)
            if are_slices is False
        ]
        sums = Sums(
            tf.concat(flat, axis=0) * elements,
            tf.stack([computed.objective * elements, reported, elements]),
            [tf.cast(each.values, tf.float32) * elements for each in slices],
            [each.indices for each in slices],
        )
        return sums, self.model.row_losses(computed)

    def _summed(
        self, shards: list[Sums], carried: list[list[tf.Tensor]]
    ) -> tuple[Sums, list[tf.Tensor]]:
        """Returns the sums of all workers, and the recurrent states of all rows."""
        own = summed_in_pairs(shards, add)
        states = [tf.concat(each, axis=0) for each in zip(*carried, strict=True)]
        tables = len(own.values)
        dense = self.workers.summed(own.dense)
        totals, *others = self.workers.gather(
            [own.totals[tf.newaxis], *own.values, *own.rows, *states]
        )
        total = summed_in_pairs(tf.unstack(totals), tf.add)
        after = [self._interleaved(states) for states in others[2 * tables :]]
        return Sums(dense, total, others[:tables], others[tables : 2 * tables]), after

    def _interleaved(self, states: tf.Tensor) -> tf.Tensor:
        """Puts rows that lie shard by shard in the order of the batch."""
        numbers, shards = np.arange(len(states)), self.workers.shards
        by_shard = np.concatenate([numbers[shard::shards] for shard in range(shards)])
        return tf.gather(states, np.argsort(by_shard))

    def _apply(
        self, sums: Sums, before: list[tf.Tensor], carried: list[tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], Any]:
        """Updates the weights from the mean over all real elements; see `apply_checked`."""
        for (_, state), value in zip(self.carried, carried, strict=True):
            state.assign(value)
        elements = sums.totals[2]
        objective, reported = sums.totals[0] / elements, sums.totals[1] / elements
        gradients = self._gradients(sums, elements)
        computed = LossGradients(objective, gradients, reported[tf.newaxis], elements[tf.newaxis])
        return self.model.apply_checked(computed, before, lambda: tf.zeros([0]))

    def _gradients(self, sums: Sums, elements: tf.Tensor) -> list[Gradient]:
        slices = iter(zip(sums.values, sums.rows, strict=True))
        dense = tf.cast(sums.dense, tf.float32)
        gradients: list[Gradient] = []
        start = 0
        for weight, are_slices in zip(self.model.trainable_variables, self.are_slices, strict=True):
            if are_slices is None:
                gradients.append(None)
            elif are_slices:
                values, rows = next(slices)
                shape = tf.constant(tuple(weight.shape), rows.dtype)
                values = tf.cast(values, tf.float32) / elements
                gradients.append(tf.IndexedSlices(values, rows, shape))
            else:
                size = int(np.prod(weight.shape))
                flat = dense[start : start + size] / elements
                gradients.append(tf.cast(tf.reshape(flat, weight.shape), weight.dtype))
                start += size
        return gradients

    def _check_layers(self) -> None:
        """Refuses layers that need whole batches, and say so."""
        for layer in self.model.layers:
            key = getattr(layer, "undivided_key", None)
            if key is not None and self.workers.shards > 1:
                raise UserError(
                    f"{key}: needs batches that are not divided, and distribute.shards is "
                    f"{self.workers.shards}. Set {key.replace('.', '/')}=none; or distribute=none, "
                    "and train with one process"
                )

    def _check_states(self, before: list[tf.Tensor]) -> None:
        """Refuses states that no worker has of all rows, at the first step.

        Raises:
            UserError: If a layer has changed another state than those that are divided.
        """
        if self.is_checked:
            return
        divided = {number for number, _ in [*self.random, *self.carried]}
        for number, state in enumerate(self.model.non_trainable_variables):
            if number not in divided and bool(tf.reduce_any(state.value != before[number])):
                raise UserError(
                    f"distribute: {state.path} is a state that depends on all rows of a batch, "
                    "which no worker has. Use distribute=none, or another layer"
                )
        self.is_checked = True


def _highest(row_losses: tf.Tensor) -> float:
    """Returns the highest loss of a row; infinity if one is not finite."""
    finite = tf.math.is_finite(row_losses)
    return float(tf.reduce_max(tf.where(finite, row_losses, float("inf"))))
