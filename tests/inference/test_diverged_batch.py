"""`seq2seq inspect` of the batch on which a training has diverged."""

import math

import numpy as np
import pytest

from seq2seq.cli import main
from seq2seq.plots.divergence import MOST_WEIGHTS, divergence_figure
from seq2seq.training.diverged_batch import DivergedBatch

BATCH = DivergedBatch(
    step=7,
    epoch=2,
    reason="the gradient of a/kernel is not finite",
    loss=1.5,
    learning_rate=0.002,
    row_losses=[0.5, math.nan, 2.5],
    rows=["fein -> fine", "naïve\n日本 -> nan", "x" * 100 + " -> " + "y" * 100],
    gradient_norms={"a/bias": 0.25, "a/kernel": math.inf, "b/bias": 0.5},
    arrays={"source": np.arange(6, dtype=np.int32).reshape(3, 2), "labels": np.ones((3, 1))},
)


def test_a_file_holds_the_batch(tmp_path):
    loaded = DivergedBatch.load(BATCH.save(tmp_path))
    np.testing.assert_array_equal(loaded.arrays["source"], BATCH.arrays["source"])
    assert loaded.arrays["source"].dtype == np.int32
    assert str(vars(loaded)["row_losses"]) == str(BATCH.row_losses)  # NaN is not itself
    assert (loaded.rows, loaded.gradient_norms) == (BATCH.rows, BATCH.gradient_norms)


def test_the_command_shows_it_worst_first(tmp_path, capsys):
    path = BATCH.save(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["inspect", str(tmp_path), str(path), "-o", str(tmp_path / "look")])
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step 7, epoch 2: the gradient of a/kernel is not finite"
    rows = [line.split()[0] for line in lines if " -> " in line or " ... " in line]
    assert rows == ["nan", "2.5", "0.5"]
    assert any(line.endswith("naïve 日本 -> nan") for line in lines)
    [cut] = [line for line in lines if " ... " in line]
    assert cut.endswith("y" * 50)
    norms = [line.split() for line in lines if line.endswith(("/kernel", "/bias"))]
    assert norms == [["inf", "a/kernel"], ["0.5", "b/bias"], ["0.25", "a/bias"]]
    assert "  batch/source: int32 (3, 2)" in lines
    assert lines[-1] == str(tmp_path / "look" / "step_7.png")
    assert (tmp_path / "look" / "step_7.png").read_bytes().startswith(b"\x89PNG")


def test_other_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(SystemExit) as caught:
        main(["inspect", str(tmp_path), str(tmp_path / "other.npz")])
    assert caught.value.code == 2


def test_the_figure_has_the_largest_gradients():
    norms = {f"w{number}": float(number) for number in range(100)}
    figure = divergence_figure([1.0] * 64, norms)
    losses, gradients = figure.axes
    assert len(gradients.patches) == MOST_WEIGHTS
    assert gradients.get_yticklabels()[0].get_text() == "w99"
    assert len(losses.get_yticks()) <= 10
    with pytest.raises(ValueError, match="no row"):
        divergence_figure([], norms)
