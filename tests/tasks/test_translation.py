"""The translation task on small real data: batches, predictions, saving, and files against TFDS."""

import keras
import numpy as np
import pytest

from seq2seq.config import build, composed
from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.data.tokenizers.tokenizer import END, START
from seq2seq.errors import UserError
from seq2seq.files import write_checksums
from seq2seq.tasks.model_folder import build_task, load_model_folder, save_model_folder
from seq2seq.tasks.prediction_options import PredictionOptions

OVERRIDES = ["tracking=none", "model.encoder.units=8", "model.decoder.units=12"]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_pairs(folder, pairs):
    for number, side in enumerate(("source", "target")):
        (folder / side).write_text("".join(f"{pair[number]}\n" for pair in pairs))
    splits = ("train", "validation", "test")
    return ParallelText(
        str(folder), dict.fromkeys(splits, "source"), dict.fromkeys(splits, "target")
    )


def dates(count):
    examples = date_examples("validation")
    return [
        (example.source, example.target) for example, _ in zip(examples, range(count), strict=False)
    ]


def prepared(data, *overrides):
    config = composed([*OVERRIDES, *overrides])
    task = build_task(config)
    task.prepare(data, seed=1)
    keras.utils.set_random_seed(2)
    return config, task, build(config, "model", **task.model_arguments())


def test_batches_shift_targets_and_weigh_real_tokens(tmp_path):
    pairs = dates(10)
    _, task, _ = prepared(write_pairs(tmp_path, pairs), "batching.batch_size=4")
    seen = {}
    for inputs, labels, weights in task.batches("test").as_numpy_iterator():
        np.testing.assert_array_equal(inputs["target"][:, 0], START)
        for row, length in enumerate(inputs["source_length"]):
            real = int(weights[row].sum())
            assert labels[row, real - 1] == END
            np.testing.assert_array_equal(inputs["target"][row, 1:real], labels[row, : real - 1])
            assert (weights[row, real:] == 0).all()
            source = task.tokenizer.source.decode([inputs["source"][row, :length]])[0]
            seen[source] = task.tokenizer.target.decode([labels[row, : real - 1]])[0]
    assert seen == dict(pairs)


def test_predictions_come_in_order_and_do_not_depend_on_the_batch(tmp_path):
    pairs = dates(30)
    _, task, model = prepared(write_pairs(tmp_path, pairs))
    sources = [source for source, _ in pairs]
    together = task.predict(model, sources, PredictionOptions(batch_size=30))
    alone = task.predict(model, sources, PredictionOptions(batch_size=1))
    assert [row["source"] for row in together] == sources
    assert [row["prediction"] for row in together] == [row["prediction"] for row in alone]
    np.testing.assert_allclose(
        [row["score"] for row in together], [row["score"] for row in alone], rtol=1e-4
    )


def test_an_evaluation_takes_any_reference_and_keeps_all(tmp_path):
    pairs = dates(10)
    metrics = ["exact_match", "word_error_rate", "phone_error_rate"]
    data = write_pairs(tmp_path, pairs)
    _, task, model = prepared(data, f"task.metrics=[{','.join(metrics)}]")
    predictions = [row["prediction"] for row in task.predict(model, [pair[0] for pair in pairs])]
    records = [
        {"source": source, "target": target, "references": [target, prediction]}
        for (source, target), prediction in zip(pairs, predictions, strict=True)
    ]
    evaluation = task.evaluate(model, records)
    assert evaluation.scores == {name: float(name == "exact_match") for name in metrics}
    assert [row["references"] for row in evaluation.rows] == [r["references"] for r in records]
    assert [row["reference"] for row in evaluation.rows] == [target for _, target in pairs]
    assert set(evaluation.statistics[0]) == set(metrics)
    plain = task.evaluate(model, data.records("test"))
    assert plain.scores["exact_match"] == 0
    assert "references" not in plain.rows[0]


def test_the_search_is_traced_once(tmp_path):
    pairs = dates(20)
    _, task, model = prepared(write_pairs(tmp_path, pairs))
    for batch_size in (1, 3, 7):
        task.predict(
            model, [source for source, _ in pairs], PredictionOptions(batch_size=batch_size)
        )
    assert task._search((model,), task.decoding, False, False).tracing_count == 1


def test_texts_without_tokens_get_an_empty_prediction(tmp_path):
    _, task, model = prepared(write_pairs(tmp_path, dates(5)))
    rows = task.predict(model, ["", dates(1)[0][0], ""])
    assert [row["prediction"] == "" for row in rows] == [True, False, True]


def test_subword_dropout_cuts_the_training_texts_anew_in_each_epoch(tmp_path):
    _, task, _ = prepared(write_pairs(tmp_path, dates(20)), *DROPOUT)

    def epoch(number):
        task.batch_order.begin(number, first_step=0)
        [(inputs, _, _)] = task.training_data().as_numpy_iterator()
        return sorted(task.tokenizer.source.decode(inputs["source"])), inputs["source"].tolist()

    (texts, first), (again, second) = epoch(0), epoch(1)
    assert texts == again
    assert first != second
    assert epoch(0) == (texts, first)


def test_empty_and_too_long_rows_are_left_out_of_training(tmp_path, caplog):
    pairs = [*dates(6), ("", "2000-01-01"), ("x" * 200, "2000-01-01")]
    data = write_pairs(tmp_path, pairs)
    with caplog.at_level("INFO", logger="seq2seq"):
        _, task, _ = prepared(data, "batching.maximum_length.source=100")
    assert len(task.stores["train"]) == 6
    assert len(task.stores["test"]) == 7  # what is too long to train on is still evaluated
    assert "1 empty (record 7)" in caplog.text
    assert "1 too long (record 8)" in caplog.text


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_saved_model_predicts_the_same(tmp_path, policy):
    pairs = dates(20)
    keras.config.set_dtype_policy(policy)
    try:
        config, task, model = prepared(write_pairs(tmp_path, pairs), f"precision={policy}")
    finally:
        keras.config.set_dtype_policy("float32")
    sources = [source for source, _ in pairs]
    save_model_folder(tmp_path / "run" / "model", task, model, config)
    loaded_task, loaded_model = load_model_folder(tmp_path / "run")
    assert loaded_task.predict(loaded_model, sources) == task.predict(model, sources)
    assert keras.config.dtype_policy().name == "float32"


DROPOUT = (
    "tokenizer=bpe",
    "tokenizer.source.vocabulary_size=400",
    "tokenizer.source.dropout=0.3",
)


@pytest.mark.parametrize("tokenizer", [(), DROPOUT])
def test_a_shuffled_order_of_the_records_trains_on_the_same_batches(tmp_path, tokenizer):
    """Files and a TFDS folder of one data set hold it in different orders."""
    pairs = dates(50)
    batches = []
    for number, order in enumerate((pairs, np.random.default_rng(0).permutation(pairs).tolist())):
        folder = tmp_path / str(number)
        folder.mkdir()
        _, task, _ = prepared(write_pairs(folder, order), "batching.batch_size=8", *tokenizer)
        task.batch_order.begin(epoch=3, first_step=0)
        batches.append(list(task.training_data().as_numpy_iterator()))
    for one, other in zip(*batches, strict=True):
        keras.tree.map_structure(np.testing.assert_array_equal, one, other)


def named(folder, old, new):
    (folder / "config.yaml").write_text((folder / "config.yaml").read_text().replace(old, new))


FILE_HANDLER = "{_target_: logging.FileHandler, filename: /dev/null}"

DAMAGE = {
    "no trained model": lambda folder: (folder / "format.json").unlink(),
    "newer than this one": lambda folder: (folder / "format.json").write_text(
        '{"format": 99, "seq2seq": "9.0"}'
    ),
    "is damaged": lambda folder: (folder / "model.weights.h5").write_bytes(b"junk"),
    "There is no tokenizer": lambda folder: (folder / "tokenizer" / "source.json").unlink(),
    "names 'os.system'": lambda folder: named(
        folder, "seq2seq.models.encoder.Encoder", "os.system"
    ),
    r"task.metrics\[0\] names 'logging.FileHandler'": lambda folder: named(
        folder, "- bleu", f"- {FILE_HANDLER}"
    ),
    "names 'seq2seq.experiment.logging.FileHandler'": lambda folder: named(
        folder, "seq2seq.models.encoder.Encoder", "seq2seq.experiment.logging.FileHandler"
    ),
}


@pytest.mark.parametrize("message", DAMAGE)
def test_damaged_model_folders_are_refused(tmp_path, message):
    config, task, model = prepared(write_pairs(tmp_path, dates(5)))
    save_model_folder(tmp_path / "run" / "model", task, model, config)
    DAMAGE[message](tmp_path / "run" / "model")
    write_checksums(tmp_path / "run" / "model")  # it is no accident
    with pytest.raises(UserError, match=message):
        load_model_folder(tmp_path / "run")


@pytest.mark.parametrize("name", ["model.weights.h5", "config.yaml", "tokenizer/source.json"])
def test_a_flipped_bit_in_a_model_folder_is_seen(tmp_path, name):
    config, task, model = prepared(write_pairs(tmp_path, dates(5)))
    save_model_folder(tmp_path / "run" / "model", task, model, config)
    path = tmp_path / "run" / "model" / name
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is not as it was written"):
        load_model_folder(tmp_path / "run")


def test_a_model_folder_that_cannot_be_written_is_left_out_whole(tmp_path, monkeypatch):
    config, task, model = prepared(write_pairs(tmp_path, dates(5)))
    save_model_folder(tmp_path / "run" / "model", task, model, config)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(task, "save", full)
    with pytest.raises(UserError, match="No space left"):
        save_model_folder(tmp_path / "run" / "model", task, model, config)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model"]
    load_model_folder(tmp_path / "run")


@pytest.mark.parametrize(
    ("override", "count"),
    [
        ("decoding=beam", None),
        ("decoding=beam decoding.n_best=3", 3),
        ("decoding=sampling", None),
        ("decoding=sampling decoding.samples=2", 2),
    ],
)
def test_every_strategy_predicts(tmp_path, override, count):
    _, task, model = prepared(write_pairs(tmp_path, dates(30)), *override.split())
    texts = ["1 May 1999", "2 June 2001"]
    rows = task.predict(model, texts)
    assert rows == task.predict(model, texts)
    for row in rows:
        assert row["score"] < 0
        assert len(row.get("hypotheses", [])) == (count or 0)
        if count:
            assert row["hypotheses"][0] == {name: row[name] for name in ("prediction", "score")}
