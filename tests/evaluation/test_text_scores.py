import logging
import math
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.errors import UserError
from seq2seq.evaluation.text import METRICS, check_metrics, score_texts

MULTI30K = (
    Path(os.environ.get("SEQ2SEQ_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "multi30k_en_de"
    / "tok"
)
LINES = st.lists(
    st.tuples(*[st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8)] * 2),
    min_size=1,
    max_size=8,
)


def sacrebleu_command(hypotheses, references, folder, *options):
    """The number that sacreBLEU's own command prints for the same two files."""
    paths = [folder / "hypotheses.txt", folder / "references.txt"]
    for path, lines in zip(paths, [hypotheses, references], strict=True):
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", str(paths[1]), "-i", str(paths[0])]
    printed = subprocess.run(
        [*command, *options, "-f", "text", "-w", "6", "--force"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    name_and_signature, rest = printed.strip().split(" = ", 1)
    return float(re.match(r"[\d.]+", rest).group()), name_and_signature.split("|", 1)[1]


def spoil(sentences, share, seed):
    """The sentences with a share of their words shuffled, dropped or repeated."""
    generator = random.Random(seed)
    spoilt = []
    for sentence in sentences:
        words = [word for word in sentence.split() if generator.random() > share]
        if words and generator.random() < share:
            words.insert(generator.randrange(len(words)), generator.choice(words))
        spoilt.append(" ".join(words))
    return spoilt


SENTENCES = [
    "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.",
    "Fünf Leute in Winterjacken und mit Helmen stehen im Schnee.",
    "Leute reparieren das Dach eines Hauses.",
    "Ein hell gekleideter Mann fotografiert eine Gruppe von Männern!",
    "Drei Personen sitzen an einem Picknicktisch vor einem Gebäude.",
]


@pytest.mark.parametrize(
    ("metric", "options", "keywords"),
    [
        ("bleu", ["-m", "bleu"], {}),
        ("bleu", ["-m", "bleu", "--tokenize", "none"], {"bleu_tokenize": "none"}),
        ("bleu", ["-m", "bleu", "--tokenize", "char", "-lc"],
         {"bleu_tokenize": "char", "lowercase": True}),
        ("chrf", ["-m", "chrf"], {}),
        ("chrf++", ["-m", "chrf", "--chrf-word-order", "2"], {}),
        ("ter", ["-m", "ter"], {}),
    ],
)  # fmt: skip
def test_agrees_with_the_sacrebleu_command(metric, options, keywords, tmp_path):
    hypotheses = spoil(SENTENCES, 0.2, seed=1)
    scores = score_texts(hypotheses, SENTENCES, [metric], **keywords)
    value, signature = sacrebleu_command(hypotheses, SENTENCES, tmp_path, *options)
    assert scores.values[metric] == pytest.approx(value, abs=1e-6)
    assert scores.signatures[metric] == signature


@pytest.mark.skipif(not MULTI30K.exists(), reason=f"needs the Multi30k files in {MULTI30K}")
def test_agrees_with_the_sacrebleu_command_on_multi30k(tmp_path, caplog):
    path = MULTI30K / "test_2016_flickr.lc.norm.tok.de"
    references = path.read_text(encoding="utf-8").splitlines()
    hypotheses = spoil(references, 0.15, seed=2)
    with caplog.at_level(logging.WARNING):
        scores = score_texts(hypotheses, references, ["bleu"], bleu_tokenize="none")
    assert not caplog.records  # sacreBLEU warns of tokenized text by default
    value, signature = sacrebleu_command(
        hypotheses, references, tmp_path, "-m", "bleu", "--tokenize", "none"
    )
    assert scores.values["bleu"] == pytest.approx(value, abs=1e-6)
    assert scores.signatures["bleu"] == signature


def test_bleu_by_hand():
    # Matching 1- to 4-grams: 5 of 6, 3 of 5, 2 of 4, 1 of 3. The lengths are equal: no penalty.
    scores = score_texts(["the cat sat on a mat"], ["the cat sat on the mat"], ["bleu"])
    by_hand = 100 * math.exp(sum(map(math.log, [5 / 6, 3 / 5, 2 / 4, 1 / 3])) / 4)
    assert scores.values["bleu"] == pytest.approx(by_hand)


def test_exact_match_counts_whole_texts():
    hypotheses = ["2051-08-07", " 1999-12-31 ", "2000-01-02", "March"]
    references = ["2051-08-07", "1999-12-31", "2000-01-01", "march"]
    assert score_texts(hypotheses, references, ["exact_match"]).values == {"exact_match": 0.5}
    lowercase = score_texts(hypotheses, references, ["exact_match"], lowercase=True)
    assert lowercase.values == {"exact_match": 0.75}
    assert lowercase.signatures == {}


def test_any_of_several_references_will_do():
    hypotheses = ["a b c d e", "f g h i j"]
    references = [["x y z", "a b c d e"], ["f g h i j"]]
    scores = score_texts(hypotheses, references, ["bleu", "chrf", "exact_match"])
    assert scores.values == pytest.approx({"bleu": 100.0, "chrf": 100.0, "exact_match": 1.0})
    assert "nrefs:var" in scores.signatures["bleu"]


@given(LINES)
@settings(max_examples=50, deadline=None)
def test_scores_stay_in_their_range_and_a_copy_is_perfect(lines):
    hypotheses, references = map(list, zip(*lines, strict=True))
    scores = score_texts(hypotheses, references, list(METRICS)).values
    assert 0 <= scores["bleu"] <= 100 + 1e-9
    assert 0 <= scores["chrf"] <= 100 + 1e-9
    assert 0 <= scores["exact_match"] <= 1
    assert scores["ter"] >= 0
    assert score_texts(references, references, ["exact_match"]).values["exact_match"] == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score_texts(["a"], ["a"], ["blue"]), "the nearest is 'bleu'"),
        (lambda: score_texts(["a"], ["a"], ["BLEU"]), "the nearest is 'bleu'"),
        (lambda: score_texts(["a"], ["a"], ["bleu"], bleu_tokenize="13b"), "the nearest is '13a'"),
        (lambda: score_texts(["a"], ["a", "b"]), "1 hypotheses but references for 2 sources"),
        (lambda: score_texts([], []), "nothing to score"),
        (lambda: score_texts(["a", "b"], [["a"], []]), "Source 2 has no reference"),
        (lambda: check_metrics(["exact_match", "accuracy"]), "Unknown text metric 'accuracy'"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=re.escape(message)):
        call()


def test_a_tokenizer_that_cannot_run_here_is_named():
    try:
        import MeCab  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match="'ja-mecab' needs something that is missing"):
            check_metrics(["bleu"], "ja-mecab")
    else:
        check_metrics(["bleu"], "ja-mecab")
