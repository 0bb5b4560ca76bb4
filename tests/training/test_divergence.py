"""Steps whose loss or gradients are not finite: stop, skip, go back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.models.language_model import LanguageModel
from seq2seq.models.stack import RecurrentStack
from seq2seq.training.batch_order import BatchOrder
from seq2seq.training.diverged_batch import DivergedBatch
from seq2seq.training.losses import ElementLoss, TokenCrossEntropy
from seq2seq.training.masked_loss_model import compile_model
from seq2seq.training.resume import GoBack
from seq2seq.training.stop_on_signal import TrainingInterrupted
from tests.training.test_trainer import (
    INPUTS,
    STEPS,
    InterruptAt,
    Regression,
    assert_same,
    fit,
    order,
    regression_model,
    weights,
)

BAD = STEPS + 2
"""The training step whose batch is not finite, in the second of three epochs."""


class Damaged(Regression):
    """Batches of which one row, of one step, has an infinite input."""

    bad_steps = (BAD,)

    def training_data(self):
        first = self.epoch * STEPS + self.batch_order.first_step + 1

        def damage(number, batch):
            inputs, labels, sample_weights = batch
            is_bad = tf.reduce_any(number + first == tf.constant(self.bad_steps, tf.int64))
            row = tf.one_hot([0], tf.shape(inputs)[0], axis=0)  # (rows, 1)
            return inputs + tf.where(is_bad & (row > 0), np.inf, 0.0), labels, sample_weights

        return super().training_data().enumerate().map(damage)

    def __post_init__(self):
        def planned(epoch):
            self.epoch = epoch
            return order(epoch)

        self.batch_order = BatchOrder(planned, tokens=len)


class WithoutStep(Damaged):
    """The same batches without the damaged one."""

    bad_steps = ()

    def __post_init__(self):
        super().__post_init__()
        plan = self.batch_order.plan

        def shorter(epoch):
            batches = list(plan(epoch))
            return batches[:1] + batches[2:] if epoch == 1 else batches

        self.batch_order = BatchOrder(shorter, tokens=len)


def without_dropout():
    keras.utils.set_random_seed(5)
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(8, "tanh")(inputs)))


@pytest.mark.parametrize("every", [1, 1000])
def test_a_diverged_training_stops_and_names_step_and_batch(tmp_path, every):
    with pytest.raises(UserError, match=rf"step {BAD} \(epoch 2\): the loss is nan") as caught:
        fit(tmp_path, epochs=3, log_every=every, task=Damaged())
    path = tmp_path / "diverged" / f"step_{BAD}.npz"
    assert f"Its batch is saved: seq2seq inspect {tmp_path} {path}." in str(caught.value)
    batch = DivergedBatch.load(path)
    rows = order(1)[BAD - STEPS - 1]
    np.testing.assert_array_equal(batch.arrays["inputs"][1:], INPUTS[rows][1:])
    assert np.isinf(batch.arrays["inputs"][0]).all()
    assert not np.isfinite(batch.row_losses[0])
    assert np.isfinite(batch.row_losses[1:]).all()
    assert "inf" in batch.rows[0]


def test_a_loss_beyond_the_limit_has_diverged(tmp_path):
    text = r"step \d+ .*: the loss is [\d,.e+]+, and trainer\.loss_limit is 1,000"
    with pytest.raises(UserError, match=text):
        fit(tmp_path, epochs=30, optimizer=keras.optimizers.SGD(10.0), loss_limit=1000.0)


def test_gradients_that_are_not_finite_are_named(tmp_path):
    class Root(Regression):
        @staticmethod
        def loss(labels, outputs, _):
            loss = tf.sqrt(outputs - outputs) + (labels - outputs) ** 2  # finite; its gradient not
            return ElementLoss(loss, loss)

    model = without_dropout()
    with pytest.raises(UserError, match=r"gradient of dense\S*/kernel, .* not finite"):
        fit(tmp_path, model, epochs=1, task=Root())
    assert_same(weights(model), weights(without_dropout()))  # no step was applied


def test_a_skipped_batch_leaves_no_trace(tmp_path, caplog):
    skipped, model = fit(
        tmp_path / "skip", without_dropout(), epochs=3, task=Damaged(), on_divergence="skip"
    )
    assert skipped.skipped_steps == [BAD]
    assert "The batch is left out." in caplog.text
    _, other = fit(tmp_path / "without", without_dropout(), epochs=3, task=WithoutStep())
    assert_same(weights(model), weights(other))


@pytest.mark.parametrize("steps", [BAD - 1, BAD, BAD + 1, BAD + 2])
@pytest.mark.parametrize("policy", ["skip", "go_back"])
def test_interrupted_and_resumed_equals_not_having_stopped(tmp_path, steps, policy):
    class Once(Damaged):  # damaged until the training has gone back
        def training_data(self):
            self.bad_steps = () if went_back else (BAD,)
            return super().training_data()

    went_back = []
    options = {"epochs": 3, "on_divergence": policy, "task": Once()}
    with pytest.MonkeyPatch.context() as patch:
        call = GoBack.__call__
        patch.setattr(GoBack, "__call__", lambda *a: (call(*a), went_back.append(1)))
        _, expected = fit(tmp_path / "one", regression_model(), **options)
        assert bool(went_back) == (policy == "go_back")
        went_back.clear()
        with pytest.raises(TrainingInterrupted):
            fit(tmp_path / "two", callbacks={"stop": InterruptAt(steps)}, **options)
        went_back.clear()
        _, model = fit(tmp_path / "two", resume=True, **options)
    assert_same(weights(model), weights(expected))


def test_too_many_batches_in_a_row_end_the_training(tmp_path):
    class Broken(Damaged):
        bad_steps = tuple(range(3, 1000))

    with pytest.raises(UserError, match="10 batches in a row"):
        fit(tmp_path, epochs=30, task=Broken(), on_divergence="skip")
    assert len(list((tmp_path / "diverged").glob("*.npz"))) == 10


@pytest.mark.parametrize("schedule", [False, True])
def test_a_training_goes_back_with_half_the_rate(tmp_path, caplog, schedule):
    """SGD on a parabola diverges above a certain rate, and converges below it."""
    rate = keras.optimizers.schedules.ExponentialDecay(40.0, 1000, 0.99) if schedule else 40.0
    log = []
    progress, _ = fit(
        tmp_path, without_dropout(), epochs=30, on_divergence="go_back", loss_limit=1e4,
        optimizer=keras.optimizers.SGD(rate), log_every=1, log=lambda *args: log.append(args),
    )  # fmt: skip
    assert progress.rate_factor < 1
    assert "Going back to last_0.weights.h5, with 0.5 of the learning rate" in caplog.text
    rates = [metrics["learning_rate"] for metrics, _ in log if "learning_rate" in metrics]
    assert rates[-1] == pytest.approx(40 * progress.rate_factor, rel=0.02)
    assert progress.history[-1]["train_loss"] < 1e4


def test_going_back_ends_when_it_does_not_help(tmp_path):
    with pytest.raises(UserError, match="Training diverged"):
        fit(tmp_path, epochs=3, task=Damaged(), on_divergence="go_back")
    assert (tmp_path / "checkpoints" / f"last_{STEPS}.weights.h5").is_file()


def test_recurrent_and_random_states_are_restored():
    """The forward pass of a step that is not applied leaves no state behind."""
    keras.utils.set_random_seed(1)
    model = LanguageModel(9, 2, RecurrentStack(units=5, dropout=0.5), 4)
    trained = compile_model(model.loss_model, TokenCrossEntropy(), keras.optimizers.Adam())
    step = tf.function(trained.checked_step, autograph=False)
    tokens = np.array([[2, 3, 4], [5, 6, 7]], np.int32)
    inputs = {"tokens": tokens, "reset": np.zeros(2, bool)}
    step((inputs, tokens, np.ones((2, 3), "float32")))
    everything = [*trained.variables, *trained.optimizer.variables]
    before = [variable.numpy() for variable in everything]
    assert all(v.numpy().any() for v in everything if "carried_stack" in v.path)
    _, checked = step((inputs, tokens, np.full((2, 3), np.nan, "float32")))
    assert not checked.is_applied
    assert_same([variable.numpy() for variable in everything], before)
    _, checked = step((inputs, tokens, np.ones((2, 3), "float32")))
    assert checked.is_applied
    changed = [(v.numpy() != old).any() for v, old in zip(everything, before, strict=True)]
    assert all(changed[: len(trained.trainable_variables)])


@pytest.mark.parametrize("settings", [{"on_divergence": "go back"}, {"loss_limit": 0}])
def test_settings_are_checked(tmp_path, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        fit(tmp_path, **settings)


@pytest.mark.parametrize("damage", [lambda _: b"", lambda b: b[: len(b) // 2], lambda _: b"x" * 99])
def test_a_damaged_file_is_refused(tmp_path, damage):
    with pytest.raises(UserError):
        fit(tmp_path, epochs=3, task=Damaged())
    path = tmp_path / "diverged" / f"step_{BAD}.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"step_\d+\.npz"):
        DivergedBatch.load(path)
    with pytest.raises(UserError, match="none"):
        DivergedBatch.load(tmp_path / "none.npz")
