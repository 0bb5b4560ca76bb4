import functools
import json
import random
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from seq2seq.data.tokenizers.tokenizer import END, PAD, START, UNKNOWN, Tokenizer, TokenizerPair
from seq2seq.errors import UserError

TEXTS = [
    "A man in a t-shirt doesn't see the dogs .",
    "Two dogs see a man &amp; his friend &apos;s dog",
    "Ein Mann in einem T-Shirt sieht die Hunde nicht.",
    "Größe, Maße und Straße; 3 Hunde 😀",
    "<pad> </s> <s> <unk> are mere words here",
]
SIZES = {"word": None, "character": None, "bpe": 320, "unigram": 320}
EXACT = ["character", "bpe", "unigram"]
SPECIAL = {PAD, UNKNOWN, START, END}


@pytest.fixture(scope="module")
def fitted():
    return {kind: Tokenizer(kind, size).fit(TEXTS) for kind, size in SIZES.items()}


def _round_trip(tokenizer, text):
    return tokenizer.decode(tokenizer.encode([text]))[0]


@functools.cache
def _normalizing(kind, form):
    """Returns a tokenizer that normalises and one that also lower-cases."""
    return [
        Tokenizer(kind, SIZES[kind], lowercase=lowercase, normalization=form).fit(TEXTS)
        for lowercase in (False, True)
    ]


class TestRoundTrip:
    @pytest.mark.parametrize("kind", EXACT)
    @given(text=st.text())
    @example("")
    @example(" ")
    @example("  a  b ")
    @example("\u00a0a\u202f!\u2028b\u0085\r\n\t")
    @example("日本語 e\u0301 \ufeff\x00\x1f👩‍👩‍👧")
    @example("<pad></s><s>< pad >< end ><0x41>▁Ġ")
    def test_exact_for_any_text(self, fitted, kind, text):
        assert _round_trip(fitted[kind], text) == text

    @given(
        words=st.lists(
            st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1),
            min_size=1,
        ),
        space=st.sampled_from([" ", "  ", "\n", "\t\u00a0"]),
    )
    def test_words_up_to_white_space(self, words, space):
        text = space.join(words)
        tokenizer = Tokenizer("word").fit([text])
        assert _round_trip(tokenizer, text) == " ".join(words)

    @pytest.mark.parametrize("kind", EXACT)
    @pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
    @given(text=st.text(st.sampled_from("aAéÉﬁǅΣΐẞİ\u0301\u0327각ｱ２ ")))
    def test_exact_on_the_normalised_text(self, kind, form, text):
        plain, lower = _normalizing(kind, form)
        assert _round_trip(plain, text) == unicodedata.normalize(form, text)
        assert _round_trip(lower, text) == lower.normalize(text)
        lowered = "".join(character.lower() for character in unicodedata.normalize(form, text))
        assert lower.normalize(text) == lowered

    @pytest.mark.parametrize("kind", EXACT)
    def test_real_text(self, real_data, kind):
        lines = []
        for name in ("multi30k_en_de/raw/val.de", "small_en_ja/dev.ja", "fra_eng/fra.txt"):
            lines += (real_data / name).read_text(encoding="utf-8").split("\n")[-500:]
        tokenizer = Tokenizer(kind, SIZES[kind] and 1000).fit(lines[:1000])
        assert tokenizer.decode(tokenizer.encode(lines)) == lines
        assert kind == "character" or tokenizer.size == 1000


class TestIds:
    @pytest.mark.parametrize("kind", SIZES)
    @given(text=st.one_of(st.text(), st.sampled_from(["<pad>", "</s>", "< pad >", "< end >"])))
    def test_no_text_becomes_a_special_id(self, fitted, kind, text):
        ids = set(fitted[kind].encode([text])[0].tolist())
        assert not ids & (SPECIAL - {UNKNOWN} if kind == "word" else SPECIAL)

    @pytest.mark.parametrize("kind", SIZES)
    def test_are_int32_and_below_size(self, fitted, kind):
        tokenizer = fitted[kind]
        for ids in tokenizer.encode([*TEXTS, ""]):
            assert ids.dtype == np.int32
            assert ids.ndim == 1
            assert all(ids < tokenizer.size)

    def test_words(self):
        tokenizer = Tokenizer("word").fit(["b a b", "c\u00a0b"])
        assert tokenizer.size == 4 + 3
        assert tokenizer.encode(["a b  c d", ""])[0].tolist() == [5, 4, 6, UNKNOWN]
        assert tokenizer.decode([[START, 4, UNKNOWN, 5, END, PAD]]) == ["b <unk> a"]

    def test_characters_by_frequency_behind_the_bytes(self):
        tokenizer = Tokenizer("character").fit(["bba", "cb"])
        assert tokenizer.size == 4 + 256 + 3
        assert tokenizer.encode(["abcd"])[0].tolist() == [261, 260, 262, 4 + ord("d")]

    def test_many_texts_encode_as_few(self, fitted):
        for tokenizer in fitted.values():
            many = tokenizer.encode(TEXTS * 40)
            few = [tokenizer.encode([text])[0] for text in TEXTS] * 40
            assert [ids.tolist() for ids in many] == [ids.tolist() for ids in few]


class TestPieces:
    def test_subwords_stay_within_words(self, real_data):
        directory = real_data / "multi30k_en_de" / "tok"
        lines = (directory / "val.lc.norm.tok.en").read_text(encoding="utf-8").split("\n")
        tokenizer = Tokenizer("bpe", 3000).fit(lines)
        vocabulary = tokenizer.pieces(range(4, tokenizer.size))
        assert not [piece for piece in vocabulary if "▁" in piece.strip("▁")]
        assert "▁man" in vocabulary
        assert "▁&apos;s" in vocabulary
        assert tokenizer.pieces(tokenizer.encode(["a man , don't"])[0])[:3] == ["▁a", "▁man", "▁,"]

    def test_punctuation_is_a_piece_of_its_own_in_raw_text(self):
        tokenizer = Tokenizer("bpe", 400).fit(["dogs. dogs, dogs!"] * 10)
        pieces = tokenizer.pieces(tokenizer.encode(["dogs. dogs, dogs!"])[0])
        assert pieces == ["▁dogs", ".", "▁dogs", ",", "▁dogs", "!"]

    def test_names_of_special_ids_and_bytes(self, fitted):
        assert fitted["word"].pieces(range(4)) == ["<pad>", "<unk>", "<s>", "</s>"]
        character = fitted["character"]
        assert character.pieces(character.encode(["n 日"])[0]) == [
            "n",
            "▁",
            "<0xE6>",
            "<0x97>",
            "<0xA5>",
        ]

    def test_bytes_that_are_no_utf8_decode_to_the_replacement_character(self, fitted):
        assert fitted["character"].decode([[4 + 0xFF, 4 + ord("a")]]) == ["\ufffda"]


class TestFit:
    @pytest.mark.parametrize(("kind", "size"), SIZES.items())
    @pytest.mark.parametrize("seed", range(3))
    def test_does_not_depend_on_the_order_of_the_texts(self, kind, size, seed):
        shuffled = random.Random(seed).sample(TEXTS, len(TEXTS))
        assert Tokenizer(kind, size).fit(shuffled).fingerprint == (
            Tokenizer(kind, size).fit(iter(TEXTS)).fingerprint
        )

    def test_is_the_same_in_another_process(self, real_data):
        path = real_data / "multi30k_en_de" / "raw" / "val.de"
        sizes = {"word": 2000, "character": 300, "bpe": 2000, "unigram": 2000}
        program = (
            "import random, sys; from seq2seq.data.tokenizers.tokenizer import Tokenizer\n"
            f"texts = open({str(path)!r}, encoding='utf-8').read().split('\\n')\n"
            "random.shuffle(texts)\n"
            f"for kind, size in {sizes}.items():\n"
            "    print(Tokenizer(kind, size).fit(texts).fingerprint)"
        )
        command = [sys.executable, "-c", program]
        first, second = (
            subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)
        )
        assert first.stdout.split() == second.stdout.split()
        assert len(first.stdout.split()) == 4
        assert first.stderr == ""

    @pytest.mark.parametrize(("kind", "size"), [("word", 10), ("bpe", 300), ("unigram", 300)])
    def test_vocabulary_size_includes_the_special_ids(self, kind, size):
        tokenizer = Tokenizer(kind, size).fit(TEXTS)
        # So few texts have no 40 pieces that a unigram model would keep.
        assert tokenizer.size <= size if kind == "unigram" else tokenizer.size == size
        assert max(ids.max() for ids in tokenizer.encode(TEXTS)) < size

    def test_minimum_frequency(self):
        tokenizer = Tokenizer("word", minimum_frequency=2).fit(["a b a", "c b"])
        assert tokenizer.pieces(range(4, tokenizer.size)) == ["a", "b"]

    @pytest.mark.parametrize("kind", SIZES)
    @pytest.mark.parametrize("texts", [[], ["", ""]])
    def test_nothing_to_learn(self, kind, texts):
        with pytest.raises(UserError, match="nothing to learn"):
            Tokenizer(kind, SIZES[kind]).fit(texts)

    def test_before_fit(self):
        with pytest.raises(RuntimeError, match="no vocabulary yet"):
            Tokenizer("word").encode(["a"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "words"}, r"tokenizer\.kind=words is not one of word, character"),
        ({"kind": "word", "normalization": "nfc"}, r"tokenizer\.normalization=nfc .*NFC"),
        ({"kind": "bpe"}, r"tokenizer\.vocabulary_size is needed"),
        ({"kind": "bpe", "vocabulary_size": 260}, r"vocabulary_size=260 is too small .*261"),
        ({"kind": "character", "vocabulary_size": 100}, r"vocabulary_size=100 is too small"),
        ({"kind": "word", "vocabulary_size": 4}, r"vocabulary_size=4 is too small .*5"),
        ({"kind": "word", "minimum_frequency": 0}, r"minimum_frequency=0 is below 1"),
        (
            {"kind": "unigram", "vocabulary_size": 500, "minimum_frequency": 2},
            "cannot be set for the kind unigram",
        ),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(UserError, match=message):
        Tokenizer(**settings)


class TestFiles:
    @pytest.mark.parametrize("kind", SIZES)
    def test_loads_what_was_saved(self, fitted, kind, tmp_path):
        fitted[kind].save(tmp_path / "t.json")
        loaded = Tokenizer.load(tmp_path / "t.json")
        assert loaded.settings == fitted[kind].settings
        assert loaded.fingerprint == fitted[kind].fingerprint
        ids = fitted[kind].encode(TEXTS)
        assert [row.tolist() for row in loaded.encode(TEXTS)] == [row.tolist() for row in ids]
        assert loaded.decode(ids) == fitted[kind].decode(ids)

    def test_missing_damaged_and_newer(self, fitted, tmp_path):
        path = tmp_path / "t.json"
        with pytest.raises(UserError, match="no tokenizer"):
            Tokenizer.load(path)
        fitted["bpe"].save(path)
        content = json.loads(path.read_text())
        for change in ({"format_version": 2}, {"settings": {}}, {"tokenizer": {"model": 1}}):
            path.write_text(json.dumps(content | change))
            with pytest.raises(
                UserError, match="newer version" if "format_version" in change else "damaged"
            ):
                Tokenizer.load(path)
        path.write_text("{")
        with pytest.raises(UserError, match="damaged"):
            Tokenizer.load(path)


class TestPair:
    def test_joint_is_one_vocabulary_of_both_sides(self, tmp_path):
        pair = TokenizerPair(Tokenizer("bpe", 300), Tokenizer("bpe", 300), joint=True)
        pair.fit(["hello hello"], ["hallo hallo"])
        assert pair.source is pair.target
        pair.save(tmp_path)
        loaded = TokenizerPair.load(tmp_path)
        assert loaded.joint
        assert loaded.source is loaded.target
        assert loaded.source.fingerprint == pair.source.fingerprint

    def test_separate(self, tmp_path):
        pair = TokenizerPair(Tokenizer("word"), Tokenizer("character")).fit(["hello"], ["hallo"])
        pair.save(tmp_path)
        loaded = TokenizerPair.load(tmp_path)
        assert not loaded.joint
        assert loaded.source.pieces([4]) == ["hello"]
        assert loaded.target.settings["kind"] == "character"

    def test_joint_needs_the_same_settings(self):
        with pytest.raises(UserError, match=r"different are vocabulary_size \(300 and 301\)"):
            TokenizerPair(Tokenizer("bpe", 300), Tokenizer("bpe", 301), joint=True)

    @pytest.mark.parametrize("kind", SIZES)
    def test_the_config_is_the_constructor(self, request, kind):
        config = OmegaConf.load(request.config.rootpath / "conf" / "tokenizer" / f"{kind}.yaml")
        pair = instantiate(config)
        assert pair.source.settings["kind"] == pair.target.settings["kind"] == kind
        assert pair.joint == (kind in ("bpe", "unigram"))


FOREIGN_PARTS = [
    lambda c: c["tokenizer"].update(normalizer={"type": "Prepend", "prepend": "x" * 10**6}),
    lambda c: c["tokenizer"].update(pre_tokenizer={"type": "Whitespace"}),
    lambda c: c["tokenizer"].update(added_tokens=[{"id": 9, "content": "a", "special": True}]),
    lambda c: c["tokenizer"].update(truncation={"max_length": 1}),
    lambda c: c["tokenizer"].pop("model"),
    lambda c: c["tokenizer"]["model"].update(type="WordPiece"),
    lambda c: c["tokenizer"]["model"].update(vocab={}),
    lambda c: c["tokenizer"]["model"].update(vocab=None),
    lambda c: c["tokenizer"]["model"].update(vocab="abc"),
    lambda c: c.update(tokenizer=[]),
    lambda c: c.update(settings=None),
    lambda c: c["settings"].update(kind=["word"]),
    lambda c: c["settings"].update(vocabulary_size="many"),
    lambda c: c["settings"].update(lowercase=not c["settings"]["lowercase"]),
    lambda c: c["settings"].update(other=1),
    lambda c: c.update(format_version="x"),
    lambda c: c.pop("settings"),
]


@pytest.mark.parametrize("change", range(len(FOREIGN_PARTS)))
@pytest.mark.parametrize("kind", ["word", "character", "bpe", "unigram"])
def test_a_file_that_is_no_tokenizer_of_its_kind_is_damaged(tmp_path, kind, change):
    path = tmp_path / "t.json"
    size = 300 if kind in ("bpe", "unigram") else None
    Tokenizer(kind, size).fit(["one two three", "two three four"]).save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    FOREIGN_PARTS[change](content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError) as raised:
        Tokenizer.load(path)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    "change",
    [
        lambda vocab: vocab.pop("< unknown >"),
        lambda vocab: vocab.update(one=10**12),
        lambda vocab: vocab.update(one=-1),
        lambda vocab: vocab.update(one=2),
        lambda vocab: vocab.update(new="7"),
        lambda vocab: vocab.update({"< pad >": 1, "< unknown >": 0}),
    ],
)
def test_bad_ids_and_pieces(tmp_path, change):
    path = tmp_path / "t.json"
    Tokenizer("word").fit(["one two three"]).save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content["tokenizer"]["model"]["vocab"])
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="is damaged"):
        Tokenizer.load(path)


class TestFitOnce:
    @pytest.fixture(autouse=True)
    def cache(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        return tmp_path / "seq2seq" / "tokenizers"

    @pytest.mark.parametrize("kind", SIZES)
    def test_the_second_time_reads_no_text(self, kind, fitted):
        for texts in (lambda: TEXTS, lambda: pytest.fail("texts are read again")):
            tokenizer = Tokenizer(kind, SIZES[kind])
            assert tokenizer.fit_once("content", texts) is tokenizer
            assert tokenizer.fingerprint == fitted[kind].fingerprint

    def test_other_texts_and_settings_are_fitted_anew(self, cache):
        for content, settings in [("a", {}), ("b", {}), ("a", {"lowercase": True})]:
            Tokenizer("word", **settings).fit_once(content, lambda: TEXTS)
        assert len(list(cache.iterdir())) == 3

    def test_nothing_is_cached_of_texts_without_content(self, cache):
        with pytest.raises(UserError, match="nothing to learn"):
            Tokenizer("word").fit_once("content", lambda: [])
        assert not list(cache.iterdir())

    def test_a_damaged_file_is_written_again(self, cache):
        Tokenizer("word").fit_once("content", lambda: TEXTS)
        [path] = cache.glob("*/tokenizer.json")
        path.write_text("{}")
        tokenizer = Tokenizer("word").fit_once("content", lambda: TEXTS)
        assert tokenizer.fingerprint == Tokenizer("word").fit(TEXTS).fingerprint

    @pytest.mark.parametrize("joint", [False, True])
    def test_both_sides(self, joint):
        sides = {"source": ["a b c"], "target": ["d e"]}
        for texts in (sides.__getitem__, lambda side: pytest.fail("texts are read again")):
            pair = TokenizerPair(Tokenizer("word"), Tokenizer("word"), joint)
            pair.fit_once("content", texts)
            expected = TokenizerPair(Tokenizer("word"), Tokenizer("word"), joint).fit(
                *sides.values()
            )
            assert pair.source.fingerprint == expected.source.fingerprint
            assert pair.target.fingerprint == expected.target.fingerprint
