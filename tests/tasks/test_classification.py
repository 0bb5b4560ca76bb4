"""The classification task on small data: batches, bad records, predictions, scores and saving."""

import json
import logging

import keras
import numpy as np
import pytest

from seq2seq.config import build, composed
from seq2seq.data.formats.json_lines import LabelledJsonl
from seq2seq.data.formats.tables import Csv
from seq2seq.errors import UserError
from seq2seq.tasks.model_folder import build_task, load_model_folder, save_model_folder
from seq2seq.tasks.prediction_options import PredictionOptions

SMALL = [
    "task=classification",
    "model=classifier",
    "tokenizer=text/word",
    "decoding=none",
    "tracking=none",
    "model.encoder.units=6",
    "model.embedding_dim=5",
    "batching.batch_size=4",
]
SPLITS = ("train", "validation", "test")
ROWS = [
    ("good film", "a good one", "1.5", "pos"),
    ("bad", "very bad", "-2", "neg"),
    ("a fine film indeed", "fine", "0", "pos"),
    ("dull film", "so dull", "3", "neg"),
    ("good good good", "great", "8", "pos"),
    ("not a good film", "no", "2", "neg"),
]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def table(folder, **rows):
    """A dataset of rows by split; splits that are not given are as `ROWS`."""
    for split in SPLITS:
        lines = ["text,text2,x,label", *map(",".join, rows.get(split, ROWS))]
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    fields = ("text", "text2", "x", "label")
    files = {split: f"{split}.csv" for split in SPLITS}
    return Csv(str(folder), files, {field: field for field in fields})


def prepared(data, *overrides):
    config = composed([*SMALL, *overrides])
    task = build_task(config)
    task.prepare(data, seed=1)
    keras.utils.set_random_seed(2)
    return config, task, build(config, "model", **task.model_arguments())


PAIRS = ["task.pairs=true", "task.numbers=[x]"]


def test_only_a_curriculum_is_part_of_the_identity(tmp_path):
    """Checkpoints of versions without a curriculum fit the order of trainings that have none."""
    _, plain, _ = prepared(table(tmp_path))
    _, curriculum, _ = prepared(table(tmp_path), "batching.curriculum_epochs=1")
    assert "curriculum" not in plain.identity
    assert '"curriculum_epochs": 1' in curriculum.identity


def test_batches_hold_texts_numbers_and_classes(tmp_path):
    _, task, _ = prepared(table(tmp_path), *PAIRS)
    values = np.array([float(row[2]) for row in ROWS])
    standard = dict(zip(ROWS, (values - values.mean()) / values.std(), strict=True))
    seen = []
    for inputs, labels, weights in task.batches("test").as_numpy_iterator():
        np.testing.assert_array_equal(weights, 1)
        for row, label in enumerate(labels):
            texts = [
                task.tokenizer.decode([inputs[text][row, : inputs[f"{text}_length"][row]]])[0]
                for text in ("text", "text2")
            ]
            [found] = [each for each in ROWS if list(each[:2]) == texts]
            assert task.labels.names[label] == found[3]
            assert inputs["numbers"][row, 0] == pytest.approx(standard[found], abs=1e-6)
            seen.append(found)
    assert sorted(seen) == sorted(ROWS)


def test_predictions_come_in_order_and_do_not_depend_on_the_batch(tmp_path):
    _, task, model = prepared(table(tmp_path), "model.pooling=[last,mean,max,attention]")
    texts = [row[0] for row in ROWS] + ["", "unknown words only"]
    together = task.predict(model, texts, PredictionOptions(batch_size=8))
    alone = task.predict(model, texts, PredictionOptions(batch_size=1))
    assert [row["source"] for row in together] == texts
    for one, other in zip(together, alone, strict=True):
        assert one["prediction"] == other["prediction"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert np.exp(one["score"]) == pytest.approx(max(one["probabilities"].values()), abs=1e-5)


def test_attention_tells_the_tokens_and_their_weights(tmp_path):
    _, task, model = prepared(table(tmp_path), "model.pooling=[attention]", "task.pairs=true")
    record = {"text": "good film", "text2": "bad"}
    [row] = task.predict(model, [record], PredictionOptions(attention=True))
    assert [token for token, _ in row["attention"]["text"]] == ["good", "film"]
    assert sum(weight for _, weight in row["attention"]["text"]) == pytest.approx(1, abs=1e-5)
    assert row["attention"]["text2"] == [("bad", pytest.approx(1))]
    _, task, model = prepared(table(tmp_path))
    with pytest.raises(UserError, match="pools without attention"):
        task.predict(model, ["good"], PredictionOptions(attention=True))


def test_records_that_cannot_be_learned_from_are_left_out_and_reported(tmp_path, caplog):
    bad = [("b", "b", "nan", "pos"), ("", "b", "1", "neg")]
    data = table(tmp_path, train=[*ROWS, *bad], test=[*ROWS, ("c", "c", "1", "new"), bad[0]])
    _, task, model = prepared(data, *PAIRS)
    train, test = (str(task.stores[split].report) for split in ("train", "test"))
    assert f"1 empty ({tmp_path}/train.csv:9)" in train
    assert f"1 without a number in x ({tmp_path}/train.csv:8)" in train
    assert f"1 without a label that training has ({tmp_path}/test.csv:8)" in test
    with caplog.at_level(logging.WARNING):
        evaluation = task.evaluate(model, data.records("test"))
    assert "2 records left out of the scores" in caplog.text
    assert [row["place"].rpartition("/")[2] for row in evaluation.tables["skipped"]] == [
        "test.csv:8",
        "test.csv:9",
    ]
    assert "'new' was never seen in training" in evaluation.tables["skipped"][0]["reason"]
    assert len(evaluation.rows) == len(ROWS)


def test_a_number_is_needed_to_predict(tmp_path):
    _, task, model = prepared(table(tmp_path), *PAIRS)
    good = {"text": "good", "text2": "good", "x": "3"}
    assert len(task.predict(model, [good])) == 1
    for record, message in (
        ({**good, "x": "NaN"}, "record 2: the field 'x' needs a number, not 'NaN'"),
        ({"text": "good", "x": 1}, "record 2: needs a text in the field 'text2'"),
        ("good", "record 2: a text alone is not enough; the model reads text, text2, x"),
    ):
        with pytest.raises(UserError, match=message):
            task.predict(model, [good, record])


def test_several_labels(tmp_path):
    records = [("a b", ["x", "y"]), ("b", []), ("c a", ["z"]), ("c", "x,z")]
    for split in SPLITS:
        lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in records]
        (tmp_path / split).write_text("".join(lines))
    fields = {"text": "text", "label": "label"}
    data = LabelledJsonl(str(tmp_path), {split: split for split in SPLITS}, fields)
    _, task, model = prepared(data, "task.multi_label=true", "task.threshold=0.3")
    [(inputs, labels, _)] = task.batches("test").as_numpy_iterator()
    found = {
        task.tokenizer.decode([ids[:length]])[0]: label.tolist()
        for ids, length, label in zip(inputs["text"], inputs["text_length"], labels, strict=True)
    }
    assert found == {"a b": [1, 1, 0], "b": [0, 0, 0], "c a": [0, 0, 1], "c": [1, 0, 1]}
    task.calibrate(model)
    evaluation = task.evaluate(model, data.records("test"))
    for row in evaluation.rows:
        chosen = [name for name, p in row["probabilities"].items() if p >= 0.3]
        assert row["prediction"] == ",".join(chosen)
    assert {"f1_micro", "hamming_loss", "roc_auc"} <= set(evaluation.scores)
    assert set(task.figures(model, evaluation)) == {"reliability", "precision_recall"}


def test_scores_tables_and_figures(tmp_path):
    data = table(tmp_path)
    _, task, model = prepared(data)
    evaluation = task.evaluate(model, data.records("test"))
    right = [row["prediction"] == row["reference"] for row in evaluation.rows]
    assert evaluation.scores["accuracy"] == pytest.approx(np.mean(right))
    assert [row["reference"] for row in evaluation.rows] == [row[3] for row in ROWS]
    wrong = [row for row, good in zip(evaluation.rows, right, strict=True) if not good]
    assert sum(row["count"] for row in evaluation.tables["confused"]) == len(wrong)
    scores = [row["score"] for row in evaluation.tables["errors"]]
    assert scores == sorted((row["score"] for row in wrong), reverse=True)
    assert set(task.figures(model, evaluation)) == {"reliability", "precision_recall", "confusion"}


def test_labels_may_swap_their_names(tmp_path):
    data = table(tmp_path)
    _, task, model = prepared(data, "task.label_names={pos: neg, neg: pos}")
    evaluation = task.evaluate(model, data.records("test"))
    assert {row["reference"] for row in evaluation.rows} == {"pos", "neg"}
    assert [row["reference"] for row in evaluation.rows] != [row[3] for row in ROWS]
    right = [row["prediction"] == row["reference"] for row in evaluation.rows]
    assert evaluation.scores["accuracy"] == pytest.approx(np.mean(right))


def test_a_saved_model_predicts_the_same(tmp_path):
    config, task, model = prepared(
        table(tmp_path), *PAIRS, "task.label_names={pos: good, neg: bad}"
    )
    task.calibrate(model)
    assert task.temperature != 1
    save_model_folder(tmp_path / "run" / "model", task, model, config)
    loaded, again = load_model_folder(tmp_path / "run")
    records = [dict(zip(("text", "text2", "x"), row[:3], strict=True)) for row in ROWS]
    assert loaded.predict(again, records) == task.predict(model, records)
    assert loaded.temperature == task.temperature
    assert loaded.labels.names == ["bad", "good"]


def test_long_texts_are_cut(tmp_path):
    _, task, model = prepared(table(tmp_path), "task.maximum_length=2")
    assert task.stores["train"].lengths[:, 0].max() == 2
    rows = task.predict(model, ["good film", "good film which is bad"])
    assert rows[0]["probabilities"] == rows[1]["probabilities"]


def test_class_weights_are_those_of_training(tmp_path):
    train = [*ROWS, *[(f"w{n}", "x", "1", "pos") for n in range(3)]]
    _, task, _ = prepared(table(tmp_path, train=train), "task.class_weights=balanced")
    np.testing.assert_allclose(task.loss.class_weights, [9 / (2 * 3), 9 / (2 * 6)])
    with pytest.raises(UserError, match=r"task.class_weights: there is no class 'good'"):
        prepared(table(tmp_path), "task.class_weights={good: 2}")


def test_impossible_settings(tmp_path):
    with pytest.raises(UserError, match=r"set task.maximum_length"):
        prepared(table(tmp_path), "batching.maximum_length.source=3")
    with pytest.raises(UserError, match=r"task: threshold: must be"):
        prepared(table(tmp_path), "task.threshold=1.0")
    data = table(tmp_path)
    data._columns = {"text": "text", "label": "label"}
    with pytest.raises(UserError, match=r"train\.csv:2: needs a text in the field 'text2'"):
        prepared(data, "task.pairs=true")
