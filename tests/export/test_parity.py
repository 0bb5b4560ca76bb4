"""Exported runs predict in the real runtimes what the run predicts: 200 real inputs of each task.

The inputs are made from the exported folder alone, see `run_exported`.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.programs import run_exported
from benchmarks.programs.run_exported import Exported, runner
from seq2seq.decoding.random_numbers import uniform
from seq2seq.export.export import export_run
from seq2seq.request import PredictionRequest

TASKS = ("translation", "tagging", "classification", "generation", "forecasting")
FORMATS = ("onnx", "litert", "openvino")
TEXTS = {"greedy": "translation", "classification": "classification"}
"""SavedModels with a function of texts, and their tasks; beams return tokens alone."""
ODD = ["", "\u3000", "Ω\u0301 🙂"]
BEAM = {"decoding": "beam", "n_best": 3, "settings": {"beam_size": 4}}
"""OpenVINO takes minutes to compile a beam search."""


def options_of(name, format):
    if name != "translation":
        return PredictionRequest()
    further = {} if format == "openvino" else BEAM
    return PredictionRequest(alignments=True, token_scores=True, **further)


def noise_of(predictor, feeds):
    """The random numbers that the run draws."""
    search, rows = predictor.task.decoding, len(feeds["prompt"])
    steps = search.limits.max_lengths(feeds["prompt_length"]).numpy().max() + 1
    return uniform(search.seed, tf.range(rows), search.initial_width, tf.constant(steps)).numpy()


def feeds_of(exported, predictor, inputs):
    feeds = exported.feeds(inputs)
    if "noise" in exported.manifest["functions"]["predict"]["inputs"]:
        feeds["noise"] = noise_of(predictor, feeds)
    return feeds


def check_manifest(function, feeds, results):
    """Inputs and outputs have the names, types and shapes of the manifest."""
    for infos, arrays in ((function["inputs"], feeds), (function["outputs"], results)):
        assert set(infos) == set(arrays)
        for name, info in infos.items():
            assert arrays[name].dtype == info["dtype"], name
            assert arrays[name].ndim == len(info["shape"]), name
            for size, known in zip(arrays[name].shape, info["shape"], strict=True):
                assert isinstance(known, str) or size == known, name


def check(name, exported, predictor, inputs, request, results):
    """The results are those of the run."""
    if name == "forecasting":
        request = PredictionRequest(levels=(80, 95))
    rows = predictor.predict(inputs, request)
    globals()[f"check_{name}"](exported, predictor, rows, results)


def close(values, expected):
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-4)


def check_translation(exported, predictor, rows, results):
    decode = exported.tokenizer("target").decode
    several = results["tokens"].ndim == 3
    for place, row in enumerate(rows):
        hypotheses = row["hypotheses"] if several else [row]
        for number, hypothesis in enumerate(hypotheses):
            at = (place, number) if several else place
            length = results["lengths"][at]
            assert decode(results["tokens"][at][:length].tolist()) == hypothesis["prediction"]
            close(results["scores"][at], hypothesis["score"])
            steps = len(hypothesis["token_scores"])
            close(results["token_scores"][at][:steps], hypothesis["token_scores"])
            weights = np.array(hypothesis["alignments"])
            close(results["alignments"][at][: len(weights), : weights.shape[1]], weights)


def check_generation(exported, predictor, rows, results):
    decode = exported.tokenizer("text").decode
    for row, tokens, length, score in zip(
        rows, results["tokens"], results["lengths"], results["scores"], strict=True
    ):
        assert decode(tokens[:length].tolist()).strip() == row["prediction"].strip()
        close(score, row["score"])


def check_tagging(exported, predictor, rows, results):
    labels = exported.manifest["labels"]
    for place, row in enumerate(rows):
        numbers = results["labels"][place, 0, : len(row["tokens"])]
        assert [labels[number] for number in numbers] == row["labels"]
        close(results["scores"][place, 0], row["score"])
        probabilities = results["probabilities"][place, : len(row["tokens"])]
        close(probabilities, row["token_probabilities"])


def check_classification(exported, predictor, rows, results):
    expected = [
        [row["probabilities"][label] for label in exported.manifest["labels"]] for row in rows
    ]
    close(results["probabilities"], expected)
    assert results["text_weights"].shape[0] == len(rows)
    close(results["text_weights"].sum(axis=1), 1.0)


def check_forecasting(exported, predictor, rows, results):
    close(results["forecast"][..., 0] / [row["prediction"] for row in rows], 1.0)
    for place, level in enumerate(rows[0]["quantiles"]):
        expected = [row["quantiles"][level] for row in rows]
        close(results["quantiles"][:, :, 0, place] / expected, 1.0)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", TASKS)
def test_a_runtime_predicts_what_the_run_predicts(runs, tmp_path, name, format):
    run, inputs, predictor = runs(name)
    request = options_of(name, format)
    manifest = export_run(run, tmp_path / "out", format, request=request)
    exported = Exported(tmp_path / "out")
    feeds = feeds_of(exported, predictor, inputs)
    results = runner(tmp_path / "out")(feeds)
    check_manifest(manifest["functions"]["predict"], feeds, results)
    check(name, exported, predictor, inputs, request, results)


def read(path):
    return dict(np.load(path))


def test_tensorflow_without_this_package_predicts_what_the_run_predicts(runs, tmp_path):
    for name in TASKS:
        run, inputs, predictor = runs(name)
        manifest = export_run(
            run, tmp_path / name, "savedmodel", request=options_of(name, "savedmodel")
        )
        feeds = feeds_of(Exported(tmp_path / name), predictor, inputs)
        np.savez(tmp_path / name / "predict_feeds.npz", **feeds)
        assert ("predict_text" in manifest["functions"]) is (name == "classification")
    export_run(runs("translation")[0], tmp_path / "greedy", "savedmodel")
    for folder, name in TEXTS.items():
        texts = np.array([*runs(name)[1], *ODD])
        np.savez(tmp_path / folder / "predict_text_feeds.npz", text=texts)
    folders = [tmp_path / name for name in (*TASKS, "greedy")]
    subprocess.run(
        [sys.executable, run_exported.__file__, *folders],
        check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    for name in TASKS:
        _, inputs, predictor = runs(name)
        exported = Exported(tmp_path / name)
        feeds, results = (
            read(tmp_path / name / f"predict_{part}.npz") for part in ("feeds", "results")
        )
        check_manifest(exported.manifest["functions"]["predict"], feeds, results)
        check(name, exported, predictor, inputs, options_of(name, "savedmodel"), results)
    for folder, name in TEXTS.items():
        results = read(tmp_path / folder / "predict_text_results.npz")
        rows = runs(name)[2]([*runs(name)[1], *ODD])
        if name == "classification":
            labels = Exported(tmp_path / folder).manifest["labels"]
            expected = [[row["probabilities"][label] for label in labels] for row in rows]
            close(results["probabilities"], expected)
            continue
        assert results["prediction"].tolist() == [row["prediction"] for row in rows]
        close(results["score"], [row["score"] for row in rows])
