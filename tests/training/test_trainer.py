"""A small regression stands for every task: resuming, stopping early and interrupting it."""

import os
import re
import signal
import time
from contextlib import nullcontext
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.errors import UserError
from seq2seq.progress import clock
from seq2seq.run_folder import checkpoint_paths
from seq2seq.training import progress_bar, time_budget
from seq2seq.training.batch_order import BatchOrder
from seq2seq.training.checkpoints import Progress, checkpoint_content, load_checkpoint
from seq2seq.training.losses import ElementLoss
from seq2seq.training.masked_loss_model import TrainedModel, compile_model
from seq2seq.training.profiler_trace import read_trace
from seq2seq.training.schedules import CosineDecay
from seq2seq.training.stop_on_signal import TrainingInterrupted
from seq2seq.training.trainer import Trainer
from seq2seq.training.weights_file import write_weights

ROWS, STEPS = 24, 4
GENERATOR = np.random.default_rng(0)
INPUTS = GENERATOR.normal(size=(ROWS, 3)).astype("float32")
LABELS = (INPUTS @ np.array([[1.0], [-2.0], [0.5]], "float32")) ** 2


def squared(labels, predictions, weights=None):
    errors = tf.square(labels - predictions)
    return ElementLoss(errors, errors)


def order(epoch):
    return np.array_split(np.random.default_rng([7, epoch]).permutation(ROWS), STEPS)


@dataclass
class Regression:
    """What a task gives to the trainer."""

    loss = staticmethod(squared)
    identity = "regression"
    score_names = ("score",)

    def __post_init__(self):
        self.batch_order = BatchOrder(order, tokens=len)

    def training_data(self):
        def generate():
            for rows in self.batch_order:
                yield INPUTS[rows], LABELS[rows], np.ones((len(rows), 1), "float32")

        spec = [tf.TensorSpec((None, width)) for width in (3, 1, 1)]
        return tf.data.Dataset.from_generator(generate, output_signature=tuple(spec))

    def largest_batch(self):
        return INPUTS, LABELS, np.ones((ROWS, 1), "float32")

    def describe_batch(self, inputs, labels):
        return [f"{row} -> {label}" for row, label in zip(inputs, labels, strict=True)]

    def batches(self, split):
        return tf.data.Dataset.from_tensors((INPUTS, LABELS, np.ones((ROWS, 1), "float32")))


def regression_model():
    keras.utils.set_random_seed(5)
    inputs = keras.Input((3,))
    hidden = keras.layers.Dropout(0.3)(keras.layers.Dense(8, activation="tanh")(inputs))
    return keras.Model(inputs, keras.layers.Dense(1)(hidden))


def fit(
    folder, model=None, score=lambda: {}, log=lambda *_: None, optimizer=None, task=None, **options
):
    model = model or regression_model()
    optimizer = optimizer or keras.optimizers.Adam(0.02)
    task = task or Regression()
    progress = Trainer(**options).fit(model, task, optimizer, folder, score, log)
    return progress, model


def weights(model):
    return [weight.numpy() for weight in model.weights]


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def test_going_on_after_some_epochs_equals_not_having_stopped(tmp_path):
    _, whole = fit(tmp_path / "whole", epochs=5)
    fit(tmp_path / "parts", epochs=2)
    progress, parts = fit(tmp_path / "parts", epochs=5, resume=True)
    assert_same(weights(parts), weights(whole))
    assert (progress.epoch, progress.total_steps) == (5, 5 * STEPS)
    assert len(progress.history) == 5


class InterruptAt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step, self.seen = step, 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("step", [1, 6, 8])
def test_interrupted_within_an_epoch_and_resumed_equals_not_having_stopped(tmp_path, step):
    _, whole = fit(tmp_path / "whole", epochs=3)
    with pytest.raises(TrainingInterrupted):
        fit(tmp_path / "parts", epochs=3, callbacks={"stop": InterruptAt(step)})
    progress, parts = fit(tmp_path / "parts", epochs=3, resume=True)
    assert_same(weights(parts), weights(whole))
    assert progress.total_steps == 3 * STEPS
    assert progress.target_tokens == 3 * ROWS


class InterruptValidation(keras.callbacks.Callback):
    """Sends a signal in the validation of the second epoch."""

    def __init__(self, number):
        super().__init__()
        self.number, self.seen = number, 0

    def on_test_begin(self, logs=None):
        self.seen += 1
        if self.seen == 2:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_in_a_validation_and_resumed_equals_not_having_stopped(
    tmp_path, monkeypatch, number
):
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)  # also under nohup
    options = {"epochs": 4, "averaging": 0.9, "patience": 3}
    whole_progress, whole = fit(tmp_path / "whole", **options)
    with pytest.raises(TrainingInterrupted) as stop:
        fit(tmp_path / "parts", callbacks={"stop": InterruptValidation(number)}, **options)
    assert stop.value.exit_code == 128 + number
    assert checkpoint_paths(tmp_path / "parts" / "checkpoints", "last")[0].name.startswith(
        f"last_{2 * STEPS}."
    )
    progress, parts = fit(tmp_path / "parts", resume=True, **options)
    assert_same(weights(parts), weights(whole))
    assert progress.history == whole_progress.history
    assert progress.ranking == whole_progress.ranking


def test_the_scoring_of_a_validation_stops_at_once(tmp_path):
    """However long it is: only after `os.kill` would the second half be reached."""
    options = {"epochs": 3, "validation_scores": True, "monitor": "val_score", "averaging": 0.9}
    whole_progress, whole = fit(tmp_path / "whole", score=lambda: {"score": 1.0}, **options)
    begun, ended = [], []

    def score():
        begun.append(1)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        ended.append(1)
        return {"score": 1.0}

    with pytest.raises(TrainingInterrupted):
        fit(tmp_path / "parts", score=score, **options)
    assert len(ended) == 1
    progress, parts = fit(tmp_path / "parts", score=score, resume=True, **options)
    assert_same(weights(parts), weights(whole))
    assert progress.history == whole_progress.history


def test_a_training_stops_when_its_time_is_over(tmp_path, caplog):
    caplog.set_level("INFO")
    with pytest.raises(TrainingInterrupted) as stop:
        fit(tmp_path / "parts", epochs=500, stop_after_minutes=0.01)
    assert stop.value.exit_code == 75
    assert "trainer.stop_after_minutes is over" in caplog.text
    [last, *_] = checkpoint_paths(tmp_path / "parts" / "checkpoints", "last")
    epochs = -(-int(re.findall(r"\d+", last.name)[0]) // STEPS) + 1
    _, parts = fit(tmp_path / "parts", epochs=epochs, resume=True)
    _, whole = fit(tmp_path / "whole", epochs=epochs)
    assert_same(weights(parts), weights(whole))


def test_the_handler_of_ctrl_c_is_given_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    fit(tmp_path, epochs=1)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_best_epoch_is_kept_and_patience_ends_the_training(tmp_path):
    scores = iter([1.0, 3.0, 2.0, 2.5, 9.0])
    kept = []
    model = regression_model()
    progress, _ = fit(
        tmp_path,
        model,
        score=lambda: kept.append(weights(model)) or {"score": next(scores)},
        epochs=5,
        monitor="val_score",
        mode="max",
        validation_scores=True,
        patience=2,
    )
    assert progress.epoch == 4
    assert (progress.best, progress.best_epoch) == (3.0, 2)
    assert_same(weights(model), kept[1])


def test_a_training_that_has_ended_is_not_resumed(tmp_path, caplog):
    caplog.set_level("INFO")
    _, model = fit(tmp_path, epochs=2)
    assert "has ended already" not in caplog.text
    progress, resumed = fit(tmp_path, epochs=2, resume=True)
    assert "has ended already" in caplog.text
    assert progress.epoch == 2
    assert_same(weights(resumed), weights(model))


def test_the_line_of_every_epoch_has_its_speed(tmp_path, caplog):
    """Also of epochs that take less time than the display waits between two updates."""
    caplog.set_level("INFO")
    fit(tmp_path, epochs=3)
    lines = [text for text in caplog.messages if text.startswith("epoch ")]
    assert len(lines) == 3
    assert all(text.endswith("tokens/s") for text in lines)


def test_patience_goes_on_counting_after_resume(tmp_path):
    scores = iter([3.0, 2.0])
    options = dict(monitor="val_score", mode="max", validation_scores=True, patience=2)
    fit(tmp_path, score=lambda: {"score": next(scores)}, epochs=2, **options)
    progress, _ = fit(tmp_path, score=lambda: {"score": 1.0}, epochs=9, resume=True, **options)
    assert progress.epoch == 3


def test_epoch_losses_are_means_over_real_elements(tmp_path):
    """Weights of zero (padding) count for nothing, whatever stands there."""
    model = regression_model()
    expected = np.mean((model(INPUTS).numpy() - LABELS) ** 2)
    padded = np.concatenate([INPUTS, np.full((9, 3), 1e3, "float32")])
    labels = np.concatenate([LABELS, np.zeros((9, 1), "float32")])
    real = np.concatenate([np.ones((ROWS, 1)), np.zeros((9, 1))]).astype("float32")
    cuts = [0, 3, 20, ROWS + 9]
    batches = [(padded[a:b], labels[a:b], real[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    data = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature=tuple(tf.TensorSpec((None, width)) for width in (3, 1, 1)),
    )
    measured = Trainer().measure(model, squared, data)
    np.testing.assert_allclose(measured["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(measured["perplexity"], np.exp(expected), rtol=1e-5)


def test_an_element_counts_the_same_in_long_and_in_short_batches():
    steps = keras.Input((None, 1))
    model = keras.Model(steps, keras.layers.Identity()(steps))
    batches = [np.ones((2, 3, 1), "float32"), np.full((1, 8, 1), 2, "float32")]
    data = tf.data.Dataset.from_generator(
        lambda: ((batch, 0 * batch, 0 * batch + 1) for batch in batches),
        output_signature=tuple(tf.TensorSpec((None, None, 1)) for _ in range(3)),
    )
    expected = np.mean(np.concatenate([batch.ravel() for batch in batches]) ** 2)
    assert Trainer().measure(model, squared, data)["loss"] == pytest.approx(expected)


def test_metrics_are_logged_by_step(tmp_path):
    logged = []
    fit(
        tmp_path, log=lambda values, step: logged.append((step, set(values))), epochs=2, log_every=3
    )
    assert (3, {"train_loss", "learning_rate"}) in logged
    assert logged[-1][0] == 2 * STEPS
    assert {"val_loss", "val_perplexity", "epoch"} <= logged[-1][1]


class Uneven(Regression):
    """Batches of four sizes."""

    def __post_init__(self):
        self.batch_order = BatchOrder(lambda _: np.split(np.arange(ROWS), [1, 5, 12]), tokens=len)


def test_one_graph_serves_batches_of_all_sizes(tmp_path, monkeypatch):
    traced = []
    step = TrainedModel.checked_step
    monkeypatch.setattr(TrainedModel, "checked_step", lambda *a: traced.append(1) or step(*a))
    fit(tmp_path, task=Uneven(), epochs=2)
    assert len(traced) == 1


@pytest.mark.parametrize("resumed", [False, True])
def test_a_profile_is_written_once_and_shown(tmp_path, caplog, resumed):
    caplog.set_level("INFO", logger="seq2seq")
    if resumed:
        with pytest.raises(TrainingInterrupted):
            fit(tmp_path, epochs=3, callbacks={"stop": InterruptAt(5)})
    fit(tmp_path, epochs=3, profile=True, resume=resumed)
    trace = read_trace(tmp_path / "profile")
    assert len(trace.steps) == 2  # the second half of four steps, or of the three left
    assert len(list(tmp_path.glob("profile/plugins/profile/*/*.xplane.pb"))) == 1
    text = (tmp_path / "profile" / "step.txt").read_text()
    assert text.splitlines()[0] in caplog.text
    for name in ("optimizer", "matrix products", "waiting for data", "MatMul"):
        assert name in text


def test_a_training_that_fails_leaves_no_profiler_behind(tmp_path):
    def fail(batch, logs):
        raise RuntimeError("in the midst of it")

    broken = keras.callbacks.LambdaCallback(on_train_batch_begin=fail)
    with pytest.raises(RuntimeError):
        fit(tmp_path, epochs=1, profile=True, task=OneStep(), callbacks={"broken": broken})
    tf.profiler.experimental.start(str(tmp_path / "another"))
    tf.profiler.experimental.stop()


class OneStep(Regression):
    """All rows in one batch."""

    def __post_init__(self):
        self.batch_order = BatchOrder(lambda epoch: [np.arange(ROWS)], tokens=len)


class SlowRegression(Regression):
    """Takes its time for each batch, in the middle of the step that asks for it."""

    SECONDS = 0.05

    def training_data(self):
        def wait(index):
            time.sleep(self.SECONDS)
            return index

        waits = tf.data.Dataset.range(len(self.batch_order)).map(
            lambda index: tf.numpy_function(wait, [index], tf.int64)
        )
        data = tf.data.Dataset.zip(waits, super().training_data()).map(lambda _, batch: batch)
        options = tf.data.Options()
        options.experimental_optimization.apply_default_optimizations = False
        return data.with_options(options)


def test_the_time_that_steps_wait_for_data_is_counted(tmp_path):
    progress, _ = fit(tmp_path, task=SlowRegression(), epochs=2)
    slept = 2 * STEPS * SlowRegression.SECONDS
    assert slept <= progress.waiting_seconds <= progress.training_seconds
    assert progress.waiting_share == progress.waiting_seconds / progress.training_seconds
    resumed, _ = fit(tmp_path, task=SlowRegression(), epochs=3, resume=True)
    assert resumed.waiting_seconds >= progress.waiting_seconds + slept / 2


def test_a_budget_of_minutes_ends_a_training_and_its_schedule(tmp_path, monkeypatch):
    """With a clock on which every step takes six seconds."""
    seconds = [0.0]
    monkeypatch.setattr(time_budget.time, "monotonic", lambda: seconds[0])

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seconds[0] += 6

    class Shown:
        def report(self, done, total, text=""):
            texts.append(text)

    rates, texts = [], []
    monkeypatch.setattr(progress_bar, "step", lambda _: nullcontext(Shown()))
    callbacks = {"clock": Clock(), **cosine()}

    def log(values, step):
        rates.append(values.get("learning_rate"))

    options = dict(epochs=100, minutes=1.0, log_every=1, callbacks=callbacks)
    progress, model = fit(tmp_path, log=log, **options)
    assert progress.total_steps == 10  # two epochs of four steps, and two steps of the third
    assert [epoch["step"] for epoch in progress.history] == [4, 8, 10]
    assert all("val_loss" in epoch for epoch in progress.history)
    left = [text.rpartition(", ")[2] for text in texts if text]  # not after an epoch's first step
    assert left == [f"{clock(60 - 6 * step)} left" for step in (2, 3, 4, 6, 7, 8, 10)]
    shares = np.arange(1, 11) / 10
    falling = (1 + np.cos(np.pi * (shares - 0.25) / 0.75)) / 2
    expected = 0.02 * np.where(shares < 0.25, shares / 0.25, falling)
    np.testing.assert_allclose([rate for rate in rates if rate is not None], expected, atol=1e-8)
    again, same = fit(tmp_path, resume=True, **options)
    assert again.total_steps == 10
    assert_same(weights(same), weights(model))
    longer, _ = fit(tmp_path, resume=True, **{**options, "minutes": 1.5})
    assert longer.total_steps == 15


def test_who_did_nothing_waited_for_nothing():
    assert Progress().waiting_share == 0


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"log_every": -1},
        {"keep": 0},
        {"checkpoint_steps": 0.5},
        {"stop_after_minutes": 0},
        {"minutes": -1},
        {"mode": "best"},
        {"patience": 0},
        {"averaging": 1.0},
        {"monitor": "val_bleu"},
    ],
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Trainer(**options)


def test_checkpoints_that_cannot_be_used_are_refused(tmp_path):
    path = tmp_path / "last.weights.h5"
    model = compile_model(regression_model(), squared, keras.optimizers.Adam())
    write_weights(path, checkpoint_content(model, [], Progress()))
    inputs = keras.Input((2,))
    other = compile_model(
        keras.Model(inputs, keras.layers.Dense(4)(inputs)), squared, keras.optimizers.Adam()
    )
    with pytest.raises(UserError, match="not a checkpoint of this model"):
        load_checkpoint(path, other, [])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(path, model, [])


def cosine():
    return {"schedule": CosineDecay(warmup=0.25)}


def test_the_cosine_rises_to_the_configured_rate_and_falls_to_zero(tmp_path):
    rates = []
    fit(
        tmp_path,
        log=lambda values, step: rates.append(values.get("learning_rate")),
        epochs=2,
        log_every=1,
        callbacks=cosine(),
    )
    rates = [rate for rate in rates if rate is not None]
    shares = np.arange(8) / 8
    expected = np.where(
        shares < 0.25, shares / 0.25, (1 + np.cos(np.pi * (shares - 0.25) / 0.75)) / 2
    )
    np.testing.assert_allclose(rates, 0.02 * expected, rtol=1e-5)


@pytest.mark.parametrize("step", [2, 7])
def test_a_resumed_training_goes_on_along_the_cosine_and_reports_whole_epochs(tmp_path, step):
    kept, whole = fit(tmp_path / "whole", epochs=3, callbacks=cosine())
    with pytest.raises(TrainingInterrupted):
        fit(tmp_path / "parts", epochs=3, callbacks={**cosine(), "stop": InterruptAt(step)})
    progress, parts = fit(tmp_path / "parts", epochs=3, resume=True, callbacks=cosine())
    assert_same(weights(parts), weights(whole))
    assert progress.history == kept.history


def test_what_the_user_changes_on_resume_counts(tmp_path):
    fit(tmp_path, epochs=1)
    rates = []
    fit(
        tmp_path,
        log=lambda values, step: rates.append(values.get("learning_rate")),
        epochs=2,
        log_every=1,
        resume=True,
        optimizer=keras.optimizers.Adam(0.005),
    )
    np.testing.assert_allclose([rate for rate in rates if rate], 0.005, rtol=1e-6)


def test_a_training_that_stopped_early_stays_stopped_until_it_may_wait_longer(tmp_path):
    options = dict(monitor="val_score", mode="max", validation_scores=True, epochs=9)
    scores = iter([3.0, 2.0, 1.0])
    fit(tmp_path, score=lambda: {"score": next(scores)}, patience=2, **options)
    options.update(score=lambda: {"score": 0.0}, resume=True)
    assert fit(tmp_path, patience=2, **options)[0].epoch == 3
    assert fit(tmp_path, patience=4, **options)[0].epoch == 5


def test_other_data_cannot_be_resumed_with(tmp_path, monkeypatch):
    fit(tmp_path, epochs=1)
    monkeypatch.setattr(Regression, "identity", "other")
    with pytest.raises(UserError, match="data, tokenizer, batching or seed"):
        fit(tmp_path, epochs=2, resume=True)


def test_two_schedules_do_not_go_together(tmp_path):
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10))
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: a schedule"):
        fit(tmp_path, epochs=1, optimizer=optimizer, callbacks=cosine())
