"""What users of a translation run can ask for, on a small untrained model with attention."""

import keras
import numpy as np
import pytest

from seq2seq.config import build, composed
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.errors import UserError
from seq2seq.inference.predictor import Predictor
from seq2seq.tasks.model_folder import build_task, save_model_folder

SOURCES = ["a b", "b c d e f", "f", "c d a", "a a b b c c", "", "e d c b"]
SIZES = ["model.encoder.units=8", "model.decoder.units=16", "model.embedding_dim=8"]
WORDS = ["tracking=none", "tokenizer=word", "decoding=beam", *SIZES]
DETAILS = {"alignments": True, "token_scores": True}


def trained(folder, *overrides, seed=4):
    """Writes the run folder of a model that has learned nothing, and returns it."""
    folder.mkdir(parents=True)
    for side in ("source", "target"):
        (folder / side).write_text("".join(f"{line}\n" for line in SOURCES))
    splits = ("train", "validation", "test")
    data = ParallelText(
        str(folder), dict.fromkeys(splits, "source"), dict.fromkeys(splits, "target")
    )
    config = composed([*WORDS, *overrides])
    task = build_task(config)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        task.prepare(data, seed=1)
    keras.utils.set_random_seed(seed)
    model = build(config, "model", **task.model_arguments())
    save_model_folder(folder / "model", task, model, config)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    attention = "model/attention=luong"
    return {
        "first": trained(folder / "first", attention),
        "second": trained(folder / "second", attention, "model.reverse_source=true", seed=5),
        "plain": trained(folder / "plain"),
        "letters": trained(folder / "letters", attention, "tokenizer=character"),
    }


@pytest.fixture(scope="module")
def first(runs):
    return Predictor.load(runs["first"])


@pytest.fixture(scope="module")
def together(runs):
    return Predictor.load(runs["first"], runs["second"])


class TestScore:
    @pytest.mark.parametrize("name", ["first", "together"])
    def test_scores_are_those_of_the_search(self, name, request):
        predictor = request.getfixturevalue(name)
        texts = [text for text in SOURCES if text]
        rows = predictor(texts, n_best=3, **DETAILS)
        found = [h | {"source": row["source"]} for row in rows for h in row["hypotheses"]]
        # Only what is a text: an untrained model also says the special tokens.
        found = [f for f in found if f["target_tokens"] == [*f["prediction"].split(), "</s>"]]
        pairs = [{"source": f["source"], "target": f["prediction"]} for f in found]
        assert len(pairs) > 4
        scored = predictor.score(pairs, batch_size=4, alignments=True)
        for row, pair, expected in zip(scored, pairs, found, strict=True):
            assert {key: row[key] for key in pair} == pair
            assert row["score"] == pytest.approx(expected["score"], abs=1e-4)
            assert row["score"] == pytest.approx(sum(row["token_scores"]), abs=1e-4)
            for key in ("source_tokens", "target_tokens"):
                assert row[key] == expected[key]
            for key in ("token_scores", "alignments"):
                np.testing.assert_allclose(row[key], expected[key], atol=1e-4)

    def test_against_the_training_model(self, first):
        task, model = first.task, first.model
        [row] = first.score([{"source": "a b c", "target": "b d"}])
        source = task.tokenizer.source.encode(["a b c"])[0][np.newaxis]
        target = task.tokenizer.target.encode(["b d"])[0]
        inputs = {
            "source": source,
            "source_length": np.array([3]),
            "target": np.array([[2, *target]]),
        }
        logits = np.array(model.training_model(inputs))[0].astype(float)
        each = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        expected = each[np.arange(3), [*target, 3]]
        np.testing.assert_allclose(row["token_scores"], expected, atol=1e-5)

    def test_order_batches_and_empty_texts(self, first):
        pairs = [{"source": s, "target": t} for s in SOURCES for t in ("", "a b c d", "b")]
        one, other = (first.score(pairs, batch_size) for batch_size in (1, 50))
        for row, again, pair in zip(one, other, pairs, strict=True):
            assert {key: row[key] for key in pair} == pair
            assert np.isfinite(row["score"])
            assert row["score"] == pytest.approx(again["score"], abs=1e-4)
        assert first.score([]) == []


class TestSearch:
    def test_another_search_keeps_the_limits_of_the_runs_own(self, first):
        greedy = first(SOURCES, decoding="greedy", maximum_length_extra=3)
        narrow = first(SOURCES, beam_size=1, maximum_length_extra=3)
        for one, other in zip(greedy, narrow, strict=True):
            assert one["prediction"] == other["prediction"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-4)

    def test_what_is_switched_off_can_be_set(self, first):
        strategy = first._strategies("beam", (("coverage_penalty.beta", 0.3),), 2)
        assert strategy.coverage_penalty.beta == 0.3
        assert strategy.n_best == 2
        assert strategy.beam_size == 5

    def test_the_same_seed_samples_the_same(self, first):
        options = {"decoding": "sampling", "temperature": 2.0, "n_best": 4}
        rows = first(SOURCES, **options)
        assert rows == first(SOURCES, **options)
        assert len({h["prediction"] for h in rows[1]["hypotheses"]}) > 1

    def test_nothing_is_traced_again(self, first):
        for batch_size in (1, 2, 5):
            for _ in range(2):
                first(SOURCES, batch_size, beam_size=3, **DETAILS)
        strategy = first._strategies(None, (("beam_size", 3),), None)
        assert first.task._search((first.model,), strategy, True, True).tracing_count == 1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"decoding": "beams"}, "no such search; the nearest is 'beam'"),
            ({"decoding": "greedy", "n_best": 2}, "has only one hypothesis"),
            ({"n_best": 9}, "a beam of 5 gives 1 to 5"),
            ({"beam_sise": 2}, "no such setting; the nearest is 'beam_size'"),
            ({"temperature": 2}, "BeamSearch has no such setting"),
            ({"beam_size": "x"}, "beam_size: must be"),
            ({"length_penalty": {"alfa": 1}}, "alfa"),
            ({"settings": {"beam_size": 2}}, "no such setting"),
            ({"length_penalty._target_": "os.system"}, "names 'os.system'"),
            ({"beam_size.x": 2}, "beam_size: must be int"),
            ({"attention": True}, "attention: has no meaning"),
        ],
    )
    def test_what_has_no_meaning_is_refused(self, first, options, message):
        with pytest.raises(UserError, match=message):
            first(["a"], **options)

    @pytest.mark.parametrize(
        "options",
        [
            {"alignments": True},
            {"replace_unknown": True},
            {"coverage_penalty.beta": 1},
        ],
    )
    def test_what_needs_an_attention_is_refused_without(self, runs, options):
        with pytest.raises(UserError, match="has no attention"):
            Predictor.load(runs["plain"])(["a"], **options)


class TestEnsemble:
    def test_probabilities_are_averaged(self, runs, first, together):
        pairs = [{"source": "a b", "target": "c"}, {"source": "f", "target": "a d e"}]
        second = Predictor.load(runs["second"])
        each = [
            [np.exp(row["token_scores"]) for row in predictor.score(pairs)]
            for predictor in (first, second)
        ]
        for row, one, other in zip(together.score(pairs), *each, strict=True):
            np.testing.assert_allclose(np.exp(row["token_scores"]), (one + other) / 2, atol=1e-5)

    def test_other_vocabularies_are_refused(self, runs):
        with pytest.raises(UserError, match="same vocabularies"):
            Predictor.load(runs["first"], runs["letters"])


class TestConstraints:
    @pytest.mark.parametrize("decoding", ["greedy", "beam", "sampling"])
    def test_every_row_by_its_own(self, first, decoding):
        records = [
            "a b c",
            {"source": "a b", "prefix": "c d"},
            {"source": "b c d", "required": ["a b", "f"], "forbidden": ["c"]},
            {"source": "e", "allowed": ["a", "b"]},
            {"source": "", "prefix": "c"},
        ]
        rows = first(records, decoding=decoding)
        assert [row["source"] for row in rows] == ["a b c", "a b", "b c d", "e", ""]
        assert rows[1]["prediction"].split()[:2] == ["c", "d"]
        said = f" {rows[2]['prediction']} "
        assert " a b " in said
        assert " f " in said
        assert " c " not in said
        assert set(rows[3]["prediction"].split()) <= {"a", "b"}
        assert rows[4]["prediction"] == ""
        [alone] = first(["a b c"], decoding=decoding)
        assert rows[0]["prediction"] == alone["prediction"]

    @pytest.mark.parametrize(
        ("record", "message"),
        [
            ({"prefix": 3}, "prefix: must be a text"),
            ({"required": "a"}, "required: must be a list of texts"),
            ({"required": ["zebra"]}, "'zebra' cannot be written"),
            ({"required": list("abcdef") * 2}, "at most 10"),
            ({"required": ["a"], "forbidden": ["a"]}, "contradict"),
            ({"allowed": ["zebra"]}, "no word of the target vocabulary"),
        ],
    )
    def test_mistakes_name_their_place(self, first, record, message):
        with pytest.raises(UserError, match=f"^in:7: .*{message}"):
            first(["a b", {"source": "b", "place": "in:7", **record}])


class TestUnknownWords:
    """Models that say nothing but `<unk>` show which source words stand in."""

    @pytest.mark.parametrize("name", ["first", "second"])
    def test_they_become_what_they_attend_to(self, runs, name):
        predictor = Predictor.load(runs[name])
        layer = predictor.model.output_layer
        layer.bias.assign(layer.bias + 50 * np.eye(predictor.task.tokenizer.target.size)[1])
        text = "zebra b yak d"
        settings = {"maximum_length_ratio": 1.0, "maximum_length_extra": 0}
        [row] = predictor([text], **settings, replace_unknown=True, alignments=True)
        places = np.argmax(row["alignments"], axis=1)
        assert row["target_tokens"] == ["<unk>"] * 4 + ["</s>"]
        assert row["source_tokens"] == text.split()
        assert row["prediction"] == " ".join(text.split()[place] for place in places[:4])
        [kept] = predictor([text], **settings)
        assert kept["prediction"] == "<unk> <unk> <unk> <unk>"

    def test_pieces_of_words_are_refused(self, runs):
        with pytest.raises(UserError, match="tokenizer=word"):
            Predictor.load(runs["letters"])(["a"], replace_unknown=True)


def test_settings_that_need_an_attention_are_refused_before_training(first):
    task = build_task(composed([*WORDS, "task.replace_unknown=true"]))
    config = composed([*WORDS])
    with pytest.raises(UserError, match="replace_unknown: the model has no attention"):
        task.check_model(build(config, "model", **task.example_arguments))
    task.check_model(first.model)


def test_an_evaluation_has_pictures_of_alignments(first, monkeypatch):
    records = [{"source": text, "target": text} for text in SOURCES]
    with monkeypatch.context() as patch:
        patch.setattr(first.task, "score", None)  # each validation evaluates: nothing is scored
        evaluation = first.task.evaluate(first.model, records)
    assert "alignments" not in evaluation.rows[0]
    count = min(4, sum(row["prediction"] != "" for row in evaluation.rows))
    assert count > 0
    figures = first.task.figures(first.model, evaluation)
    assert list(figures) == [f"alignment_{number}" for number in range(1, count + 1)]


def test_rows_are_the_same_with_and_without_details(first):
    plain, detailed = first(SOURCES), first(SOURCES, **DETAILS)
    for one, other in zip(plain, detailed, strict=True):
        assert one == {key: other[key] for key in one}
        assert len(other["target_tokens"]) == len(other["token_scores"])
        shape = len(other["target_tokens"]), len(other["source_tokens"])
        assert np.shape(other["alignments"]) == shape
        if one["source"]:
            np.testing.assert_allclose(np.sum(other["alignments"], axis=1), 1, atol=1e-4)
