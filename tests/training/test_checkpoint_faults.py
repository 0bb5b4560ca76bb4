"""Checkpoints that are damaged, lost or cannot be written: said, and never loaded or lost."""

import math
import subprocess
import sys

import keras
import numpy as np
import pytest

from seq2seq.errors import UserError
from seq2seq.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from seq2seq.training.masked_loss_model import compile_model
from tests.training.test_trainer import (
    STEPS,
    assert_same,
    fit,
    regression_model,
    squared,
    weights,
)


def model():
    return compile_model(regression_model(), squared, keras.optimizers.Adam())


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "last.weights.h5"
    save_checkpoint(path, model(), [], Progress(epoch=1))
    return path


def test_keras_reads_a_checkpoint_as_one_of_its_own(checkpoint):
    """The checksum behind the end is no part of HDF5."""
    ours, theirs = model(), model()
    theirs.trainable_variables[0].assign_add(theirs.trainable_variables[0])
    theirs.load_weights(checkpoint)
    assert_same(weights(ours), weights(theirs))


@pytest.mark.parametrize("place", np.linspace(0, 0.999, 25))
@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_damage_anywhere_is_seen(checkpoint, place, damage):
    content = bytearray(checkpoint.read_bytes())
    at = int(place * len(content))
    if damage == "flipped":
        content[at] ^= 0x10
    else:
        del content[at:]
    checkpoint.write_bytes(content)
    with pytest.raises(UserError, match=r"last\.weights\.h5: not a checkpoint of this model"):
        load_checkpoint(checkpoint, model(), [])


FULL = """
import resource, signal, sys
import keras
from pathlib import Path
from tests.training.test_checkpoint_faults import model
from seq2seq.errors import UserError
from seq2seq.training.checkpoints import Progress, save_checkpoint
path = Path(sys.argv[1])
trained = model()
save_checkpoint(path, trained, [], Progress(epoch=1))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    save_checkpoint(path, trained, [], Progress(epoch=2))
except UserError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.parametrize("limit", [0, 100, 3000, 10_000])
def test_a_disk_that_is_full_ends_with_a_message(tmp_path, limit):
    path = tmp_path / "last.weights.h5"
    command = [sys.executable, "-c", FULL, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot write the checkpoint" in done.stdout
    assert load_checkpoint(path, model(), []).epoch == 1
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_best_checkpoint_that_is_lost_is_said(tmp_path, caplog, damage):
    fit(tmp_path, epochs=3)
    best = tmp_path / "checkpoints" / "best.weights.h5"
    best.unlink() if damage == "missing" else best.write_bytes(best.read_bytes()[:-100])
    progress, _ = fit(tmp_path, epochs=5, resume=True)
    assert "The best epoch so far (3) is lost" in caplog.text
    assert progress.best_epoch in (4, 5)
    best.unlink()
    progress, _ = fit(tmp_path, epochs=5, resume=True)
    assert progress.best_epoch == 0
    assert "the last weights are kept" in caplog.text
    last, _ = fit(tmp_path / "whole", epochs=5)
    assert last.epoch == progress.epoch


def test_losses_in_the_log_are_of_the_steps_since_the_last(tmp_path):
    """Batches are of one size: the mean of some steps is the mean of their losses."""
    logged = {1: {}, 3: {}}
    for every, values in logged.items():
        progress, _ = fit(
            tmp_path / str(every),
            epochs=3,
            log_every=every,
            log=lambda metrics, step, values=values: (
                values.setdefault(step, metrics["train_loss"]) if "epoch" not in metrics else None
            ),
        )
    steps = [logged[1][step] for step in range(1, 3 * STEPS + 1)]
    np.testing.assert_allclose(
        [epoch["train_loss"] for epoch in progress.history],
        np.reshape(steps, (3, STEPS)).mean(axis=1),
        rtol=1e-5,
    )
    # Four steps an epoch: points at 3, then 6 (of 5 and 6: an epoch begins anew), 9 and 12.
    expected = [np.mean(steps[0:3]), np.mean(steps[4:6]), steps[8], np.mean(steps[9:12])]
    assert sorted(logged[3]) == [3, 6, 9, 12]
    np.testing.assert_allclose([logged[3][n] for n in (3, 6, 9, 12)], expected, rtol=1e-5)


@pytest.mark.parametrize("value", [1e30, math.inf, math.nan, -1e30])
def test_what_has_diverged_is_never_the_best(tmp_path, value):
    scores = iter([value, 1.0, 2.0])
    progress, _ = fit(
        tmp_path,
        score=lambda: {"score": next(scores)},
        monitor="val_score",
        validation_scores=True,
        epochs=3,
    )
    assert (progress.best_epoch, progress.best) == (2, 1.0)


class Never(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        raise AssertionError("a step was done")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"monitor": "val_scor"},
            r"trainer\.monitor: there is no metric 'val_scor'; .*'val_score'",
        ),
        (
            {"callbacks": {"early": keras.callbacks.EarlyStopping(monitor="val_los")}},
            r"trainer\.callbacks\.early\.monitor: there is no metric 'val_los'; .*'val_loss'",
        ),
        (
            {"callbacks": {"rate": keras.callbacks.ReduceLROnPlateau(monitor="x")}},
            "there is no metric 'x' ",
        ),
    ],
)
def test_monitors_that_cannot_exist_are_refused_before_the_first_step(tmp_path, options, message):
    callbacks = {**options.pop("callbacks", {}), "never": Never()}
    with pytest.raises(UserError, match=message):
        fit(tmp_path, validation_scores=True, callbacks=callbacks, **options)
