"""A run that starts from one with other vocabularies: which rows of its weights come from where."""

import logging

import keras
import numpy as np
import pytest

from seq2seq.cli import main
from seq2seq.config import build, composed
from seq2seq.data.formats.tables import Tsv
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.errors import UserError
from seq2seq.models.base import VocabularyWeight
from seq2seq.tasks.initial_weights import copy_weights, saved_tokenizers, with_rows
from seq2seq.tasks.model_folder import build_task, save_model_folder
from seq2seq.tasks.vocabularies import Origins, TokenizerVocabulary, origins

SPLITS = ("train", "validation", "test")
SIDES = ("source", "target")
OLD = ["the dog runs\tder Hund rennt", "a red dog\tein roter Hund", "the cats\tdie Katzen"] * 4
NEW = ["the red cat\tdie rote Katze", "dogs run\tHunde rennen", "über caf\u00e9\t\u20ac"] * 4
TRANSLATOR = ("model.encoder.units=4", "model.decoder.units=5", "model.embedding_dim=3")


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def translation(own_cache, tmp_path_factory):
    """The folder, the task and the model of a translation of words."""
    return saved(tmp_path_factory.mktemp("old") / "run", OLD, (*TRANSLATOR, "tokenizer=word"))


def tokenizers(kind, size=None):
    texts = [[text for line in lines for text in line.split("\t")] for lines in (OLD, NEW)]
    return [Tokenizer(kind, size).fit(of_one) for of_one in texts]


def made(folder, lines, overrides, seed, fields=("source", "target")):
    """Returns the config, the task and a new model of some pairs."""
    folder.mkdir()
    (folder / "all.tsv").write_text("".join(f"{line}\n" for line in lines))
    columns = {field: number for number, field in enumerate(fields)}
    config = composed(["tracking=none", *overrides])
    task = build_task(config)
    task.prepare(Tsv(str(folder), dict.fromkeys(SPLITS, "all.tsv"), columns), seed=1)
    keras.utils.set_random_seed(seed)
    return config, task, build(config, "model", **task.model_arguments())


def saved(folder, lines, overrides, **options):
    """Returns the folder, the task and the model of a run that has learned nothing."""
    config, task, model = made(folder, lines, overrides, seed=3, **options)
    save_model_folder(folder / "model", task, model, config)
    return folder, task, model


@pytest.mark.parametrize(("kind", "size"), [("bpe", 290), ("unigram", 280), ("character", None)])
def test_pieces_of_a_new_token_are_its_text_in_the_old_vocabulary(kind, size):
    old, new = tokenizers(kind, size)
    there, here = map(TokenizerVocabulary, (old, new))
    rows = origins(there, here)
    old_texts, new_texts = old.piece_texts(), new.piece_texts()
    composed_tokens = [number for number, pieces in enumerate(rows.rows) if len(pieces) > 1]
    assert composed_tokens
    for number, pieces in enumerate(rows.rows):
        assert b"".join(old_texts[piece] for piece in pieces) == new_texts[number]
    for number in composed_tokens:  # the tokenizers library cuts the words of a text as we do
        text = new_texts[number].decode(errors="replace")
        is_complete = "\ufffd" not in text  # not the first bytes of a character alone
        if is_complete and (text.startswith(" ") or kind == "character"):
            assert old.encode([text.removeprefix(" ")])[0].tolist() == rows.rows[number]
    names = [tokenizer._backend.get_vocab().keys() for tokenizer in (old, new)]
    assert (rows.shared, rows.new) == (len(names[0] & names[1]), 0)
    assert rows.shared + rows.composed == new.size


def test_words_have_no_pieces_but_other_kinds_know_their_letters():
    old, new = tokenizers("word")
    rows = origins(TokenizerVocabulary(old), TokenizerVocabulary(new))
    common = {"the", "red", "die"}
    assert {new.piece_texts()[n].decode() for n, r in enumerate(rows.rows) if r and n > 3} == common
    assert (rows.shared, rows.composed, rows.new) == (4 + 3, 0, new.size - 7)
    subwords, _ = tokenizers("bpe", 300)
    rows = origins(TokenizerVocabulary(subwords), TokenizerVocabulary(new))
    number = new.encode(["dogs"])[0][0]
    assert rows.rows[number] == subwords.encode(["dogs"])[0].tolist()
    rows = origins(TokenizerVocabulary(new), TokenizerVocabulary(subwords))
    assert rows.rows[:4] == [[0], [1], [2], [3]]


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_are_copied_or_means(axis):
    old, new = np.random.default_rng(1).normal(size=(2, 4, 4)).astype(np.float32)
    weight = VocabularyWeight("source", keras.Variable(new), axis)
    result = with_rows(old, new, weight, Origins([[2], [], [0, 1, 3], [3]], 2, 1))
    old, new, result = (array.T if axis else array for array in (old, new, result))
    np.testing.assert_array_equal(result[0], old[2])
    np.testing.assert_array_equal(result[1], new[1])
    np.testing.assert_allclose(result[2], (old[0] + old[1] + old[3]) / 3, rtol=1e-6)
    np.testing.assert_array_equal(result[3], old[3])


def test_a_translation_keeps_the_rows_of_its_words(translation, tmp_path, caplog):
    run, old_task, old = translation
    _, task, model = made(tmp_path / "new", NEW, (*TRANSLATOR, "tokenizer=word"), seed=4)
    fresh = {side: np.array(getattr(model, f"{side}_embedding").embeddings) for side in SIDES}
    fresh_bias = np.array(model.output_layer.bias)
    with caplog.at_level(logging.INFO, "seq2seq"):
        copy_weights(run, model, task)
    assert "source: 6 of 11 tokens kept, 0 as the mean of their pieces, 5 as" in caplog.text
    for side in SIDES:
        there, here = (getattr(each, f"{side}_embedding").embeddings for each in (old, model))
        words = ("the", "red", "dogs") if side == "source" else ("die", "Katze")
        for word in words:
            [[ours]], [[theirs]] = (
                getattr(each.tokenizer, side).encode([word]) for each in (task, old_task)
            )
            expected = fresh[side][ours] if word in ("dogs", "Katze") else there[theirs]
            np.testing.assert_array_equal(here[ours], expected)
    [[ours]], [[theirs]] = (each.tokenizer.target.encode(["die"]) for each in (task, old_task))
    kernels = np.array(model.output_layer.kernel), np.array(old.output_layer.kernel)
    np.testing.assert_array_equal(kernels[0][:, ours], kernels[1][:, theirs])
    assert model.output_layer.bias[ours] == old.output_layer.bias[theirs]
    [[new_word]] = task.tokenizer.target.encode(["Katze"])
    assert model.output_layer.bias[new_word] == fresh_bias[new_word]
    for name, layer in model.recurrent_layers().items():
        for weight, other in zip(layer.weights, old.recurrent_layers()[name].weights, strict=True):
            np.testing.assert_array_equal(weight, other)


def test_one_matrix_of_all_subwords_has_the_means_of_pieces(tmp_path):
    overrides = (*TRANSLATOR, "tokenizer=bpe", "model.embeddings=shared")
    size = "tokenizer.source.vocabulary_size"
    run, old_task, old = saved(tmp_path / "old", OLD, (*overrides, f"{size}=290"))
    _, task, model = made(tmp_path / "new", NEW, (*overrides, f"{size}=300"), seed=4)
    copy_weights(run, model, task)
    matrix, before = (np.array(each.source_embedding.embeddings) for each in (model, old))
    [word] = task.tokenizer.source.encode(["dogs"])
    pieces = old_task.tokenizer.source.encode(["dogs"])[0]
    assert (len(word), len(pieces) > 1) == (1, True)
    np.testing.assert_allclose(matrix[word[0]], before[pieces].mean(axis=0), rtol=1e-5)


def test_the_same_vocabulary_gives_the_same_model(translation, tmp_path):
    run, _, old = translation
    _, task, model = made(tmp_path / "new", OLD, (*TRANSLATOR, "tokenizer=word"), seed=4)
    copy_weights(run, model, task)
    weights = zip(model.training_model.weights, old.training_model.weights, strict=True)
    for weight, other in weights:
        np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize(
    ("name", "overrides", "sizes"),
    [
        ("translator", ["model.embeddings=tied"], {"source_vocabulary_size": "source",
                                                   "target_vocabulary_size": "target"}),
        ("language_model", ["model.stack.units=4"], {"vocabulary_size": "text"}),
        ("language_model", ["model.stack.units=4", "model.embeddings=tied"],
         {"vocabulary_size": "text"}),
        ("classifier", ["model.encoder.units=4"], {"vocabulary_size": "text", "classes": "labels"}),
    ],
)  # fmt: skip
def test_the_weights_of_a_vocabulary_are_those_whose_shapes_depend_on_it(name, overrides, sizes):
    config = composed([f"model={name}", "model.embedding_dim=3", *overrides])
    more = {"batch_size": 2} if name == "language_model" else {}

    def model_of(changed):
        counts = {argument: 5 + (argument in changed) for argument in sizes}
        return build(config, "model", **counts, **more)

    model = model_of(())
    for argument, vocabulary in sizes.items():
        larger = model_of((argument,)).training_model.weights
        changed = {
            (id(weight), axis)
            for weight, other in zip(model.training_model.weights, larger, strict=True)
            for axis in range(len(weight.shape))
            if weight.shape[axis] != other.shape[axis]
        }
        listed = [w for w in model.vocabulary_weights() if w.vocabulary == vocabulary]
        assert {(id(weight.variable), weight.axis) for weight in listed} == changed


def test_classes_are_found_by_their_names(translation, tmp_path):
    overrides = ("task=classification", "model=classifier", "tokenizer=text/word",
                 "decoding=none", "model.encoder.units=4", "model.embedding_dim=3")  # fmt: skip
    fields = ("text", "label")
    lines = ["good\tb", "bad\ta"] * 4
    run, _, old = saved(tmp_path / "old", lines, overrides, fields=fields)
    _, task, model = made(tmp_path / "new", ["good\tc", "fine\tb"] * 4, overrides, 4, fields)
    fresh = np.array(model.output_layer.kernel)
    copy_weights(run, model, task)
    assert task.labels.names == ["b", "c"]
    np.testing.assert_array_equal(model.output_layer.kernel[:, 0], old.output_layer.kernel[:, 1])
    np.testing.assert_array_equal(model.output_layer.kernel[:, 1], fresh[:, 1])
    with pytest.raises(UserError, match="is a run of Translation, not of Classification"):
        copy_weights(translation[0], model, task)
    task.vocabularies = lambda: None  # as of tasks that have none to change
    with pytest.raises(UserError, match="Classification runs start with the vocabularies of"):
        copy_weights(run, model, task)


def test_what_cannot_be_is_refused(translation, tmp_path, capsys):
    run, *_ = translation
    assert saved_tokenizers(None, "run") is None
    assert saved_tokenizers(run, "run") == run / "model"
    assert saved_tokenizers(run, "data") is None
    _, task, model = made(
        tmp_path / "new", NEW, ("tokenizer=word", *TRANSLATOR, "model.embedding_dim=4"), 4
    )
    with pytest.raises(UserError, match="has the shape"):
        copy_weights(run, model, task)
    with pytest.raises(UserError, match="init_tokenizers: must be run or data, got 'mine'"):
        saved_tokenizers(run, "mine")
    with pytest.raises(SystemExit, match="2"):
        main(["train", "translation/cldr_dates", "init_tokenizers=data", "tracking=none",
              f"hydra.run.dir={tmp_path}/run"])  # fmt: skip
    assert "init_tokenizers=data: is for init_from=RUN" in capsys.readouterr().err
