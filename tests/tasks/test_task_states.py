"""States of an input are those that the model itself computes, in graphs and by kernels."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.config import build, composed
from seq2seq.data.formats.json_lines import TaggedJsonl
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.data.formats.tables import Csv
from seq2seq.data.tokenizers.tokenizer import START
from seq2seq.errors import UserError
from seq2seq.tasks.model_folder import build_task
from seq2seq.tasks.state_pictures import StatePictures
from seq2seq.tasks.states import input_states

SMALL = ["model.encoder.units=4", "tracking=none"]
SPLITS = ("train", "validation", "test")
PAIRS = [("3. Februar 1973", "1973-02-03"), ("7 জুন, 2031", "2031-06-07")]


def built(task, config, seed=2):
    keras.utils.set_random_seed(seed)
    return build(config, "model", **task.model_arguments())


def translator(*overrides):
    config = composed([*SMALL, "model.decoder.units=5", *overrides])
    task = build_task(config)
    task.tokenizer.fit(*zip(*PAIRS, strict=True))
    return task, built(task, config)


def classifier(folder, *overrides):
    (folder / "all.csv").write_text("text,text2,label\na good film,so good,pos\nbad,very bad,neg\n")
    files = dict.fromkeys(SPLITS, "all.csv")
    data = Csv(str(folder), files, {name: name for name in ("text", "text2", "label")})
    names = ["task=classification", "model=classifier", "tokenizer=text/word", "decoding=none"]
    config = composed([*SMALL, *names, *overrides])
    task = build_task(config)
    task.prepare(data, seed=1)
    return task, built(task, config)


def tagger(folder):
    record = {"tokens": ["Ann", "met", "Bob"], "labels": ["B-P", "O", "B-P"]}
    (folder / "all.jsonl").write_text(json.dumps(record) + "\n")
    files = dict.fromkeys(SPLITS, "all.jsonl")
    data = TaggedJsonl(str(folder), files, {"tokens": "tokens", "labels": "labels"})
    config = composed(["task=tagging", "tokenizer=tokens", "model=tagger", "~decoding", *SMALL])
    task = build_task(config)
    task.prepare(data, seed=1)
    return task, built(task, config)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def same_last_states(found, features, text="source", part="encoder"):
    """Compares with the final states that the task gives as features of texts."""
    compared = 0
    for name, values in features.items():
        if not name.startswith(f"{text}.layer"):
            continue
        _, layer, direction, field = name.split(".")
        field = {"h": "hidden", "c": "cell"}[field]
        states = found.arrays[f"{part}/{layer}/{direction}/{field}"]
        assert len(states) == len(found.tokens[part])
        last = states[0] if direction == "backward" else states[-1]
        np.testing.assert_allclose(last, values[0], atol=1e-5)
        compared += 1
    return compared


def test_encoder_of_a_translation():
    task, model = translator("model.encoder.layers=2")
    [source, _] = PAIRS[1]
    found = input_states(task, model, source)
    assert found.tokens["encoder"] == list(source.replace(" ", "▁"))
    assert same_last_states(found, task.features(model, [source])) == 8
    sides = [found.arrays[f"encoder/layer_1/{d}/hidden"] for d in ("forward", "backward")]
    output = found.arrays["encoder/layer_1/output"]
    np.testing.assert_array_equal(output, np.concatenate(sides, axis=1))
    ids, length = task.tokenizer.source.encode([source])[0], len(source)
    outputs = model.encoder(model.source_embedding(ids[np.newaxis]), np.array([length]))[0]
    np.testing.assert_allclose(output, outputs[0], atol=1e-5)


FEEDING = ["model/attention=luong", "model.decoder.input_feeding=true"]


@pytest.mark.parametrize("overrides", [[], FEEDING])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_decoder_reads_a_given_target_as_one_step_after_the_other_does(cell, overrides):
    cells = [f"model.{side}.cell={cell}" for side in ("encoder", "decoder")]
    task, model = translator("model.decoder.layers=2", *cells, *overrides)
    source, target = PAIRS[0]
    found = input_states(task, model, source, target)
    assert found.tokens["decoder"] == ["<s>", *target]
    ids = task.tokenizer.source.encode([source])[0][np.newaxis]
    step = dict(model.encoder_model({"source": ids, "source_length": np.array([ids.size])}))
    del step["outputs"]
    target_ids = [START, *task.tokenizer.target.encode([target])[0]]
    for t, token in enumerate(target_ids):
        step["states"] = model.decoder_model({**step, "target": tf.constant([[token]])})["states"]
        for layer in range(2):
            for field, name in {"h": "hidden", "c": "cell"}.items():
                if field in step["states"][layer]:
                    np.testing.assert_allclose(
                        found.arrays[f"decoder/layer_{layer}/forward/{name}"][t],
                        step["states"][layer][field][0],
                        atol=1e-5,
                    )


def test_a_reversed_source_is_read_from_its_end():
    task, model = translator("model.reverse_source=true")
    found = input_states(task, model, "1973")
    assert found.tokens["encoder"] == list("3791")
    assert same_last_states(found, task.features(model, ["1973"])) == 4


def test_the_predicted_target_is_read_where_none_is_given():
    task, model = translator()
    found = input_states(task, model, PAIRS[0][0])
    assert found.row["prediction"] == task.predict(model, [PAIRS[0][0]])[0]["prediction"]
    ids = task.tokenizer.target.encode([found.row["prediction"]])[0].tolist()
    assert found.tokens["decoder"] == task.tokenizer.target.pieces([START, *ids])


@pytest.mark.parametrize("separate", ["true", "false"])
def test_both_texts_of_a_classification(separate, tmp_path):
    overrides = "task.pairs=true", f"model.separate_encoders={separate}"
    task, model = classifier(tmp_path, *overrides)
    record = {"text": "a good film", "text2": "bad film"}
    found = input_states(task, model, record)
    assert found.tokens == {"encoder": ["a", "good", "film"], "encoder2": ["bad", "film"]}
    features = task.features(model, [record])
    assert same_last_states(found, features, "text") == 4
    assert same_last_states(found, features, "text2", "encoder2") == 4
    assert found.row["prediction"] == task.predict(model, [record])[0]["prediction"]


def test_tokens_of_a_tagging(tmp_path):
    task, model = tagger(tmp_path)
    given = {"tokens": ["Bob", "met", "Ann", "Lee"]}
    found = input_states(task, model, given)
    assert found.tokens == {"encoder": given["tokens"]}
    features = task.features(model, [given])
    assert same_last_states(found, features, next(iter(features)).split(".")[0]) == 4


def test_stack_of_a_language_model():
    names = ["task=generation", "model=language_model", "tokenizer=text/character"]
    names += ["batching=windows", "decoding=sampling", "model.stack.layers=2"]
    config = composed([*names, "model.stack.units=4", "tracking=none"])
    task = build_task(config)
    task.tokenizer.fit(["to be or not"])
    model = built(task, config)
    found = input_states(task, model, "to be")
    assert found.tokens == {"stack": ["<s>", *"to▁be"]}
    ids = np.array([[START, *task.tokenizer.encode(["to be"])[0]]])
    _, states = model.stack(model.embedding(ids))
    for layer, fields in enumerate(states):
        for field, name in {"h": "hidden", "c": "cell"}.items():
            last = found.arrays[f"stack/layer_{layer}/forward/{name}"][-1]
            np.testing.assert_allclose(last, fields[field][0], atol=1e-5)


def test_what_cannot_be_looked_at_is_refused(tmp_path):
    task, model = translator()
    with pytest.raises(UserError, match="has no token"):
        input_states(task, model, "")
    task, model = classifier(tmp_path)
    with pytest.raises(UserError, match="--target"):
        input_states(task, model, "good", target="bad")


def test_pictures_of_an_epoch_go_to_the_run_folder_and_are_tracked(tmp_path):
    task, model = translator()
    for number, side in enumerate(("source", "target")):
        (tmp_path / side).write_text("".join(f"{pair[number]}\n" for pair in PAIRS))
    data = ParallelText(
        str(tmp_path), dict.fromkeys(SPLITS, "source"), dict.fromkeys(SPLITS, "target")
    )
    logged = []

    def log_folder(folder):
        logged.extend(path.relative_to(folder) for path in sorted(folder.rglob("*.png")))

    callback = StatePictures(inputs=1, every=2)
    callback.watch(task, model, data, tmp_path / "run", log_folder)
    callback.on_epoch_end(0)
    assert logged == []
    callback.on_epoch_end(1)
    names = [path.name for path in logged]
    assert names == [
        f"1_{layer}_{kind}.png"
        for layer in (
            "decoder_layer_0_forward",
            "encoder_layer_0_backward",
            "encoder_layer_0_forward",
        )
        for kind in ("gates", "states")
    ]
    for path in logged:
        assert path.parent.as_posix() == "plots/states/epoch_02"
        assert (tmp_path / "run" / path).stat().st_size > 1000


@pytest.mark.parametrize("arguments", [{"inputs": 0}, {"every": 0}])
def test_impossible_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        StatePictures(**arguments)
