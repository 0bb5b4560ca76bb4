"""Every recipe's objects are built, on a handful of records in place of its data."""

import pytest
from omegaconf import OmegaConf

from seq2seq.config import build, composed, recipe_files, register_recipe
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.tasks.model_folder import build_task

PAIRS = [
    ("a man rides a horse .", "ein mann reitet ein pferd ."),
    ("two dogs play in the snow .", "zwei hunde spielen im schnee ."),
    ("3. Februar 1973", "1973-02-03"),
]


@pytest.fixture
def few_records(tmp_path):
    for number, side in enumerate(("source", "target")):
        text = "".join(f"{pair[number]}\n" for pair in PAIRS)
        (tmp_path / side).write_text(text)
    splits = ("train", "validation", "test")
    return ParallelText(
        str(tmp_path), dict.fromkeys(splits, "source"), dict.fromkeys(splits, "target")
    )


@pytest.mark.parametrize(
    "name", [n for n in recipe_files() if n.startswith(("translation/", "transduction/"))]
)
def test_recipe(name, few_records, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = composed([f"recipe={register_recipe(name)}", "tracking=none"])
    for part in ("data", "optimizer", "trainer", "tracking"):
        build(config, part)
    for side in ("source", "target"):  # so few texts have few tokens
        tokenizer = config.tokenizer[side]
        if OmegaConf.select(tokenizer, "vocabulary_size"):
            tokenizer.vocabulary_size = 300
        if tokenizer.kind == "character":
            tokenizer.minimum_frequency = 1
    task = build_task(config)
    task.prepare(few_records, seed=1)
    model = build(config, "model", **task.model_arguments())
    rows = task.predict(model, [source for source, _ in PAIRS])
    assert [row["source"] for row in rows] == [source for source, _ in PAIRS]
    assert all(row["score"] < 0 for row in rows)
