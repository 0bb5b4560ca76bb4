"""IBM model 1 against published values and brute force; shortlists against their parts."""

import itertools
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.token_store import RaggedColumn
from seq2seq.tasks.translation.ibm_model import translation_probabilities
from seq2seq.tasks.translation.lexical_table import SPECIAL, TRANSLATIONS, LexicalTable

DAS, HAUS, BUCH, EIN = range(4)
THE, HOUSE, BOOK, A = range(4)
# Koehn, Statistical Machine Translation (2010), figure 4.4: t(e|f) after each iteration.
PAIRS = [([DAS, HAUS], [THE, HOUSE]), ([DAS, BUCH], [THE, BOOK]), ([EIN, BUCH], [A, BOOK])]
PUBLISHED = {
    1: {(DAS, THE): 0.5, (DAS, BOOK): 0.25, (BUCH, A): 0.25, (EIN, A): 0.5, (HAUS, THE): 0.5},
    2: {(DAS, THE): 0.6364, (DAS, BOOK): 0.1818, (BUCH, BOOK): 0.6364, (EIN, A): 0.5714},
    3: {(DAS, THE): 0.7479, (DAS, HOUSE): 0.1313, (BUCH, A): 0.1313, (HAUS, HOUSE): 0.6534},
}
SENTENCES = st.lists(st.integers(0, 5), max_size=5)


def column(rows):
    offsets = np.cumsum([0, *map(len, rows)])
    return RaggedColumn(offsets, np.array(list(itertools.chain(*rows)), np.int32))


def columns(pairs):
    return column([source for source, _ in pairs]), column([target for _, target in pairs])


def by_hand(pairs, iterations):
    """The same loop by loop; probabilities by (source, target)."""
    links = {(s, t) for source, target in pairs for s in source for t in target}
    probability = dict.fromkeys(links, 1.0)
    for _ in range(iterations):
        count = dict.fromkeys(links, 0.0)
        for source, target in pairs:
            for t in target:
                total = sum(probability[s, t] for s in source)
                for s in source:
                    count[s, t] += probability[s, t] / total
        totals = {s: sum(c for (other, _), c in count.items() if other == s) for s, _ in links}
        probability = {(s, t): c / totals[s] for (s, t), c in count.items()}
    return probability


class TestModel:
    @pytest.mark.parametrize("iterations", PUBLISHED)
    def test_the_textbooks_example(self, iterations):
        probabilities = translation_probabilities(*columns(PAIRS), (4, 4), iterations).toarray()
        for link, expected in PUBLISHED[iterations].items():
            assert probabilities[link] == pytest.approx(expected, abs=5e-5)

    @given(st.lists(st.tuples(SENTENCES, SENTENCES), max_size=6), st.integers(0, 4))
    @settings(max_examples=50, deadline=None)
    def test_against_brute_force(self, pairs, iterations):
        probabilities = translation_probabilities(*columns(pairs), (6, 6), iterations).toarray()
        expected = np.zeros((6, 6))
        for link, probability in by_hand(pairs, iterations).items():
            expected[link] = probability
        np.testing.assert_allclose(probabilities, expected, atol=1e-12)

    def test_more_pairs_than_fit_are_thinned_out(self):
        few = translation_probabilities(*columns([PAIRS[0], PAIRS[2]]), (4, 4))
        thinned = translation_probabilities(*columns(PAIRS), (4, 4), max_links=8)
        np.testing.assert_array_equal(thinned.toarray(), few.toarray())


@pytest.fixture
def table():
    """Source token 4 becomes 6 or 8, 5 becomes 7; 9 is the most frequent target token."""
    pairs = [([4], [6]), ([4], [8]), ([5], [7]), ([4], [6]), ([0], [9]), *[([1], [9])] * 5]
    return LexicalTable.learn(*columns(pairs), (6, 12))


class TestTable:
    @pytest.mark.parametrize(
        ("sources", "size", "further", "expected"),
        [
            ([[4]], 1, [], [6, 8, 9]),
            ([[5], [5, 5]], 1, [], [7, 9]),
            ([[5], [4]], 0, [], [6, 7, 8]),
            ([[]], 3, [], [6, 7, 9]),
            ([[5]], 0, [[11, 5], [11]], [5, 7, 11]),
        ],
    )
    def test_it_is_the_union(self, table, sources, size, further, expected):
        sources = [np.array(source, np.int32) for source in sources]
        shortlist = table.shortlist(sources, size, [np.array(tokens) for tokens in further])
        assert shortlist.dtype == np.int32
        assert shortlist.tolist() == [*SPECIAL, *expected]

    def test_all_of_the_vocabulary_is_no_shortlist(self, table):
        assert table.shortlist([np.array([4])], 12) is None

    def test_the_best_come_first(self):
        targets = np.arange(TRANSLATIONS + 5)
        pairs = [([0], [t]) for t in targets for _ in range(t + 1)]
        table = LexicalTable.learn(*columns(pairs), (2, len(targets)))
        assert table.translations[0].tolist() == targets[::-1][:TRANSLATIONS].tolist()
        assert (table.translations[1] == -1).all()

    def test_it_is_saved(self, table, tmp_path):
        table.save(tmp_path / "table.npz")
        loaded = LexicalTable.load(tmp_path / "table.npz", (6, 12))
        np.testing.assert_array_equal(loaded.frequent, table.frequent)
        np.testing.assert_array_equal(loaded.translations, table.translations)
        with pytest.raises(ValueError, match="other vocabularies"):
            LexicalTable.load(tmp_path / "table.npz", (6, 13))


class TestDamage:
    @pytest.mark.parametrize(
        ("frequent", "translations"),
        [
            ([0, 0], [[1]]),
            ([0, 2], [[1]]),
            ([0.0, 1.5], [[1]]),
            ([0, 1], [[2]]),
            ([0, 1], [[-2]]),
            ([0, 1], [1]),
            ([0, 1], [[0.5]]),
            ([[0, 1]], [[1]]),
        ],
    )
    def test_wrong_values(self, tmp_path, frequent, translations):
        arrays = {"frequent": np.array(frequent), "translations": np.array(translations)}
        whole = {n: a.astype(np.int32) if a.dtype.kind == "i" else a for n, a in arrays.items()}
        np.savez(tmp_path / "table.npz", **whole)
        with pytest.raises(ValueError, match="lexical table"):
            LexicalTable.load(tmp_path / "table.npz", (1, 2))

    def test_a_bomb(self, table, tmp_path):
        with zipfile.ZipFile(tmp_path / "table.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("frequent.npy", bytes(10_000_000))
        with pytest.raises(ValueError, match="compressed"):
            LexicalTable.load(tmp_path / "table.npz", (6, 12))

    def test_a_pickle(self, tmp_path):
        np.savez(tmp_path / "table.npz", frequent=np.array([{}]), translations=np.zeros((1, 1)))
        with pytest.raises(ValueError, match="pickle"):
            LexicalTable.load(tmp_path / "table.npz", (1, 1))
