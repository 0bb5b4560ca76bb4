"""Comparing runs as their tasks wrote them: each score again, against seqeval and scikit-learn."""

import json
import random

import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score
from seqeval.scheme import IOB2
from sklearn import metrics as sklearn_metrics

from seq2seq.cli import main
from seq2seq.comparison.compare import compare
from seq2seq.comparison.finished_run import read_run
from seq2seq.comparison.page import page

NAMES = ["Anna", "Bob", "Oslo", "Rome"]
OTHERS = ["the", "film", "was", "a", "story", "about", "my", "house", "and", "it", "ran"]
TAGGING = (
    "recipe=tagging/wnut17 data=conll data.files.train=train.conll data.files.test=test.conll "
    "data.files.validation=test.conll model.encoder.units=4 model.embedding_dim=4"
)
CLASSES = (
    "recipe=classification/sst2 data=labelled_jsonl data.files.train=train.jsonl "
    "data.files.validation=test.jsonl data.files.test=test.jsonl task.label_names=null "
    "model.encoder.units=4 model.embedding_dim=4 trainer.averaging=0 tokenizer.minimum_frequency=1"
)
PAIRS = (
    "recipe=translation/cldr_dates data=tsv data.files.train=train.tsv "
    "data.files.validation=test.tsv data.files.test=test.tsv data.holdout=null "
    "model.encoder.units=4 model.decoder.units=8 decoding.maximum_length_extra=5"
)


def write_tagged(folder):
    draw = random.Random(0)
    for split, count in (("train", 60), ("test", 40)):
        sentences = []
        for _ in range(count):
            names = [draw.random() < 0.4 for _ in range(draw.randint(1, 6))]
            words = [
                (draw.choice(NAMES), "B-PER") if n else (draw.choice(OTHERS), "O") for n in names
            ]
            sentences.append("".join(f"{word} {label}\n" for word, label in words))
        (folder / f"{split}.conll").write_text("\n".join(sentences))


def write_labelled(folder, several):
    draw = random.Random(0)
    for split, count in (("train", 60), ("test", 40)):
        rows = []
        for _ in range(count):
            words = draw.choices(OTHERS, k=4)
            labels = [word for word in ("film", "story", "ran") if word in words]
            label = labels if several else (labels or ["none"])[0]
            rows.append(json.dumps({"text": " ".join(words), "label": label}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(rows))


def trained(folder, arguments, monkeypatch):
    """Two runs of different seeds and lengths of training."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    runs = []
    for seed, rate in ((1, 0.001), (2, 0.05)):
        run = folder / f"run{seed}"
        command = [*arguments.split(), f"seed={seed}", f"optimizer.learning_rate={rate}"]
        command += [f"data.directory={folder}"] if "data=" in arguments else []
        with pytest.raises(SystemExit) as exit_:
            main(["train", *command, "tracking=none", "trainer.epochs=2", f"hydra.run.dir={run}"])
        assert exit_.value.code == 0
        runs.append(run)
    return runs


def rows_of(run):
    lines = (run / "predictions" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def scores_of(found):
    return {test.result.metric: test.result for test in found.tests}


def test_taggers(tmp_path, monkeypatch):
    write_tagged(tmp_path)
    runs = trained(tmp_path, TAGGING, monkeypatch)
    found = compare([read_run(run) for run in runs])
    results = scores_of(found)
    assert {"accuracy", "precision", "recall", "f1", "strict_f1"} <= set(results)
    for position, run in enumerate(runs):
        rows = rows_of(run)
        true = [row["reference"].split(" ") for row in rows]
        guess = [row["labels"] for row in rows]
        pairs = [pair for both in zip(true, guess, strict=True) for pair in zip(*both, strict=True)]
        expected = {
            "accuracy": np.mean([one == other for one, other in pairs]),
            "f1": f1_score(true, guess),
            "precision": precision_score(true, guess, zero_division=0),
            "strict_f1": f1_score(true, guess, mode="strict", scheme=IOB2),
        }
        for metric, value in expected.items():
            result = results[metric]
            assert (result.baseline, result.system)[position] == pytest.approx(value), metric
    assert {(each.title, each.metric) for each in found.breakdowns} == {
        ("source length", "accuracy"),
        ("frequency of the source word", "accuracy"),
    }
    assert all(0 <= p <= 1 for result in results.values() for p in result.p_values.values())
    assert "accuracy" in page(found)


def test_classifiers(tmp_path, monkeypatch):
    write_labelled(tmp_path, several=False)
    runs = trained(tmp_path, CLASSES, monkeypatch)
    results = scores_of(compare([read_run(run) for run in runs]))
    for position, run in enumerate(runs):
        true = [row["reference"] for row in rows_of(run)]
        guess = [row["prediction"] for row in rows_of(run)]
        for metric, value in {
            "accuracy": sklearn_metrics.accuracy_score(true, guess),
            "f1_macro": sklearn_metrics.f1_score(true, guess, average="macro", zero_division=0),
            "f1_weighted": sklearn_metrics.f1_score(
                true, guess, average="weighted", zero_division=0
            ),
        }.items():
            result = results[metric]
            assert (result.baseline, result.system)[position] == pytest.approx(value), metric
    assert "mcnemar" in results["accuracy"].p_values


def test_several_labels_a_text(tmp_path, monkeypatch):
    write_labelled(tmp_path, several=True)
    runs = trained(tmp_path, CLASSES + " task.multi_label=true", monkeypatch)
    found = compare([read_run(run) for run in runs])
    assert {"accuracy", "f1_micro", "f1_macro", "f1_weighted"} <= set(scores_of(found))
    assert [each.metric for each in found.breakdowns if "label" in each.title] == ["recall"]


def test_texts_that_are_scored_as_a_whole_alone(tmp_path, monkeypatch):
    draw = random.Random(0)
    for split, count in (("train", 60), ("test", 40)):
        texts = [" ".join(draw.choices(OTHERS, k=draw.randint(1, 6))) for _ in range(count)]
        (tmp_path / f"{split}.tsv").write_text("".join(f"{t}\t{t[:9]}\n" for t in texts))
    runs = trained(tmp_path, PAIRS, monkeypatch)
    found = compare([read_run(run) for run in runs])
    assert list(scores_of(found)) == ["exact_match"]
    assert {(each.title, each.metric) for each in found.breakdowns} == {
        ("source length", "exact_match"),
        ("frequency of the word", "word F1"),
    }
