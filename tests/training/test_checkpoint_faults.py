"""Checkpoints that are damaged, lost or cannot be written: said, and never loaded or lost."""

import json
import math
import subprocess

import h5py
import keras
import numpy as np
import pytest

from seq2seq.errors import UserError
from seq2seq.run_folder import checkpoint_paths
from seq2seq.training.checkpoints import Progress, checkpoint_content, load_checkpoint
from seq2seq.training.masked_loss_model import compile_model
from seq2seq.training.weights_file import read_weights, write_weights
from tests.forked_commands import forked_python
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
    path = tmp_path / "last_1.weights.h5"
    write_weights(path, checkpoint_content(model(), [], Progress(epoch=1)))
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
    with pytest.raises(UserError, match=r"last_1\.weights\.h5: not a checkpoint of this model"):
        load_checkpoint(checkpoint, model(), [])


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.training.test_checkpoint_faults import model
from seq2seq.errors import UserError
from seq2seq.training.checkpoint_writer import CheckpointWriter
from seq2seq.training.checkpoints import Progress, checkpoint_content
trained = model()
writer = CheckpointWriter(Path(sys.argv[1]), keep=1)
writer.write("last", 1, checkpoint_content(trained, [], Progress(epoch=1)))
writer.finish()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
writer.write("best", 2, checkpoint_content(trained, [], Progress(epoch=2)))
writer.write("last", 2, checkpoint_content(trained, [], Progress(epoch=2)))
try:
    writer.finish()
except UserError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
print(*sorted(path.name for path in Path(sys.argv[1]).iterdir()))
writer.write("last", 3, checkpoint_content(trained, [], Progress(epoch=3)), [2])
writer.finish()
"""


@pytest.mark.parametrize("limit", [0, 100, 3000, 10_000])
def test_a_full_disk_is_said_and_what_is_in_memory_is_written_later(tmp_path, limit):
    command = [forked_python(), "-c", FULL, str(tmp_path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "best_2.weights.h5: cannot write the checkpoint" in done.stderr
    assert "The training goes on" in done.stderr
    message, meanwhile = done.stdout.splitlines()
    assert "best_2.weights.h5 and " in message
    assert "last_2.weights.h5: cannot write the checkpoint" in message
    assert meanwhile == "last_1.weights.h5"
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["best_2.weights.h5", "last_3.weights.h5"]
    assert load_checkpoint(tmp_path / "last_3.weights.h5", model(), []).epoch == 3
    assert load_checkpoint(tmp_path / "best_2.weights.h5", model(), []).epoch == 2


def names(folder):
    return sorted(path.name.removesuffix(".weights.h5") for path in folder.iterdir())


def test_the_last_and_the_best_are_kept(tmp_path):
    scores = iter([1.0, 5.0, 3.0, 4.0, 2.0, 4.5])
    progress, _ = fit(
        tmp_path,
        score=lambda: {"score": next(scores)},
        monitor="val_score",
        mode="max",
        validation_scores=True,
        epochs=6,
        keep=3,
        checkpoint_steps=3,
    )
    assert names(tmp_path / "checkpoints") == sorted(
        [*(f"last_{step}" for step in (STEPS * 6, STEPS * 5 + 1, STEPS * 5))]
        + [f"best_{epoch * STEPS}" for epoch in (2, 4, 6)]
    )
    assert progress.ranking == [(5.0, 2, 2 * STEPS), (4.5, 6, 6 * STEPS), (4.0, 4, 4 * STEPS)]


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "removed"])
def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_is_used(tmp_path, damage, caplog):
    fit(tmp_path / "parts", epochs=3)
    newest = tmp_path / "parts" / "checkpoints" / f"last_{3 * STEPS}.weights.h5"
    content = bytearray(newest.read_bytes())
    content[1000] ^= 1
    changed = {"cut": content[:-9], "flipped": content, "emptied": b"", "removed": None}[damage]
    newest.unlink() if changed is None else newest.write_bytes(changed)
    _, parts = fit(tmp_path / "parts", epochs=5, resume=True)
    _, whole = fit(tmp_path / "whole", epochs=5)
    assert_same(weights(parts), weights(whole))
    if damage != "removed":
        assert f"last_{3 * STEPS}.weights.h5: not a checkpoint of this model" in caplog.text
        assert f"goes on from the one before, last_{2 * STEPS}.weights.h5" in caplog.text
    assert "is lost" not in caplog.text


def as_older(path, place):
    """Writes a checkpoint as version 0.1 did."""
    memory, _ = read_weights(path)
    with h5py.File(memory, "a") as file:
        state = json.loads(file.attrs["seq2seq"])
        [(best, epoch, _), *_] = state.pop("ranking")
        file.attrs["seq2seq"] = json.dumps(
            {**state, "format": 3, "best": best, "best_epoch": epoch}
        )
    write_weights(place, memory)


def test_checkpoints_of_older_versions_are_resumed(tmp_path):
    fit(tmp_path / "new", epochs=3)
    for kind in ("last", "best"):
        path = checkpoint_paths(tmp_path / "new" / "checkpoints", kind)[0]
        as_older(path, tmp_path / "parts" / "checkpoints" / f"{kind}.weights.h5")
    _, parts = fit(tmp_path / "parts", epochs=5, resume=True)
    _, whole = fit(tmp_path / "whole", epochs=5)
    assert_same(weights(parts), weights(whole))
    assert names(tmp_path / "parts" / "checkpoints") == names(tmp_path / "whole" / "checkpoints")


def test_if_all_are_damaged_nothing_is_changed(tmp_path):
    fit(tmp_path, epochs=3)
    paths = sorted((tmp_path / "checkpoints").iterdir())
    for path in paths:
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="There is no other one; nothing was changed"):
        fit(tmp_path, epochs=5, resume=True)
    assert sorted((tmp_path / "checkpoints").iterdir()) == paths
    assert all(path.stat().st_size == 500 for path in paths)


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_best_checkpoint_that_is_lost_is_said(tmp_path, caplog, damage):
    fit(tmp_path, epochs=3)
    best = checkpoint_paths(tmp_path / "checkpoints", "best")
    for path in best:
        path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-100])
    progress, _ = fit(tmp_path, epochs=5, resume=True)
    assert "The best epoch so far (3) is lost" in caplog.text
    assert progress.best_epoch in (4, 5)
    for path in checkpoint_paths(tmp_path / "checkpoints", "best"):
        path.unlink()
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
