"""The benchmark of time to quality: its curves, and PyTorch's learner where it is installed."""

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.environments import TORCH, cache_directory
from benchmarks.plots import quality_plot
from benchmarks.works import Work

TINY = Work("tiny", units=4, attention=True, embedding=8, vocabulary=300, outputs=300, batch_size=8)
CURVES = {
    "seq2seq": [{"minutes": 2.0, "bleu": 30.0}, {"minutes": 4.0, "bleu": 35.04}],
    "torch_tuned": [{"minutes": 3.0, "bleu": 20.0}, {"minutes": 9.0, "bleu": 34.0}],
}


def test_what_was_reached_is_told_with_its_time():
    assert quality.table(CURVES).splitlines()[2:] == [
        "| seq2seq | 4.0 minutes | 35.0 after 4.0 minutes |",
        "| torch_tuned | not reached | 34.0 after 9.0 minutes |",
    ]


def test_a_curve_a_program_and_the_goal():
    [axes] = quality_plot(CURVES, quality.GOAL).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn["torch_tuned"] == [[3.0, 20.0], [9.0, 34.0]]
    assert drawn["goal"] == [[6.0, 35.0]]


@pytest.fixture
def multi30k(tmp_path, monkeypatch):
    folder = tmp_path / "multi30k_en_de" / "tok"
    folder.mkdir(parents=True)
    words = ["ein", "hund", "läuft", "über", "die", "wiese"]
    random = np.random.default_rng(0)
    for split, stem in quality.FILES.items():
        lines = [
            " ".join(random.choice(words, size=random.integers(1, 7)))
            for _ in range(40 if split == "train" else 5)
        ]
        for side in quality.SIDES:
            text = "\n".join(lines) + "\n"
            (folder / f"{stem}.lc.norm.tok.{side}").write_text(text, encoding="utf-8")
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))


@pytest.mark.usefixtures("multi30k")
def test_ours_is_scored_on_the_test_set_after_each_epoch():
    small = ("model.embedding_dim=8", "model.encoder.units=4", "model.decoder.units=8")
    points = quality.ours([*small, "trainer.epochs=2", "tokenizer.source.vocabulary_size=300"])
    assert len(points) == 2
    assert 0 < points[0]["minutes"] < points[1]["minutes"]
    assert all(0 <= point["bleu"] <= 100 for point in points)


@pytest.mark.usefixtures("multi30k")
def test_pytorch_learns_and_translates_where_it_is_installed(monkeypatch):
    if not (cache_directory() / f"torch-{TORCH}" / "installed").exists():
        pytest.skip("PyTorch is not installed")
    monkeypatch.setitem(quality.WORKS, "A", TINY)
    points = quality.plain_torch(quality.read_texts(), epochs=2)
    assert len(points) == 2
    assert 0 < points[0]["minutes"] < points[1]["minutes"]


def test_a_perfect_translation_has_a_bleu_of_100():
    assert quality.bleu(["a b c d e"], ["a b c d e"]) == pytest.approx(100)
