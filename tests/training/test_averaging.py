"""The moving average of the weights: what it is, and that it is what a training keeps."""

import keras
import numpy as np
import pytest

from seq2seq.training.averaging import UPDATE_STEPS, WeightAverage
from seq2seq.training.stop_on_signal import TrainingInterrupted
from tests.training.test_trainer import InterruptAt, assert_same, fit, regression_model, weights


def test_the_average_forgets_slowly_what_was_long_ago():
    weight = keras.Variable([1.0, -2.0])
    average = WeightAverage([weight], decay=0.99)
    expected, kept = np.array([1.0, -2.0]), 0.99**UPDATE_STEPS
    for step in range(1, 2000):
        weight.assign([np.sin(step), step % 7])
        average.after_step(step)
        if step % UPDATE_STEPS == 0:
            decay = min(kept, step / (step + 10 * UPDATE_STEPS))
            expected = decay * expected + (1 - decay) * np.array([np.sin(step), step % 7])
    np.testing.assert_allclose(average.averages[0], expected, rtol=1e-5)


def test_a_short_epoch_has_an_update_too():
    weight = keras.Variable([0.0])
    average = WeightAverage([weight], decay=0.99)
    for step in range(1, 5):
        weight.assign([float(step)])
        average.after_step(step, epoch_steps=4)
    decay = min(0.99**4, 4 / (4 + 40))
    np.testing.assert_allclose(average.averages[0], [(1 - decay) * 4], rtol=1e-6)


def test_in_place_of_the_weights_for_a_while():
    weight = keras.Variable([1.0])
    average = WeightAverage([weight], decay=0.9)
    weight.assign([5.0])
    with average.applied():
        assert weight.numpy() == [1.0]
    assert weight.numpy() == [5.0]
    average.assign_to_weights()
    assert weight.numpy() == [1.0]


class Follow(keras.callbacks.Callback):
    """Keeps the weights of every `UPDATE_STEPS`th step."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def on_epoch_begin(self, epoch, logs=None):
        if self.steps:  # validation has put everything back
            assert_same(weights(self.model)[:4], self.steps[-1])

    def on_train_batch_end(self, batch, logs=None):
        self.steps.append(weights(self.model)[:4])


def test_the_average_is_validated_scored_and_kept(tmp_path):
    follow, scored = Follow(), []
    options = {"epochs": 10, "validation_scores": True, "monitor": "val_score", "mode": "max"}
    model = regression_model()
    start = weights(model)[:4]
    fit(
        tmp_path,
        model,
        score=lambda: scored.append(1) or {"score": len(scored)},
        averaging=0.9,
        callbacks={"follow": follow},
        **options,
    )
    expected, interval = None, min(UPDATE_STEPS, len(follow.steps) // 10)  # of 10 epochs
    for number, values in enumerate(follow.steps, 1):
        if number % interval == 0:
            decay = min(0.9**interval, number / (number + 10 * interval))
            before = start if expected is None else expected
            expected = [decay * b + (1 - decay) * v for b, v in zip(before, values, strict=True)]
    for kept, average, last in zip(weights(model)[:4], expected, follow.steps[-1], strict=True):
        np.testing.assert_allclose(kept, average, rtol=1e-4, atol=1e-6)
        assert not np.allclose(kept, last)


def test_resuming_goes_on_with_the_average(tmp_path):
    _, whole = fit(tmp_path / "whole", epochs=6, averaging=0.9)
    with pytest.raises(TrainingInterrupted):
        fit(tmp_path / "parts", epochs=6, averaging=0.9, callbacks={"stop": InterruptAt(14)})
    _, parts = fit(tmp_path / "parts", epochs=6, averaging=0.9, resume=True)
    assert_same(weights(parts), weights(whole))
