"""Sessions: pieces against the whole, and states that outlive their process."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from seq2seq.data.tokenizers.tokenizer import START
from seq2seq.errors import UserError
from seq2seq.inference.sessions import Session
from seq2seq.inference.state_store import StateStore
from seq2seq.layers.bridge import ZeroBridge
from seq2seq.layers.recurrent import GRU, LSTM
from seq2seq.models.classifier import Classifier
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.language_model import LanguageModel
from seq2seq.models.stack import RecurrentStack
from seq2seq.models.tagger import Tagger
from seq2seq.models.translator import Translator
from tests.language_run import saved_run

VOCABULARY = 13


@pytest.fixture(scope="module", params=["lstm", "gru"])
def model(request):
    keras.utils.set_random_seed(3)
    stack = RecurrentStack(request.param, units=8, layers=2)
    return LanguageModel(VOCABULARY, 1, stack, embedding_dim=4)


def opened(model, **options):
    return Session(model.step_model, start_tokens=(START,), **options)


def whole(model, tokens):
    logits = model.training_model({"tokens": np.array([[START, *tokens]], np.int32)})
    return logits.numpy()[0, 1:]


def draw(seed, count):
    return np.random.default_rng(seed).integers(1, VOCABULARY, count).tolist()


def test_pieces_of_many_sources_equal_the_whole(model):
    generator = np.random.default_rng(1)
    texts = {f"source {n}": draw(n, 20) for n in range(150)}  # more than there was room for
    session, done = opened(model, batch_size=40), dict.fromkeys(texts, 0)
    found = {source: [] for source in texts}
    while any(done[source] < 20 for source in texts):
        chosen = [source for source in texts if generator.random() < 0.7]
        pieces = {}
        for source in chosen:
            count = int(generator.integers(0, 6))
            pieces[source] = texts[source][done[source] : done[source] + count]
            done[source] += count
        outputs = session.feed(pieces)
        assert list(outputs) == chosen
        for source, output in outputs.items():
            assert len(output) == len(pieces[source])
            found[source].extend(output)
    assert set(session.sources) == set(texts)
    for source, tokens in texts.items():
        np.testing.assert_allclose(found[source], whole(model, tokens), atol=1e-5)


def test_sources_start_anew_and_are_forgotten(model):
    session = opened(model)
    tokens = draw(0, 6)
    session.feed({"a": tokens, "b": tokens})
    session.reset(["a"])
    outputs = session.feed({"a": tokens, "b": tokens})
    np.testing.assert_allclose(outputs["a"], whole(model, tokens), atol=1e-5)
    np.testing.assert_allclose(outputs["b"], whole(model, tokens + tokens)[6:], atol=1e-5)
    session.close(["b"])
    assert session.sources == ["a"]
    again = session.feed({"c": tokens})  # takes the place of b
    np.testing.assert_allclose(again["c"], whole(model, tokens), atol=1e-5)
    with pytest.raises(KeyError, match="'b' is not open"):
        session.reset(["b"])


def test_a_state_is_a_value(model):
    session = opened(model)
    first, second = draw(1, 5), draw(2, 5)
    session.feed({"a": first})
    state = session.state("a")
    assert [set(layer) for layer in state] == [set(model.stack.spec.fields)] * 2
    session.set_state("copy", state)
    outputs = session.feed({"a": second, "copy": second})
    np.testing.assert_array_equal(outputs["a"], outputs["copy"])
    np.testing.assert_allclose(outputs["a"], whole(model, first + second)[5:], atol=1e-5)
    session.reset(["a"])
    assert all(not value.any() for layer in session.state("a") for value in layer.values())


def test_another_session_goes_on_from_the_store_bit_identically(model, tmp_path):
    texts = {f"{n}": draw(n, 10) for n in range(5)}
    session = opened(model)
    session.feed({source: tokens[:4] for source, tokens in texts.items()})
    session.reset(["4"])
    store = StateStore(tmp_path / "states.sqlite")
    session.save(store)
    other = opened(model)
    assert other.restore(store) == ["0", "1", "2", "3"]  # one that begins has nothing to keep
    rest = {source: tokens[4:] for source, tokens in texts.items()}
    mine, theirs = session.feed(rest), other.feed(rest)
    for source in texts:
        np.testing.assert_array_equal(mine[source], theirs[source])
    assert opened(model).restore(store, ["2", "none"]) == ["2"]
    session.reset(["2"])
    session.save(store, ["2"])
    assert opened(model).restore(store, ["2"]) == []


def test_states_of_other_weights_are_refused(model, tmp_path):
    store = StateStore(tmp_path / "states.sqlite")
    session = opened(model)
    session.feed({"a": [5]})
    session.save(store)
    other = LanguageModel(VOCABULARY, 1, RecurrentStack(units=8), embedding_dim=4)
    for use in (opened(other).save, opened(other).restore):
        with pytest.raises(UserError, match="another model"):
            use(store)


def test_a_file_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "text").write_text("To be, or not to be, that is the question. " * 50)
    with pytest.raises(UserError, match="text: cannot be used as a store"):
        StateStore(tmp_path / "text")


def assert_session_equals_prefixes(session, steps, prefix_logits):
    """Feeds pieces, and compares with what the trained model says of each beginning."""
    rows = {str(n): draw(n, 9) for n in range(4)}
    found = {source: [] for source in rows}
    for first, last in ((0, 1), (1, 5), (5, 5), (5, 9)):
        outputs = session.feed({source: row[first:last] for source, row in rows.items()})
        for source, output in outputs.items():
            found[source].extend(output)
    for source, row in rows.items():
        for step in steps:
            expected = prefix_logits(np.array([row[: step + 1]], np.int32))
            np.testing.assert_allclose(found[source][step], expected, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_tags_of_pieces_equal_those_of_the_whole(cell):
    keras.utils.set_random_seed(4)
    sizes = {"words": VOCABULARY, "characters": 0, "columns": {}, "vectors": None}
    encoder = Encoder(cell, units=7, layers=2, bidirectional=False)
    tagger = Tagger(sizes, 3, encoder, embedding_dim=5, output="softmax")

    def last_tag(words):
        length = np.array([words.shape[1]], np.int32)
        found = tagger.prediction_model({"words": words, "length": length})
        return found["logits"][0, -1]

    assert_session_equals_prefixes(Session(tagger.step_model), range(9), last_tag)


@pytest.mark.parametrize("pooling", [["last"], ["mean", "max"], ["max", "last", "mean"]])
def test_the_class_so_far_is_that_of_the_beginning(pooling):
    keras.utils.set_random_seed(5)
    encoder = Encoder(units=7, bidirectional=False)
    classifier = Classifier(VOCABULARY, 3, encoder, pooling=pooling, embedding_dim=5)

    def of_beginning(text):
        length = np.array([text.shape[1]], np.int32)
        return classifier.training_model({"text": text, "text_length": length})[0]

    assert_session_equals_prefixes(Session(classifier.step_model), range(9), of_beginning)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: Classifier(9, 2, Encoder(units=3)), "reads from right to left"),
        (
            lambda: Classifier(9, 2, Encoder(units=3, bidirectional=False), pooling=["attention"]),
            "its pooling is attention",
        ),
        (lambda: Classifier(9, 2, Encoder(units=3, bidirectional=False), texts=2), "one text"),
        (
            lambda: Translator(9, 9, Encoder(units=3), Decoder(units=3), ZeroBridge),
            "reads its whole input",
        ),
    ],
)
def test_who_needs_the_whole_input_is_refused(model, words):
    with pytest.raises(ValueError, match=words):
        _ = model().step_model


def functional(**inputs):
    """Makes a model of a GRU and some of the inputs and outputs that a session needs."""
    states = inputs.pop("states", keras.Input((4,), name="states"))
    read = keras.Input((None, 2), name="read")
    length = keras.Input((), name="length")
    outputs, after = GRU(4, return_sequences=True, return_state=True)(read, initial_state=states)
    given = {"read": read, "length": length, "states": states}
    made = {"outputs": outputs, "states": after, "more": outputs}
    chosen, returned = inputs["inputs"], inputs["outputs"]
    return keras.Model(
        {name: given[name] for name in chosen} if isinstance(chosen, list) else [*given.values()],
        {name: made[name] for name in returned} if isinstance(returned, list) else outputs,
    )


class Subclassed(keras.Model):
    """A model whose cells keep their states to themselves."""

    def __init__(self):
        super().__init__()
        self.cells = LSTM(4, stateful=True, return_sequences=True)

    def call(self, inputs):
        return self.cells(inputs)


BOTH = ["outputs", "states"]
ALL = ["read", "length", "states"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: keras.Sequential([keras.Input((None, 2)), LSTM(4)]), "not functional"),
        (Subclassed, "not functional"),
        (lambda: GRU(4), "no Keras model"),
        (lambda: functional(inputs=ALL, outputs="alone"), "its outputs are no dict"),
        (lambda: functional(inputs="alone", outputs=BOTH), "its inputs are no dict"),
        (lambda: functional(inputs=["read", "states"], outputs=BOTH), "no 'length' among"),
        (lambda: functional(inputs=ALL, outputs=["outputs"]), "no 'states' among its outputs"),
        (
            lambda: functional(inputs=ALL, outputs=[*BOTH, "more"]),
            "outputs must be states and one more",
        ),
    ],
)
def test_a_model_that_is_no_step_model_is_refused_in_one_plain_message(model, words):
    with pytest.raises(UserError, match=words) as raised:
        Session(model())
    assert "{'states', 'length', DATA}" in str(raised.value)
    assert "KerasTensor" not in str(raised.value)


def test_states_that_change_their_shape_are_refused():
    states, read = keras.Input((3,), name="states"), keras.Input((None, 2), name="read")
    length = keras.Input((), name="length")
    after = keras.layers.Dense(4)(states)
    model = keras.Model(
        {"read": read, "length": length, "states": states}, {"outputs": read, "states": after}
    )
    with pytest.raises(UserError, match=r"come in as \[3\] and go out as \[4\]"):
        Session(model)


@pytest.mark.parametrize("piece", [np.zeros((2, 3)), "text", [[1, 2], [3]], None])
def test_a_piece_of_another_kind_is_named(piece):
    session = Session(functional(inputs=ALL, outputs=BOTH))
    with pytest.raises(UserError, match="rows of 2 numbers, float32"):
        session.feed({"ann": np.zeros((1, 2)), "bob": piece})


SOURCES = [str(number) for number in range(3000)]
WIDE = ("model.stack.units=128",)  # more than SQLite keeps in memory before it commits


def tokens_at(time):
    return {source: [260 + (int(source) + time) % 15] for source in SOURCES}


CHILD = """
    import sys, time
    from tests.inference.test_sessions import Session, StateStore, tokens_at

    class Slow(dict):
        def items(self):
            for number, item in enumerate(super().items()):
                if number == 2900:
                    print("in the middle", flush=True)
                    time.sleep(600)
                yield item

    session, store = Session.load(sys.argv[1]), StateStore(sys.argv[2])
    for step in range(2):
        session.feed(tokens_at(step))
        session.save(store)
    session.feed(tokens_at(2))
    write = store.write
    store.write = lambda states, model: write(Slow(states), model)
    session.save(store)
"""


def test_a_process_that_is_killed_while_it_writes_goes_on_in_another(tmp_path, monkeypatch):
    """The store holds what was saved last as a whole, and all sources go on bit-identically."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run, path = saved_run(tmp_path, *WIDE), tmp_path / "states.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(run), str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"in the middle\n"
        child.send_signal(signal.SIGKILL)
    assert path.with_name("states.sqlite-journal").exists()
    session, never_killed = Session.load(run), Session.load(run)
    assert sorted(session.restore(StateStore(path))) == sorted(SOURCES)
    for time in range(2):
        never_killed.feed(tokens_at(time))
    mine, theirs = session.feed(tokens_at(2)), never_killed.feed(tokens_at(2))
    for source in SOURCES:
        np.testing.assert_array_equal(mine[source], theirs[source])
