"""The Keras model that `fit` trains: losses and metrics are means over unmasked elements."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf

from seq2seq.ops.dispatch import inference_kernels
from seq2seq.ops.gather import distinct_rows
from seq2seq.training.losses import ElementLoss
from seq2seq.training.optimizers import Adam
from seq2seq.training.profiler_trace import WAITING

Loss = Callable[..., ElementLoss]

Batch = tuple[Any, tf.Tensor, tf.Tensor]
"""`(inputs, labels, weights)`."""

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices | None
"""That of a weight; None if it has none."""


class Perplexity(keras.metrics.Mean):
    """`exp` of the mean loss."""

    def result(self) -> tf.Tensor:
        """Returns the perplexity so far, a scalar."""
        return tf.exp(super().result())


class MaskedLossModel(keras.Model):
    """A functional model whose batches are `(inputs, labels, weights)`.

    The weights are 1 for real elements and 0 for padding. A step's loss is the mean over its real
    elements, and an epoch's loss the mean over all real elements of the epoch: both are the same
    for any batching and padding. Keras' own `fit` averages over rows instead.

    Args:
        inputs: As `keras.Model`'s.
        outputs: As `keras.Model`'s.
        loss: Computes the loss of each element from labels, outputs and weights. With a consistency
            loss, each training batch is doubled, so that it gets two dropout masks. With guided
            alignment, batches have the input `reference_alignments`, `(batch, target_length,
            source_length)`, which may be empty in evaluations, and the loss the number of steps.
    """

    def __init__(self, inputs: Any, outputs: Any, loss: Loss) -> None:
        is_guided = getattr(loss, "guided_alignment", None) is not None
        if is_guided:
            name = "reference_alignments"
            reference = keras.Input((None, None), dtype="float32", name=name)
            inputs, outputs = {**inputs, name: reference}, {**outputs, name: reference}
        super().__init__(inputs, outputs)
        self.element_loss, self.is_guided = loss, is_guided
        self.doubles_batches = getattr(loss, "consistency", 0.0) > 0
        self.mean_loss = keras.metrics.Mean(name="loss")
        self.perplexity = Perplexity(name="perplexity") if has_perplexity(loss) else None

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics that `fit` resets each epoch."""
        return [metric for metric in (self.mean_loss, self.perplexity) if metric is not None]

    def train_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """Updates the weights from one batch."""
        return self._update_weights(self.gradients(data))

    def gradients(self, data: Batch, training: bool = True) -> "LossGradients":
        """Returns the mean loss of a batch, with dropout if for `training`, and its gradients."""
        options: dict[str, Any] = {"step": self.optimizer.iterations} if self.is_guided else {}
        if training and self.doubles_batches:
            data = self._doubled(data)
            options["doubled"] = True
        inputs, labels, weights = data
        with tf.GradientTape() as tape:
            outputs = self(inputs, training=training)
            losses = self.element_loss(labels, outputs, weights, **options)
            total = tf.reduce_sum(losses.objective * weights)
            objective = tf.math.divide_no_nan(total, tf.reduce_sum(weights))
            if self.losses:
                objective += tf.add_n(self.losses)
            scaled = self.optimizer.scale_loss(objective)
        gradients = tape.gradient(scaled, self.trainable_variables)
        if self.optimizer.loss_scale_factor:  # Keras cannot divide the slices of embeddings
            gradients = [g if g is None else tf.convert_to_tensor(g) for g in gradients]
        return LossGradients(objective, gradients, losses.reported, weights)

    def _doubled(self, data: Batch) -> Batch:
        """Returns `(2 * batch, ...)` of each array but those that both readings share."""
        inputs, labels, weights = tf.nest.map_structure(
            lambda tensor: tf.concat([tensor, tensor], axis=0), data
        )
        for name in {name for layer in self.layers for name in getattr(layer, "undoubled", ())}:
            inputs[name] = data[0][name]
        return inputs, labels, weights

    def _update_weights(self, computed: "LossGradients") -> dict[str, tf.Tensor]:
        gradients = computed.gradients
        if not isinstance(self.optimizer, Adam):  # Keras' own square and clip each slice of a row
            gradients = list(map(_with_distinct_rows, gradients))
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._update_metrics(computed.losses, computed.weights)

    def test_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """Evaluates one batch."""
        inputs, labels, weights = data
        with inference_kernels():
            outputs = self(inputs, training=False)
            losses = self.element_loss(labels, outputs, weights)
        return self._update_metrics(losses.reported, weights)

    def _update_metrics(self, losses: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        # Flat: of values with more axes Keras takes the mean of each row first, and a token in a
        # long batch would count for less than one in a short batch.
        losses, weights = tf.reshape(losses, [-1]), tf.reshape(weights, [-1])
        for metric in self.metrics:
            metric.update_state(losses, sample_weight=weights)
        return self.get_metrics_result()


class LossGradients(NamedTuple):
    """The loss of a batch, and its gradients."""

    objective: tf.Tensor
    """Scalar: what training minimises."""
    gradients: list[Gradient]
    """One for each trainable variable."""
    losses: tf.Tensor
    """The reported loss of each element."""
    weights: tf.Tensor
    """The weights of the elements."""


class CheckedStep(NamedTuple):
    """What decides whether a training step was applied."""

    is_applied: tf.Tensor
    """Scalar; false if the loss is not below the limit, or a gradient is not finite."""
    loss: tf.Tensor
    """Scalar: what training minimises."""
    row_losses: tf.Tensor
    """The mean loss of each row, `(batch,)`; empty if the step was applied."""
    gradient_norms: tf.Tensor
    """The norm of the gradient of each trainable variable, `(variables,)`."""


StepResult = tuple[dict[str, tf.Tensor], CheckedStep, Batch]
"""The logs of a step, what it has computed, and its batch."""

Step = Callable[[Callable[[], Batch]], StepResult]
"""A training step, which is given a function that returns the next batch."""

MakeStep = Callable[["TrainedModel", Any], Step]


class TrainedModel(MaskedLossModel):
    """The model of a training: its steps are timed, and applied only where they are finite.

    Attributes:
        waiting_seconds: How long all training steps so far have waited for their batches.
        loss_limit: A step is not applied if its loss is not below this, or a gradient not finite.
            It then leaves weights, optimizer, metrics, random and recurrent states as they were.
        batch: The batch of the last training step.
        checked: What the last training step has computed.
        make_step: Makes the function of a step from the model and the signature of its batches.
    """

    waiting_seconds = 0.0
    loss_limit = float("inf")
    batch: Batch
    checked: CheckedStep
    make_step: MakeStep
    train_function: Any  # set by Keras, which does not declare it

    def train_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """Updates the weights from one batch."""
        return self.checked_step(data)[0]

    def checked_step(self, data: Batch) -> tuple[dict[str, tf.Tensor], CheckedStep]:
        """Updates the weights from one batch, if its loss and gradients are finite."""
        before = self.states()
        computed = self.gradients(data)
        return self.apply_checked(computed, before, lambda: self.row_losses(computed))

    def states(self) -> list[tf.Tensor]:
        """Returns a copy of the random and recurrent states."""
        return [tf.identity(variable.value) for variable in self.non_trainable_variables]

    def apply_checked(
        self,
        computed: "LossGradients",
        before: list[tf.Tensor],
        row_losses: Callable[[], tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], CheckedStep]:
        """Updates the weights from gradients, if they and the loss are finite.

        Args:
            computed: The loss and the gradients.
            before: The `states` before the step, which are restored if it is not applied.
            row_losses: Returns what `CheckedStep` holds of it.
        """
        norms = tf.stack([_norm(gradient) for gradient in computed.gradients])
        is_applied = tf.abs(computed.objective) < self.loss_limit  # false for NaN
        # With a loss scale, the optimizer itself leaves out gradients that overflow.
        if not self.optimizer.loss_scale_factor:
            is_applied &= tf.reduce_all(tf.math.is_finite(norms))

        def apply() -> tf.Tensor:
            self._update_weights(computed)
            return tf.zeros([0])

        def restore() -> tf.Tensor:
            for variable, value in zip(self.non_trainable_variables, before, strict=True):
                variable.value.assign(value)
            return row_losses()

        losses = tf.cond(is_applied, apply, restore)
        checked = CheckedStep(is_applied, computed.objective, losses, norms)
        return self.get_metrics_result(), checked

    def row_losses(self, computed: "LossGradients") -> tf.Tensor:
        """Returns the mean loss of each row, `(batch,)`."""
        losses, weights = computed.losses, computed.weights
        elements = tf.reshape(losses * weights, [tf.shape(losses)[0], -1])
        counts = tf.reduce_sum(tf.reshape(weights, tf.shape(elements)), axis=1)
        row_losses = tf.math.divide_no_nan(tf.reduce_sum(elements, axis=1), counts)
        if self.doubles_batches:  # (2 * batch,) -> (batch,)
            row_losses = tf.reduce_mean(tf.reshape(row_losses, [2, -1]), axis=0)
        return row_losses

    def make_train_function(self, force: bool = False) -> Any:
        """Makes the function that `fit` calls with an iterator of batches.

        Keras' own takes the batch inside the graph, where nothing can be timed while ops have to
        be deterministic.
        """
        if self.train_function is not None and not force:
            return self.train_function
        step: Any = None

        def next_step(batches: tf.data.Iterator) -> dict[str, tf.Tensor]:
            nonlocal step
            if step is None:
                step = self.make_step(self, batches.element_spec)
            logs, self.checked, self.batch = step(lambda: self._next(batches))
            return logs

        self.train_function = next_step
        return next_step

    def _next(self, batches: tf.data.Iterator) -> Batch:
        start = time.perf_counter()
        with tf.profiler.experimental.Trace(WAITING):
            batch = next(batches)
        self.waiting_seconds += time.perf_counter() - start
        return batch


def one_batch_a_step(model: TrainedModel, signature: Any) -> Step:
    """Returns a step of one batch, in one graph for all lengths."""
    graph = tf.function(model.checked_step, [signature], autograph=False)

    def step(next_batch: Callable[[], Batch]) -> StepResult:
        batch = next_batch()
        return *graph(batch), batch

    return step


def has_perplexity(loss: Loss) -> bool:
    """Returns whether a loss is that of tokens or classes; a likelihood of numbers has none."""
    return bool(getattr(loss, "has_perplexity", True))


def default_loss_limit(loss: Loss) -> float:
    """Returns a loss that only a diverged training has: uniform guesses are about 10 nats."""
    return 1e3 if has_perplexity(loss) else 1e6


def _with_distinct_rows(gradient: Gradient) -> Gradient:
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    values, rows = distinct_rows(gradient.values, gradient.indices)
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def _norm(gradient: Gradient) -> tf.Tensor:
    if gradient is None:
        return tf.zeros([])
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    return tf.sqrt(2 * tf.nn.l2_loss(tf.cast(values, tf.float32)))


def compile_model(
    training_model: keras.Model,
    loss: Loss,
    optimizer: keras.optimizers.Optimizer,
    make_step: MakeStep = one_batch_a_step,
) -> TrainedModel:
    """Wraps a functional model for `fit`; layers, and so weights, are shared with it."""
    model = TrainedModel(training_model.input, training_model.output, loss)
    model.compile(optimizer=optimizer, jit_compile=False)
    model.make_step = make_step
    optimizer.build(model.trainable_variables)
    return model
