"""The benchmark of exported runs."""

import json

from benchmarks import exporting
from seq2seq.export.export import export_run
from tests.export.conftest import inputs_of, run_of


def test_an_exported_run_is_measured_beside_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "ROUNDS", 1)
    run, data = run_of(tmp_path, "classification")
    rows = [{"source": text} for text in inputs_of("classification", data)[:70]]
    (run / "predictions").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (run / "predictions" / "test.jsonl").write_text(lines, encoding="utf-8")
    export_run(run, tmp_path / "out", "litert")
    own = exporting.of_run(run)
    measured = exporting.exported(tmp_path / "out", exporting.inputs_of(run))
    assert measured["size"] == (tmp_path / "out" / "model.tflite").stat().st_size
    cells = exporting.row("litert float32", measured, own).split(" | ")
    assert len(cells) == len(exporting.COLUMNS)
    assert cells[5] == "100.0 %"
    assert float(cells[6].rstrip(" |")) < 1e-4
