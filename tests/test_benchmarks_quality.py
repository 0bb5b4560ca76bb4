"""The benchmark of time to quality: its curves and trials, and the peers that are installed."""

import numpy as np
import pytest

from benchmarks import multi30k as files
from benchmarks import quality
from benchmarks.environments import EOLE, JOEYNMT, PYMARIAN, TORCH, cache_directory
from benchmarks.learners import LEARNERS, Task
from benchmarks.plots import quality_plot
from benchmarks.trials import Trial, drawn
from benchmarks.works import WORKS, Work

TINY = Work("tiny", units=4, attention=True, embedding=8, vocabulary=300, outputs=300, batch_size=8)
CURVES = {
    "seq2seq": [{"minutes": 2.0, "bleu": 30.0}, {"minutes": 4.0, "bleu": 35.04}],
    "torch_tuned": [{"minutes": 3.0, "bleu": 20.0}, {"minutes": 9.0, "bleu": 34.0}],
}


ENVIRONMENTS = {
    "torch_tuned": f"torch-{TORCH}",
    "joeynmt_tuned": f"joeynmt-{JOEYNMT}-torch-{TORCH}",
    "eole_tuned": f"eole-{EOLE}",
    "marian": f"pymarian-{PYMARIAN}",
}


def test_what_was_reached_is_told_with_its_time():
    found = {name: quality.result([(None, points)]) for name, points in CURVES.items()}
    assert quality.table(found).splitlines()[2:] == [
        "| seq2seq | 2.0 | 4.0 | – | – | 35.0 after 4.0 minutes |",
        "| torch_tuned | 9.0 | – | – | – | 34.0 after 9.0 minutes |",
    ]


def test_trials_are_chosen_on_the_validation_set():
    first, second, third = drawn(3)
    assert first == Trial()
    assert len({first, second, third}) == 3
    assert drawn(3) == [first, second, third]
    fast = [{"minutes": 1.0, "bleu": 31.0}, {"minutes": 2.0, "bleu": 32.0}]
    good = [{"minutes": 3.0, "bleu": 33.0}, {"minutes": 6.0, "bleu": 36.0}]
    curves = {first: [{"minutes": 1.0, "bleu": 9.0}], second: fast, third: good}
    asked = []

    def learn(trial, split):
        asked.append((trial, split))
        return curves[trial]

    tested = quality.tested("program", learn, 3)
    assert asked[3:] == [(third, "test"), (second, "test")]
    found = quality.result(tested)
    assert found["minutes_to"] == {"30": 1.0, "35": 6.0, "37": None, "39": None}
    assert found["curve"] == good


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
    for split, stem in files.FILES.items():
        lines = [
            " ".join(random.choice(words, size=random.integers(1, 7)))
            for _ in range(40 if split == "train" else 5)
        ]
        for side in files.SIDES:
            text = "\n".join(lines) + "\n"
            (folder / f"{stem}.lc.norm.tok.{side}").write_text(text, encoding="utf-8")
    monkeypatch.setenv("SEQ2SEQ_DATA", str(tmp_path))


@pytest.mark.usefixtures("multi30k")
def test_ours_is_scored_on_the_test_set_after_each_epoch():
    small = ("model.embedding_dim=8", "model.encoder.units=4", "model.decoder.units=8")
    overrides = (*small, "trainer.epochs=2", "tokenizer.source.vocabulary_size=300")
    points = LEARNERS["seq2seq"](Task(files.read_texts(), "test", 2, None, overrides))
    assert len(points) == 2
    assert 0 < points[0]["minutes"] < points[1]["minutes"]
    assert all(0 <= point["bleu"] <= 100 for point in points)


@pytest.mark.usefixtures("multi30k")
@pytest.mark.parametrize(("name", "folder"), ENVIRONMENTS.items())
def test_peers_learn_and_translate_where_they_are_installed(name, folder, monkeypatch):
    if not (cache_directory() / folder / "installed").exists():
        pytest.skip(f"{folder} is not installed")
    monkeypatch.setitem(WORKS, "A", TINY)
    trial = Trial(embedding=8, units=4)
    points = LEARNERS[name](Task(files.read_texts(), "test", 2, trial))
    assert len(points) == 2
    assert 0 < points[0]["minutes"] < points[1]["minutes"]


def test_a_perfect_translation_has_a_bleu_of_100():
    assert files.bleu(["a b c d e"], ["a b c d e"]) == pytest.approx(100)
