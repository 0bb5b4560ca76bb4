import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.data import token_store
from seq2seq.data.records import PlacedRecord
from seq2seq.data.token_store import ColumnSpec, TokenStore, report_shared_inputs, shared_inputs
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.errors import UserError


class Letters:
    """Encodes each letter as its code point."""

    fingerprint = "letters"

    def encode(self, texts):
        return [np.array([ord(letter) for letter in text], dtype=np.int32) for text in texts]


LETTERS = {"source": ColumnSpec("en", Letters()), "target": ColumnSpec("de", Letters())}


def _records(*pairs):
    return [{"en": english, "de": german} for english, german in pairs]


def _store(path, records, columns=LETTERS):
    return TokenStore.cached("fingerprint", lambda: records, columns, path)


def _padded_one_by_one(texts):
    width = max(map(len, texts), default=0)
    return [[ord(letter) for letter in text] + [0] * (width - len(text)) for text in texts]


words = st.text("abcdefgh", min_size=1, max_size=9)


@given(pairs=st.lists(st.tuples(words, words), min_size=1, max_size=30), data=st.data())
def test_padded_rows_equal_those_padded_one_by_one(tmp_path_factory, pairs, data):
    store = _store(tmp_path_factory.mktemp("store"), _records(*pairs))
    rows = np.array(data.draw(st.lists(st.integers(0, len(pairs) - 1), min_size=1)))
    for number, column in enumerate(("source", "target")):
        texts = [pairs[row][number] for row in rows]
        ids, lengths = store.padded(column, rows)
        assert ids.tolist() == _padded_one_by_one(texts)
        assert lengths.tolist() == [len(text) for text in texts]
        assert ids.dtype == lengths.dtype == np.int32
        assert store.lengths[rows, number].tolist() == lengths.tolist()


def test_no_rows_are_padded_to_nothing(tmp_path):
    ids, lengths = _store(tmp_path, _records(("a", "b"))).padded("source", np.array([], int))
    assert ids.shape == (0, 0)
    assert lengths.shape == (0,)


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_chunks_do_not_change_the_result(tmp_path, monkeypatch, chunk):
    records = _records(*[("a" * (1 + i % 5), "b" * (1 + i % 7)) for i in range(20)], ("", "x"))
    whole = _store(tmp_path / "whole", records)
    monkeypatch.setattr(token_store, "_CHUNK", chunk)
    parts = _store(tmp_path / "parts", iter(records))
    for column in ("source", "target"):
        assert np.array_equal(whole.columns[column].tokens, parts.columns[column].tokens)
        assert np.array_equal(whole.columns[column].offsets, parts.columns[column].offsets)
    assert np.array_equal(whole.hashes, parts.hashes)
    assert whole.report == parts.report


def test_records_left_out_are_reported(tmp_path):
    columns = {
        "source": ColumnSpec("en", Letters(), maximum_length=3),
        "target": ColumnSpec("de", Letters()),
    }
    pairs = [("abc", "x"), ("", "x"), ("abcd", "x"), ("a", ""), ("a", " \u00a0"), ("ab", "long")]
    store = _store(tmp_path, _records(*pairs), columns)
    assert len(store) == 2
    report = store.report
    assert (report.records, report.rows) == (6, 2)
    assert report.left_out == {"empty": 3, "too long": 1}
    assert report.places == {
        "empty": ["record 2", "record 4", "record 5"],
        "too long": ["record 3"],
    }
    assert str(report) == (
        "2 of 6 records kept; 3 empty (record 2, record 4, record 5); 1 too long (record 3)"
    )


def test_the_first_places_of_records_left_out_are_shown(tmp_path):
    records = [
        PlacedRecord({"en": text, "de": "x"}, f"f.tsv:{n}") for n, text in enumerate("a" * 9)
    ]
    for record in records[1:]:
        record["en"] = ""
    columns = {"source": ColumnSpec("en", Letters(), empty="without English")}
    report = _store(tmp_path, records, columns).report
    assert str(report) == (
        "1 of 9 records kept; 8 without English (f.tsv:1, f.tsv:2, f.tsv:3, f.tsv:4, f.tsv:5, ...)"
    )


def test_nothing_left(tmp_path):
    with pytest.raises(UserError, match="No record is left to use: 0 of 2 records kept; 2 empty"):
        _store(tmp_path, _records(("", "x"), ("x", "")))
    assert list(tmp_path.iterdir()) == []


def test_a_number_where_a_text_is_needed(tmp_path):
    columns = {"source": ColumnSpec("en", Tokenizer("character").fit(["ab"]))}
    records = [PlacedRecord({"en": value}, f"f:{n}") for n, value in enumerate(["a", 5], start=1)]
    with pytest.raises(UserError, match="f:2: the field 'en' needs a text, not 5"):
        _store(tmp_path, records, columns)


def test_a_missing_field(tmp_path):
    with pytest.raises(UserError, match=r"column target needs the field 'de'; .* have en, fr"):
        _store(tmp_path, [{"en": "a", "fr": "b"}])


def test_hashes_depend_on_content_and_not_on_place(tmp_path):
    records = _records(("a", "b"), ("b", "a"), ("ab", "c"), ("a", "bc"), ("a", "b"))
    store = _store(tmp_path / "a", records)
    backwards = _store(tmp_path / "b", records[::-1])
    assert store.hashes.tolist() == backwards.hashes[::-1].tolist()
    assert len(set(store.hashes.tolist())) == 4
    assert store.hashes.dtype == np.uint64


class TestCache:
    RECORDS = _records(("a", "b"))

    def _build_count(self, path, *calls):
        built = []

        def records():
            built.append(1)
            return self.RECORDS

        for fingerprint, columns in calls:
            TokenStore.cached(fingerprint, records, columns, path)
        return len(built)

    def test_a_second_use_builds_nothing(self, tmp_path):
        assert self._build_count(tmp_path, ("x", LETTERS), ("x", LETTERS)) == 1

    def test_other_data_tokenizers_fields_or_limits_build_anew(self, tmp_path):
        source, target = LETTERS["source"], LETTERS["target"]
        tokenizer = Tokenizer("character").fit(["ab"])
        others = [
            {"source": source, "target": ColumnSpec("en", Letters())},
            {"source": source, "other": target},
            {"source": source, "target": ColumnSpec("de", Letters(), 5)},
            {"source": source, "target": ColumnSpec("de", tokenizer)},
        ]
        calls = [("x", LETTERS), ("y", LETTERS), *(("x", columns) for columns in others)]
        assert self._build_count(tmp_path, *calls) == len(calls)

    def test_lies_in_the_cache_folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        self._build_count(None, ("x", LETTERS))
        assert len(list((tmp_path / "seq2seq" / "tokens").iterdir())) == 1

    @pytest.mark.parametrize(
        "file", ["store.json", "hashes", "input_hashes", "source.tokens", "target.offsets"]
    )
    @pytest.mark.parametrize("damage", ["empty", "cut", "longer", "flipped", "removed"])
    def test_what_is_damaged_is_made_anew(self, tmp_path, caplog, file, damage):
        self._build_count(tmp_path, ("x", LETTERS))
        (folder,) = tmp_path.iterdir()
        path = folder / file
        content = path.read_bytes()
        flipped = content[:-1] + bytes([content[-1] ^ 64])
        cut = content[: -min(8, len(content) - 1)]
        changed = {"empty": b"", "cut": cut, "longer": content + b"12345678", "flipped": flipped}
        path.unlink()
        if damage != "removed":
            path.write_bytes(changed[damage])
        assert self._build_count(tmp_path, ("x", LETTERS), ("x", LETTERS)) == 1
        assert path.read_bytes() == content
        [line] = caplog.messages
        assert f"{folder} is damaged ({file}) and made anew" in line

    def test_a_folder_that_is_no_store(self, tmp_path):
        with pytest.raises(UserError, match="are damaged"):
            TokenStore(tmp_path)


def test_inputs_that_stand_in_two_splits_are_counted(tmp_path, caplog):
    splits = {
        "train": (("a", "x"), ("b", "x"), ("a", "y"), ("c", "x")),
        "validation": (("a", "z"), ("d", "x"), ("b", "x"), ("b", "y")),
        "test": (("d", "q"), ("e", "x")),
    }
    columns = {**LETTERS, "target": LETTERS["target"]._replace(is_target=True)}
    stores = {
        name: _store(tmp_path / name, _records(*pairs), columns) for name, pairs in splits.items()
    }
    sources = {name: [source for source, _ in pairs] for name, pairs in splits.items()}
    assert shared_inputs(stores) == {
        (later, earlier): sum(source in sources[earlier] for source in sources[later])
        for earlier, later in (("train", "validation"), ("train", "test"), ("validation", "test"))
    }
    report_shared_inputs(stores)
    assert caplog.messages == [
        "inputs in two splits: 3 of 4 of validation stand in train; 1 of 2 of test stand in "
        "validation"
    ]
    report_shared_inputs({"train": stores["train"]})
    assert len(caplog.messages) == 1
