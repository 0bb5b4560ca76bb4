import errno
import shutil

import h5py
import numpy as np
import pytest

from seq2seq.cli import main
from seq2seq.errors import UserError
from seq2seq.inference.compression import compress, weights_size
from seq2seq.inference.predictor import Predictor
from seq2seq.ops.dispatch import supports_int8
from seq2seq.tasks.model_folder import load_model_folder, set_precision


def weights(folder):
    found = {}
    with h5py.File(folder / "model" / "model.weights.h5") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def test_matrices_are_rounded_and_nothing_else(run_folder, tmp_path):
    compress(run_folder, tmp_path / "copy")
    before, after = weights(run_folder), weights(tmp_path / "copy")
    assert before.keys() == after.keys()
    assert {value.ndim for value in before.values()} == {1, 2}
    for name, value in before.items():
        kept = np.finfo(np.float32).eps if value.ndim < 2 else 2.0**-8
        np.testing.assert_allclose(after[name], value, rtol=kept, atol=0)
        lower_halves = np.ascontiguousarray(after[name]).view(np.uint32) & 0xFFFF
        assert value.ndim < 2 or not lower_halves.any()


def test_the_copy_takes_about_half_of_the_room(run_folder, tmp_path):
    compress(run_folder, tmp_path / "copy")
    compress(tmp_path / "copy", tmp_path / "again")
    floats = sum(value.nbytes for value in weights(run_folder).values())
    small = sum(value.nbytes for value in weights(tmp_path / "copy").values() if value.size < 4096)
    saved = weights_size(run_folder) - weights_size(tmp_path / "copy")
    assert saved > 0.4 * (floats - small)
    assert weights_size(tmp_path / "again") == weights_size(tmp_path / "copy")


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("decoding", ["greedy", "beam"])
def test_the_copy_answers_one_text_as_many(run_folder, dates, tmp_path, decoding, precision):
    compress(run_folder, tmp_path / "copy", precision)
    texts = [source for source, _ in dates]
    predictor = Predictor(*load_model_folder(tmp_path / "copy"), Predictor.load(run_folder).search)
    together = predictor(texts, decoding=decoding)
    for text, row in zip(texts, together, strict=True):
        [alone] = predictor([text], decoding=decoding)
        assert alone["prediction"] == row["prediction"]
        # A difference in the last place may round to another of 255 values.
        tolerance = 1e-2 if precision == "int8" else 1e-4
        assert alone["score"] == pytest.approx(row["score"], abs=tolerance)


def test_the_command_makes_a_run_that_others_read(run_folder, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["compress", str(run_folder), str(tmp_path / "copy")])
    assert f"{tmp_path / 'copy'}: " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", str(tmp_path / "copy")])
    assert "exact_match" in capsys.readouterr().out


def test_the_copy_may_compute_in_another_precision(run_folder, dates, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["compress", str(run_folder), str(tmp_path / "copy"), "--precision", "mixed_bfloat16"])
    found, exact = Predictor.load(tmp_path / "copy"), Predictor.load(run_folder)
    texts = [source for source, _ in dates]
    scores = np.array([row["score"] for row in found(texts)])
    np.testing.assert_allclose(scores, [row["score"] for row in exact(texts)], rtol=0.1, atol=0.1)
    _, model = load_model_folder(tmp_path / "copy")
    assert model.encoder_model.output["outputs"].dtype == "bfloat16"


@pytest.mark.compiled
def test_searches_of_the_copy_may_be_in_8_bits(run_folder, dates, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["compress", str(run_folder), str(tmp_path / "copy"), "--precision", "int8"])
    compress(run_folder, tmp_path / "exact")
    found, exact = Predictor.load(tmp_path / "copy"), Predictor.load(tmp_path / "exact")
    texts = [source for source, _ in dates]
    scores, before = ([row["score"] for row in each(texts)] for each in (found, exact))
    np.testing.assert_allclose(scores, before, rtol=0.1, atol=0.1)
    assert (scores != np.float32(before)).any() or not supports_int8()
    _, model = load_model_folder(tmp_path / "copy")
    assert model.encoder_model.output["outputs"].dtype == "float32"


def test_the_last_precision_counts(run_folder, tmp_path):
    def int8_search(folder):
        return load_model_folder(folder)[1].int8_search

    compress(run_folder, tmp_path / "eight", "int8")
    compress(tmp_path / "eight", tmp_path / "float", "float32")
    compress(tmp_path / "eight", tmp_path / "same")
    assert int8_search(tmp_path / "eight")
    assert int8_search(tmp_path / "same")
    assert not int8_search(tmp_path / "float")


def test_no_code_of_others_is_imported(tmp_path):
    (tmp_path / "config.yaml").write_text("model: {_target_: antigravity.Model}")
    with pytest.raises(UserError, match="not a class that a saved run may name"):
        set_precision(tmp_path, "int8")


def test_a_machine_that_cannot_says_so(run_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("seq2seq.ops.dispatch.supports_int8", lambda: False)
    with pytest.raises(SystemExit, match="0"):
        main(["compress", str(run_folder), str(tmp_path / "copy"), "--precision", "int8"])
    assert "no instructions for int8" in capsys.readouterr().out


def test_what_makes_no_search_is_not_asked_for_8_bits(tmp_path):
    (tmp_path / "config.yaml").write_text("model: {_target_: seq2seq.models.tagger.Tagger}")
    with pytest.raises(UserError, match="makes none; use float32 or mixed_bfloat16"):
        set_precision(tmp_path, "int8")


def test_what_is_there_is_not_overwritten(run_folder, tmp_path):
    with pytest.raises(UserError, match="exists already"):
        compress(run_folder, tmp_path)


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no trained model"):
        compress(tmp_path / "empty", tmp_path / "copy")


def test_damaged_weights_are_refused(run_folder, tmp_path):
    shutil.copytree(run_folder / "model", tmp_path / "damaged")
    (tmp_path / "damaged" / "model.weights.h5").write_bytes(b"half of a file")
    with pytest.raises(UserError, match="the weights are damaged"):
        compress(tmp_path / "damaged", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_full_disk_leaves_nothing(run_folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("seq2seq.inference.compression._compress_weights", full)
    with pytest.raises(UserError, match="No space left"):
        compress(run_folder, tmp_path / "copy")
    assert not list(tmp_path.iterdir())
