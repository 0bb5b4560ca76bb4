"""The benchmark of translating: its shortlists, Marian's text, and Marian where it is installed."""

import numpy as np
import pytest

from benchmarks import translating
from benchmarks.environments import PYMARIAN, cache_directory, marian_python
from benchmarks.lexicon import save_lexicon, translation_probabilities
from benchmarks.marian import MODEL, to_ids, to_lines
from benchmarks.marian_training import SMALL, prepare
from benchmarks.works import WORKS, Work

TINY = Work("tiny", attention=True, vocabulary=512, outputs=512)
SENTENCES = [[4, 5], [5, 6], [4, 6]]


def texts(count):
    words = ["ein", "hund", "läuft", "über", "die", "wiese"]
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(words, size=5)) for _ in range(count)]
    return dict.fromkeys(("train", "validation", "test"), (lines, lines))


def test_token_ids_survive_as_text():
    assert to_lines(SENTENCES) == ["t4 t5", "t5 t6", "t4 t6"]
    assert [to_ids(line) for line in to_lines(SENTENCES)] == SENTENCES
    assert to_ids("t4 <unk> t5") == [4, 5]


def test_tokens_that_occur_together_translate_each_other(tmp_path):
    rows = [np.array(row) for row in SENTENCES]
    targets = [row + 10 for row in rows]
    pairs, chances = translation_probabilities(rows, targets, iterations=20)
    best = {}
    for (source, target), chance in zip(pairs.tolist(), chances, strict=True):
        best[source] = max(best.get(source, (0.0, 0)), (chance, target))
    assert {source: target for source, (_, target) in best.items() if source} == {
        4: 14,
        5: 15,
        6: 16,
    }
    save_lexicon(rows, targets, tmp_path / "lexicon")
    lines = (tmp_path / "lexicon").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("t14 t4 0.") for line in lines)


def test_medians_of_the_rounds_in_a_table():
    rounds = [
        {"sentences_per_second": speed, "seconds_with_loading": 9.0, "bleu": 35.0, "versions": {}}
        for speed in (100.0, 300.0, 200.0)
    ]
    found = translating.summarised({"run, beam 5": rounds})
    assert translating.table(found).splitlines()[2:] == ["| run, beam 5 | 200 | 9.0 | 35.0 |"]
    assert len(found["run, beam 5"]["rounds_of"]) == 3


def test_only_searches_of_equal_bleu_are_compared():
    def figures(speed, bleu):
        return {"sentences_per_second": speed, "seconds_with_loading": 1.0, "bleu": bleu}

    programs = {
        "run, beam 1": figures(900.0, 35.0),
        "run, beam 5": figures(300.0, 36.95),
        "marian, beam 1": figures(100.0, 35.0),
        "marian, beam 5": figures(50.0, 37.0),
        "marian int8, beam 5": figures(60.0, 39.0),
    }
    assert translating.ratios(programs) == {"marian, beam 1": 9.0, "marian, beam 5": 6.0}
    assert "over marian, beam 5: 6.00 (goal 2)" in translating.table(programs)


def test_marian_translates_in_8_bits_where_it_is_installed(monkeypatch, tmp_path):
    if not (cache_directory() / f"pymarian-{PYMARIAN}" / "installed").exists():
        pytest.skip("Marian is not installed")
    from benchmarks import marian

    monkeypatch.setitem(WORKS, "A", TINY)
    data = texts(40)
    prepare(tmp_path, data, translating.fitted_tokenizers(data))
    options = marian.training_options(SMALL, tmp_path, TINY.vocabulary)
    marian.run(["train", *options, "--after", "2u"], str(marian_python()))
    assert (tmp_path / MODEL).exists()
    candidates = translating.marian(tmp_path, data, minutes=0)
    assert [each.name for each in candidates] == [
        "marian",
        "marian int8",
        "marian shortlist",
        "marian int8 shortlist",
    ]
    found = translating.translated(candidates[-1], 5, data)
    assert found["sentences_per_second"] > 0
    assert 0 <= found["bleu"] <= 100
