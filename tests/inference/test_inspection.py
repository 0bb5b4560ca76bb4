"""`seq2seq inspect`: arrays and pictures of a run, and maps of many inputs."""

import os
import subprocess

import numpy as np
import pytest

from seq2seq.cli import main
from seq2seq.inference.predictor import Predictor
from tests.forked_commands import forked_seq2seq
from tests.language_run import saved_run

FIELDS = ("hidden", "cell", "input_gate", "forget_gate", "candidate", "output_gate")


def inspect(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["inspect", *map(str, arguments)])
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


def test_a_text_becomes_arrays_and_pictures(run_folder, dates, tmp_path, capsys):
    text, target = dates[0]
    code, out, _ = inspect(capsys, run_folder, text, "-o", tmp_path, "--target", target)
    assert code == 0
    assert f"{text} -> {target}" in out
    assert "encoder/layer_0/backward: units that vary most:" in out
    with np.load(tmp_path / "1" / "states.npz", allow_pickle=False) as arrays:
        steps = {part: len(arrays[f"{part}/tokens"]) for part in ("encoder", "decoder")}
        assert steps == {"encoder": len(text), "decoder": 1 + len(target)}
        layers = ["encoder/layer_0/forward", "encoder/layer_0/backward", "decoder/layer_0/forward"]
        for layer in layers:
            units = 12 if layer.startswith("decoder") else 8
            for field in FIELDS:
                shape = (steps[layer.partition("/")[0]], units)
                assert arrays[f"{layer}/{field}"].shape == shape
    pictures = {path.name for path in (tmp_path / "1").glob("*.png")}
    kinds = ("states", "gates")
    assert pictures == {f"{each.replace('/', '_')}_{k}.png" for each in layers for k in kinds}


def test_each_line_of_a_file_has_its_folder(run_folder, dates, tmp_path, capsys):
    (tmp_path / "dates.txt").write_text("".join(f"{text}\n" for text, _ in dates[:2]))
    code, out, _ = inspect(capsys, run_folder, tmp_path / "dates.txt", "-o", tmp_path / "out")
    assert code == 0
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["1", "2"]
    assert all(f"{text} -> " in out for text, _ in dates[:2])


def test_map_of_labelled_inputs(run_folder, dates, tmp_path, capsys):
    lines = [f"{text}\t{target[:2]}\n" for text, target in dates]
    (tmp_path / "dates.tsv").write_text("".join(lines))
    arguments = tmp_path / "dates.tsv", "-o", tmp_path / "map", "--map", "pca"
    code, _, _ = inspect(capsys, run_folder, *arguments)
    assert code == 0
    assert (tmp_path / "map" / "map_pca.png").stat().st_size > 1000
    header, *rows = (tmp_path / "map" / "map_pca.tsv").read_text().splitlines()
    assert header.split("\t") == ["x", "y", "label", "input"]
    cells = [row.split("\t") for row in rows]
    assert [(cell[3], cell[2]) for cell in cells] == [(text, target[:2]) for text, target in dates]
    points = np.array([cell[:2] for cell in cells], float)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-4)


def test_a_language_model_is_looked_into(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run, out = saved_run(tmp_path), tmp_path / "out"
    code, printed, _ = inspect(capsys, run, "To be", "-o", out)
    assert code == 0
    assert "stack/layer_0/forward: units that vary most:" in printed
    with np.load(out / "1" / "states.npz", allow_pickle=False) as arrays:
        assert arrays["stack/tokens"].tolist() == ["<s>", "T", "o", "▁", "b", "e"]
        assert arrays["stack/layer_0/forward/cell"].shape == (6, 8)
        last = arrays["stack/layer_0/forward/hidden"][-1]
    texts = tmp_path / "texts.txt"
    texts.write_text("To be\nor not\nThe rest is\nsilence\n")
    code, _, _ = inspect(capsys, run, texts, "-o", out, "--map", "pca")
    assert code == 0
    _, *rows = (out / "map_pca.tsv").read_text().splitlines()
    assert [row.split("\t")[2:] for row in rows] == [
        ["", line] for line in texts.read_text().splitlines()
    ]
    features = Predictor.load(run).features(["or not", "To be"])["source.layer_0.forward.h"]
    np.testing.assert_allclose(features[1], last, atol=1e-6)


@pytest.mark.parametrize(
    ("lines", "message"),
    [("7.8.2051\t20\n", "at least 3"), ("a\tb\nc\td\ne\n", "2 of 3 inputs have a label")],
)
def test_maps_that_cannot_be_drawn(lines, message, run_folder, tmp_path, capsys):
    (tmp_path / "few.tsv").write_text(lines)
    arguments = tmp_path / "few.tsv", "-o", tmp_path / "map", "--map", "tsne"
    code, _, err = inspect(capsys, run_folder, *arguments)
    assert code == 2
    assert message in err
    assert not (tmp_path / "map").exists()


def test_an_empty_text(run_folder, tmp_path, capsys):
    code, _, err = inspect(capsys, run_folder, "", "-o", tmp_path)
    assert code == 2
    assert "no token" in err


def test_a_text_that_is_too_long_for_a_file_name_is_a_text(run_folder, tmp_path, capsys):
    text = "7" * 300
    code, out, _ = inspect(capsys, run_folder, text, "-o", tmp_path, "--target", "2051")
    assert code == 0
    assert f"{text} -> 2051" in out


def test_pictures_while_a_run_is_trained(dates, tmp_path):
    for number, side in enumerate(("source", "target")):
        (tmp_path / side).write_text("".join(f"{pair[number]}\n" for pair in dates))
    sides = [
        f"data.{side}.{split}={side}"
        for side in ("source", "target")
        for split in ("train", "validation", "test")
    ]
    callback = "seq2seq.tasks.state_pictures.StatePictures"
    arguments = [
        "train", "data=parallel_text", f"data.directory={tmp_path}", *sides, "tracking=none",
        "model.encoder.units=4", "model.decoder.units=4", "trainer.epochs=1",
        f"hydra.run.dir={tmp_path / 'run'}", f"+trainer.callbacks.states._target_={callback}",
        "+trainer.callbacks.states.inputs=1",
    ]  # fmt: skip
    done = subprocess.run(
        [forked_seq2seq(), *arguments],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    pictures = tmp_path / "run" / "plots" / "states" / "epoch_01"
    assert len(list(pictures.glob("1_*.png"))) == 6
