"""Averages of checkpoints and of epochs, against numpy's mean; warm restarts, against Keras'."""

import keras
import numpy as np
import pytest

from seq2seq.training.schedules import CosineDecay
from seq2seq.training.stop_on_signal import TrainingInterrupted
from seq2seq.training.trainer import Trainer
from tests.training.test_trainer import STEPS, InterruptAt, assert_same, fit, weights

EPOCHS = 6


class AtEpochEnds(keras.callbacks.Callback):
    """Keeps the weights after the last step of each epoch."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_train_batch_end(self, batch, logs=None):
        self.after_step = weights(self.model)[:4]

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.after_step)


def trained(folder, **options):
    ends = AtEpochEnds()
    progress, model = fit(folder, epochs=EPOCHS, callbacks={"ends": ends}, **options)
    return progress, weights(model)[:4], ends.weights


def mean(epochs):
    return [np.mean(values, axis=0) for values in zip(*epochs, strict=True)]


def assert_mean(result, epochs):
    for one, other in zip(result, mean(epochs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def interrupted_and_resumed(folder, step, **options):
    with pytest.raises(TrainingInterrupted):
        fit(folder, epochs=EPOCHS, callbacks={"stop": InterruptAt(step)}, **options)
    return weights(fit(folder, epochs=EPOCHS, resume=True, **options)[1])


def test_the_last_epochs_are_averaged_although_there_are_later_checkpoints(tmp_path):
    options = {"final_weights": "average_of_last", "keep": 3, "checkpoint_steps": 1}
    _, result, ends = trained(tmp_path / "whole", **options)
    assert_mean(result, ends[-3:])
    resumed = interrupted_and_resumed(tmp_path / "parts", 4 * STEPS + 2, **options)
    assert_same(resumed[:4], result)
    again = fit(tmp_path / "whole", epochs=EPOCHS, resume=True, **options)[1]
    assert_same(weights(again)[:4], result)  # it had ended already


def test_the_best_epochs_are_averaged(tmp_path):
    progress, result, ends = trained(tmp_path, final_weights="average_of_best", keep=2)
    losses = [epoch["val_loss"] for epoch in progress.history]
    assert_mean(result, [ends[epoch] for epoch in np.argsort(losses)[:2]])


def test_swa_is_the_mean_of_the_weights_at_the_end_of_epochs(tmp_path):
    validated = []

    class Validated(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            validated.append(weights(self.model)[:4])

    ends = AtEpochEnds()
    progress, model = fit(
        tmp_path / "whole", epochs=EPOCHS, swa_start=0.5, callbacks={"ends": ends, "v": Validated()}
    )
    for epoch, values in enumerate(validated):
        assert_mean(values, ends.weights[min(3, epoch) : epoch + 1])
    assert_same(weights(model)[:4], validated[progress.best_epoch - 1])
    resumed = interrupted_and_resumed(tmp_path / "parts", 4 * STEPS + 2, swa_start=0.5)
    assert_same(resumed, weights(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"final_weights": "mean"}, "final_weights: must be one of best, average_of_best"),
        ({"final_weights": "average_of_best", "keep": 1}, "needs keep=2 or more"),
        ({"final_weights": "average_of_last", "averaging": 0.9}, "needs averaging=0"),
        ({"final_weights": "average_of_last", "swa_start": 0.0}, "needs averaging=0"),
        ({"swa_start": 1.0}, "swa_start: must be at least 0 and below 1"),
        ({"swa_start": 0.5, "minutes": 3.0}, "swa_start: .*minutes=null"),
    ],
)
def test_averages_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Trainer(**options)


@pytest.mark.parametrize(("growth", "decay", "cycles"), [(2.0, 1.0, 3), (1.0, 0.5, 4)])
def test_warm_restarts_are_those_of_keras(growth, decay, cycles):
    first = 10
    schedule = keras.optimizers.schedules.CosineDecayRestarts(0.3, first, growth, decay)
    steps = first * sum(growth**cycle for cycle in range(cycles))
    ours = CosineDecay(cycles=cycles, cycle_growth=growth, peak_decay=decay)
    ours.set_params({"learning_rate": 0.3})
    # Not at a restart itself, where rounding decides on which side of it a share is.
    places = list(np.arange(0.5, steps))
    rates = [ours.rate(step / steps) for step in places]
    np.testing.assert_allclose(rates, [schedule(step) for step in places], rtol=1e-3, atol=1e-5)
    assert ours.rate(1.0) == pytest.approx(0, abs=1e-9)


def test_cycles_follow_the_warm_up():
    schedule = CosineDecay(warmup=0.2, cycles=2, cycle_growth=1.0)
    schedule.set_params({"learning_rate": 1.0})
    shares = [0.1, 0.2, 0.4, 0.6 + 1e-9, 0.8]
    assert [schedule.rate(s) for s in shares] == pytest.approx([0.5, 1.0, 0.5, 1.0, 0.5])


@pytest.mark.parametrize(
    ("options", "name"), [({"cycles": 0}, "cycles"), ({"cycle_growth": 0.0}, "cycle_growth")]
)
def test_impossible_cycles_are_refused(options, name):
    with pytest.raises(ValueError, match=name):
        CosineDecay(**options)
