"""The benchmark of exported runs."""

import json

import pytest

from benchmarks import exporting
from seq2seq.export.export import export_run
from tests.export.conftest import RECIPES, run_of


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"translation"}))
def test_an_exported_run_is_measured_beside_the_run(tmp_path, monkeypatch, name):
    monkeypatch.setattr(exporting, "ROUNDS", 1)
    monkeypatch.setattr(exporting, "COUNT", 70)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if name == "generation":
        lines = [f"name {number} of {number % 7} names" for number in range(3000)]
        (tmp_path / "names").write_text("\n".join(lines), encoding="utf-8")
    greedy = ["decoding=greedy"] if name == "generation" else []
    run, data = run_of(tmp_path, name, greedy)
    export_run(run, tmp_path / "out", "litert")
    predictor, seconds = exporting.loaded(run)
    assert exporting.task_of(predictor) == name
    inputs = exporting.inputs_of(name, data)
    own = exporting.of_run(run, predictor, inputs) | {"load": seconds}
    inputs = json.loads(json.dumps(inputs, default=exporting._plain))
    measured = json.loads(json.dumps(exporting.exported(tmp_path / "out", inputs)))
    assert measured["size"] == (tmp_path / "out" / "model.tflite").stat().st_size
    cells = exporting.row("litert float32", measured, own).split(" | ")
    assert len(cells) == 1 + len(exporting.COLUMNS)
    assert cells[5] == "100.0 %"
    assert float(cells[6].rstrip(" |")) < 1e-4
