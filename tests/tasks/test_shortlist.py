"""Searches with a shortlist, against the same model when all other tokens are impossible."""

import itertools
from functools import partial

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from seq2seq.config import composed
from seq2seq.decoding.beam import BeamSearch
from seq2seq.decoding.constraints import compile_constraints
from seq2seq.decoding.greedy import Greedy
from seq2seq.decoding.penalties import GNMTLengthPenalty
from seq2seq.decoding.sampling import Sampling
from seq2seq.decoding.streaming import Streaming
from seq2seq.errors import UserError
from seq2seq.files import write_checksums
from seq2seq.inference.predictor import Predictor
from seq2seq.layers.attention import LuongAttention
from seq2seq.layers.bridge import DenseBridge
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.translator import Translator
from seq2seq.tasks.model_folder import build_task, precision
from seq2seq.tasks.translation.search import Search
from tests.language_run import OVERRIDES
from tests.tasks.test_search_options import SOURCES, trained

pytestmark = pytest.mark.compiled

SIZE, UNLISTED = 70, -1e9
ALL = np.arange(SIZE, dtype=np.int32)
LIST = np.array([0, 1, 2, 3, 4, 5, 8, *range(11, 60, 3), 69], np.int32)
STRATEGIES = {
    "greedy": Greedy(no_repeat_ngram_size=2),
    "beam": BeamSearch(4, n_best=3, length_penalty=GNMTLengthPenalty(), repetition_penalty=1.2),
    "sampling": Sampling(samples=3, top_k=20, top_p=0.9),
}
MODELS = {
    "separate": {},
    "tied": {"embeddings": "tied"},
    "shared": {"embeddings": "shared"},
    "copying": {"copy": True},
    "eight bits": {"int8_search": True},
}


def translator(seed=3, embeddings="separate", **options):
    keras.utils.set_random_seed(seed)
    decoder = Decoder(units=40, attention=LuongAttention)
    model = Translator(
        SIZE, SIZE, Encoder(units=20), decoder, DenseBridge, 33, embeddings, **options
    )
    for weight in model.training_model.weights:  # far from uniform
        weight.assign(2 * weight)
    return model


def batch(rows=9, tokens=ALL[4:]):
    random = np.random.default_rng(5)
    lengths = random.integers(1, 9, rows).astype(np.int32)
    source = random.choice(tokens, (rows, 9)).astype(np.int32)
    return source, lengths, np.arange(rows, dtype=np.int32)


def assert_same(found, expected, tolerance=1e-4):
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    for name in ("scores", "token_scores", "alignments"):
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def search(models, strategy):
    return Search(tuple(models), strategy, alignments=True, token_scores=True)


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr("seq2seq.ops.dispatch.load", lambda: None)


@pytest.mark.parametrize(
    ("model", "strategy"),
    [*itertools.product(MODELS, ["beam"]), *itertools.product(["tied"], STRATEGIES)],
)
def test_the_whole_vocabulary_changes_nothing(model, strategy):
    find = search([translator(**MODELS[model])], STRATEGIES[strategy])
    assert_same(find(*batch(), shortlist=ALL), find(*batch()))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("model", "strategy"), [("separate", "greedy"), ("copying", "beam"), ("eight bits", "beam")]
)
def test_other_tokens_are_impossible(model, policy, strategy):
    with precision(policy):
        model = translator(**MODELS[model])
    check_other_tokens(model, strategy)


@pytest.mark.usefixtures("no_kernels")
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_they_are_without_kernels(policy):
    with precision(policy):
        model = translator()
    check_other_tokens(model, "beam")


@pytest.mark.usefixtures("no_kernels")
def test_tied_embeddings_without_kernels():
    find = search([translator(embeddings="tied")], STRATEGIES["greedy"])
    assert_same(find(*batch(), shortlist=ALL), find(*batch()))


def check_other_tokens(model, strategy):
    find, rows = search([model], STRATEGIES[strategy]), batch(tokens=LIST[4:])
    found = find(*rows, shortlist=LIST)
    assert set(np.unique(found.tokens)) <= {*LIST.tolist()}
    assert_same(found, without_others(model, find, rows), 3e-4)


def without_others(model, find, rows, constraints=None):
    """Returns what a search finds when the bias of all tokens that are not listed forbids them."""
    model.output_layer.bias.assign(np.where(np.isin(ALL, LIST), 0, UNLISTED))
    return find(*rows, constraints)


def test_an_ensemble():
    models = [translator(seed) for seed in (1, 2)]
    find = search(models, STRATEGIES["beam"])
    found = find(*batch(), shortlist=LIST)
    for model in models:
        model.output_layer.bias.assign(np.where(np.isin(ALL, LIST), 0, UNLISTED))
    assert_same(found, find(*batch()))


@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_constraints(strategy):
    constrained = partial(compile_constraints, 4, SIZE, 3)
    constraints = constrained(
        prefixes=[[8], [], [], [11, 14]],
        required=[[[11, 14], [17]], [], [[20, 23]], []],
        forbidden=[[[5]], [[6, 7], [8, 11]], [], []],
        allowed=[[], [], [], [8, 11, 14, 17, 20]],
    )
    model = translator()
    find = search([model], STRATEGIES[strategy])
    found = find(*batch(4), constraints, LIST)
    assert_same(found, without_others(model, find, batch(4), constraints))
    best = np.reshape(found.tokens, (4, -1, found.tokens.shape[-1]))[:, 0]
    assert best[0][0] == 8
    assert 17 in best[0]
    assert " 20 23 " in f" {' '.join(map(str, best[2]))} "
    assert set(best[3]) <= {3, 8, 11, 14, 17, 20}


def test_a_graph_is_traced_once():
    find = Search((translator(),), Greedy())
    for shortlist in (LIST, ALL, LIST[:8], None):
        for rows in (1, 9):
            find(*batch(rows), shortlist=shortlist)
    assert find.tracing_count == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "run", "model/attention=luong")


@pytest.fixture(scope="module")
def copying(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "copying"
    return trained(folder, "model/attention=luong", "model.copy=true", "tokenizer.joint=true")


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor.load(run)


def restricted(predictor, monkeypatch, translations=1):
    """Makes the table so poor that it matters: one translation of each source token, or none."""
    table = predictor.task.lexical_table
    monkeypatch.setattr(table, "translations", table.translations[:, :translations])
    return table


class TestPredictions:
    def test_the_whole_vocabulary_is_no_shortlist(self, predictor):
        assert predictor(SOURCES, shortlist=10_000) == predictor(SOURCES)

    @pytest.mark.parametrize("decoding", ["greedy", "beam", "sampling"])
    def test_only_listed_tokens_come(self, predictor, monkeypatch, decoding):
        table = restricted(predictor, monkeypatch, translations=0)
        size = {"beam_size": 2} if decoding == "beam" else {}
        rows = predictor(SOURCES, decoding=decoding, shortlist=2, token_scores=True, **size)
        listed = predictor.task.tokenizer.target.pieces([0, 1, 2, 3, *table.frequent[:2]])
        assert all({*row["target_tokens"]} <= {*listed} for row in rows)
        assert any(row["prediction"] for row in rows)

    def test_constraints_add_their_tokens(self, predictor, monkeypatch):
        restricted(predictor, monkeypatch, translations=0)
        record = {"source": "a b", "prefix": "e", "required": ["f f", "d"], "forbidden": ["a"]}
        allowed = {"source": "c d", "allowed": ["c", "f"]}
        first, second = predictor([record, allowed], decoding="greedy", shortlist=1)
        assert first["prediction"].startswith("e")
        assert "f f" in first["prediction"]
        assert "d" in first["prediction"].split()
        assert {*second["prediction"].split()} <= {"c", "f"}

    def test_a_source_can_be_copied(self, copying, monkeypatch):
        predictor = Predictor.load(copying)
        table = restricted(predictor, monkeypatch, translations=0)
        lists, shortlist = [], table.shortlist
        monkeypatch.setattr(
            table, "shortlist", lambda *values: lists.append(shortlist(*values)) or lists[-1]
        )
        predictor(["f f c"], decoding="greedy", shortlist=1)
        known = predictor.task.tokenizer.source.encode(["f c"])[0]
        assert {*known} <= {*lists[0]}

    def test_a_run_without_the_setting_takes_it(self, run, predictor):
        search = OmegaConf.load(run / "model" / "config.yaml").decoding
        del search["shortlist"]
        older = Predictor(predictor.task, predictor.model, search)
        assert older(SOURCES, shortlist=5) == predictor(SOURCES, shortlist=5)

    def test_a_run_without_a_table_is_told_what_to_do(self, run, tmp_path):
        folder = trained(tmp_path / "older", "model/attention=luong")
        (folder / "model" / "lexical_table.npz").unlink()
        write_checksums(folder / "model")
        predictor = Predictor.load(folder)
        assert predictor(SOURCES)
        with pytest.raises(UserError, match=r"decoding\.shortlist: the run has no lexical table"):
            predictor(SOURCES, shortlist=5)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"shortlist": -1}, "shortlist: must not be negative"),
            ({"shortlist": 3}, "a beam of 5 needs as many tokens"),
            ({"shortlist": "x"}, "shortlist: must be"),
        ],
    )
    def test_what_cannot_be_is_refused(self, predictor, settings, message):
        with pytest.raises(UserError, match=message):
            predictor(SOURCES, **settings)


def test_a_training_can_have_a_shortlist(tmp_path):
    folder = trained(tmp_path / "run", "decoding.shortlist=5")
    assert Predictor.load(folder)(SOURCES)


def test_language_models_have_none():
    config = composed([*OVERRIDES, "data.directory=.", "decoding.shortlist=5"])
    with pytest.raises(UserError, match=r"decoding\.shortlist=5: is for translations"):
        build_task(config)
    with pytest.raises(ValueError, match=r"decoding\.shortlist: is for translations"):
        Streaming(Greedy(shortlist=5), step=None, end=3)
