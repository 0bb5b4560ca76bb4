"""What leaves beside `predict`, smaller weights, and runs that a format cannot hold."""

import json
import subprocess

import keras
import numpy as np
import onnxruntime
import pytest

import seq2seq.models.tagger  # noqa: F401  (registers the layers of `.keras` files)
from benchmarks.programs.run_exported import START, Exported, runner
from seq2seq.cli import main
from seq2seq.commands.export import FORMATS
from seq2seq.errors import UserError
from seq2seq.export import export as module
from seq2seq.export import onnx_files
from seq2seq.export.export import PRECISIONS, export_run
from seq2seq.models.encoder import Encoder
from seq2seq.models.stack import RecurrentStack
from seq2seq.request import PredictionRequest
from seq2seq.tasks.exported import ExportedFunction, TensorInfo, lengths_info
from tests.export.conftest import run_of
from tests.forked_commands import forked_python

END = 3


def test_encoder_and_step_search_greedily(runs, tmp_path):
    """A loop of one's own around `encode` and `step` finds what the run finds."""
    run, inputs, predictor = runs("translation")
    export_run(run, tmp_path / "out", "onnx")
    exported = Exported(tmp_path / "out")
    encode, step = (runner(tmp_path / "out", name) for name in ("encode", "step"))
    known = set(exported.manifest["functions"]["step"]["inputs"])
    decode = exported.tokenizer("target").decode
    for text in inputs[:5]:
        feeds = exported.feeds([text])
        state = {name: value for name, value in encode(feeds).items() if name in known}
        token, tokens = START, []
        limit = int(0.5 * feeds["source_length"][0]) + 10
        while True:
            outputs = step({"target": np.array([[token]], np.int32), **state})
            token = int(outputs["logits"][0, 0].argmax())
            if token == END or len(tokens) == limit:
                break
            tokens.append(token)
            state |= {
                name.removeprefix("next_"): value
                for name, value in outputs.items()
                if name.startswith("next_state_")
            }
        assert decode(tokens) == predictor(text)["prediction"]


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_a_stream_goes_on_from_its_state(runs, tmp_path, format):
    """Two pieces with the state between them give the logits of the whole."""
    run, *_ = runs("generation")
    export_run(run, tmp_path / "out", format)
    step = runner(tmp_path / "out", "step")
    feeds = Exported(tmp_path / "out").feeds(["Mont", "Mongolia"])
    zeros = {"state_0_h": np.zeros((1, 16), np.float32)}
    whole, parts = [], []
    tokens = feeds["prompt"][1:, :4]
    for pieces, logits in (([tokens], whole), ([tokens[:, :1], tokens[:, 1:]], parts)):
        state = zeros
        for piece in pieces:
            length = np.array([piece.shape[1]], np.int32)
            outputs = step({"tokens": piece, "length": length, **state})
            state = {"state_0_h": outputs["next_state_0_h"]}
            logits.append(outputs["logits"])
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole[0], atol=1e-5)


@pytest.mark.parametrize(
    ("format", "precision"),
    [(name, precision) for name, known in PRECISIONS.items() for precision in known[1:]],
)
def test_smaller_weights_predict_nearly_the_same(runs, tmp_path, format, precision):
    run, inputs, predictor = runs("classification")
    for each in ("float32", precision):
        export_run(run, tmp_path / each, format, each)
    exported = Exported(tmp_path / precision)
    result = runner(tmp_path / precision)(exported.feeds(inputs))["probabilities"]
    rows = predictor(inputs)
    expected = [
        [row["probabilities"][label] for label in exported.manifest["labels"]] for row in rows
    ]
    assert np.abs(result - expected).mean() < (1e-3 if precision == "float16" else 0.02)
    sizes = [
        sum(path.stat().st_size for path in (tmp_path / each).glob("predict.*"))
        or (tmp_path / each / "model.tflite").stat().st_size
        for each in ("float32", precision)
    ]
    assert sizes[1] < 0.95 * sizes[0]


def test_keras_files_are_the_models(runs, tmp_path):
    run, _, predictor = runs("tagging")
    manifest = export_run(run, tmp_path / "out", "keras")
    loaded = keras.saving.load_model(tmp_path / "out" / manifest["functions"]["training"]["file"])
    own = predictor.model.training_model
    batch = {name: np.ones((2, 3), np.int32) for name in own.input}
    batch |= {name: np.array([3, 2], np.int32) for name in own.input if "length" in name}
    batch["spelling"] = np.zeros((2, 3), np.int32)
    for name, value in own(batch).items():
        np.testing.assert_allclose(loaded(batch)[name], value, atol=1e-6)


def test_a_run_in_bfloat16_is_exported_in_float32(tmp_path):
    run, _ = run_of(tmp_path, "forecasting", ["precision=mixed_bfloat16"])
    export_run(run, tmp_path / "out", "litert")
    history = np.linspace(300, 320, 40, dtype=np.float32).reshape(1, 40, 1)
    known = np.zeros((1, 64, 2), np.float32)
    feeds = {"history": history, "history_length": np.array([40], np.int32)}
    result = runner(tmp_path / "out")({**feeds, "known_covariates": known})
    assert result["forecast"].shape == (1, 24, 1)
    assert np.isfinite(result["forecast"]).all()


def test_what_no_graph_holds_is_refused_with_the_reason(runs, tmp_path):
    statistical = ["recipe=forecasting/co2", "task/scaling=statistical", "~task.scaling.kind"]
    run, _ = run_of(tmp_path, "forecasting", recipe=statistical)
    with pytest.raises(UserError, match=r"task.scaling: StatisticalScaling .* --format keras"):
        export_run(run, tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()
    assert export_run(run, tmp_path / "out", "keras")["functions"]
    run, *_ = runs("translation")
    with pytest.raises(UserError, match="shortlist=0"):
        export_run(
            run, tmp_path / "more", "onnx", request=PredictionRequest(settings={"shortlist": 50})
        )
    run, *_ = runs("classification")
    with pytest.raises(UserError, match="decoding"):
        export_run(run, tmp_path / "more", "onnx", request=PredictionRequest(decoding="beam"))


def test_an_operation_that_a_converter_does_not_know_is_named(runs, tmp_path, monkeypatch):
    def fails(*arguments):
        raise ValueError("there is no operation Frobnicate\nstack")

    monkeypatch.setattr("seq2seq.export.onnx_files.write", fails)
    run, *_ = runs("classification")
    with pytest.raises(UserError, match=r"cannot hold this run .*Frobnicate.*savedmodel, litert"):
        export_run(run, tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_has_all_formats():
    assert tuple(PRECISIONS) == FORMATS


def test_mistakes_are_reported_before_anything_is_loaded(runs, tmp_path, monkeypatch):
    run, *_ = runs("classification")
    for format, precision, message in (
        ("onxx", "float32", "--format: must be one of"),
        ("savedmodel", "int8", "int8 is for onnx, litert"),
        ("keras", "float16", "keras files have float32"),
    ):
        with pytest.raises(UserError, match=message):
            export_run(run, tmp_path / "out", format, precision)
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists already"):
        export_run(run, tmp_path / "out", "onnx")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"needs tf2onnx, onnx, onnxruntime; pip install .*\[export\]"
    ):
        export_run(run, tmp_path / "more", "onnx")


def test_the_command_says_what_it_wrote(runs, tmp_path, capsys):
    run, *_ = runs("classification")
    with pytest.raises(SystemExit, match="0"):
        main(["export", str(run), str(tmp_path / "out"), "--format", "litert", "--quiet"])
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out'}: predict")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert (manifest["format"], manifest["precision"]) == ("litert", "float32")


@pytest.mark.parametrize("cell", ["layer_norm_lstm", "mogrifier_lstm"])
def test_plain_layers_and_zoneout_leave_as_loops(cell, tmp_path):
    encoder = Encoder(cell, 4, bidirectional=False, zoneout=[0.1, 0.4])

    def run(inputs):
        outputs, states = encoder(inputs["x"], inputs["length"])
        return {"outputs": outputs, "c": states[0]["forward"]["c"]}

    rows, cell = ("batch", "time", 4), ("batch", 4)
    infos = {"x": TensorInfo("float32", ("batch", "time", 3), ""), "length": lengths_info("steps")}
    results = {"outputs": TensorInfo("float32", rows, ""), "c": TensorInfo("float32", cell, "")}
    function = ExportedFunction("predict", "", run, infos, results)
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    inputs = {"x": x, "length": np.array([6, 4], np.int32)}
    expected = run(inputs)
    onnx_files.write([function], None, tmp_path, "float32")
    exported = onnxruntime.InferenceSession(tmp_path / "predict.onnx").run(list(expected), inputs)
    for found, value in zip(exported, expected.values(), strict=True):
        np.testing.assert_allclose(found, value, atol=1e-5)


@pytest.mark.parametrize("cell", ["min_gru", "min_lstm"])
def test_minimal_layers_leave_as_loops(cell, tmp_path):
    stack = RecurrentStack(cell, 4)

    def run(inputs):
        outputs, after = stack(inputs["x"], [{"h": inputs["h"]}], inputs["length"])
        return {"outputs": outputs, "after": after[0]["h"]}

    state = TensorInfo("float32", ("batch", 4), "")
    infos = {"x": TensorInfo("float32", ("batch", "time", 3), ""), "h": state}
    infos["length"] = lengths_info("steps")
    results = {"outputs": TensorInfo("float32", ("batch", "time", 4), ""), "after": state}
    function = ExportedFunction("step", "", run, infos, results)
    generator = np.random.default_rng(0)
    inputs = {
        "x": generator.normal(size=(2, 6, 3)).astype("float32"),
        "h": generator.normal(size=(2, 4)).astype("float32"),
        "length": np.array([6, 4], np.int32),
    }
    expected = run(inputs)
    onnx_files.write([function], None, tmp_path, "float32")
    exported = onnxruntime.InferenceSession(tmp_path / "step.onnx").run(list(expected), inputs)
    for ours, value in zip(exported, expected.values(), strict=True):
        np.testing.assert_allclose(ours, value, atol=1e-5)


def test_openvino_does_not_report_what_is_exported():
    code = "import seq2seq.export.openvino_files, sys; print('openvino_telemetry' in sys.modules)"
    printed = subprocess.check_output([forked_python(), "-c", code], text=True)
    assert printed == "False\n"
