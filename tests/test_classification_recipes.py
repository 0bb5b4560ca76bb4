"""The objects of every classification recipe are built, on a handful of records."""

import json

import pytest
from omegaconf import OmegaConf

from seq2seq.config import build, composed, recipe_files, register_recipe
from seq2seq.data.formats.json_lines import LabelledJsonl
from seq2seq.tasks.model_folder import build_task

RECORDS = [
    {"text": "a man rides a horse .", "text2": "a horse is ridden", "label": "1"},
    {"text": "two dogs play in the snow .", "text2": "cats sleep", "label": "2"},
    {"text": "Frankreich", "text2": "France", "label": "1"},
]
SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("name", [n for n in recipe_files() if n.startswith("classification/")])
def test_recipe(name, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = composed([f"recipe={register_recipe(name)}", "tracking=none"])
    labels = list(config.task.label_names or ("1", "2"))  # those that the recipe's data have
    records = [{**each, "label": str(labels[int(each["label"]) - 1])} for each in RECORDS]
    (tmp_path / "all").write_text("".join(json.dumps(record) + "\n" for record in records))
    fields = {field: field for field in RECORDS[0]}
    data = LabelledJsonl(str(tmp_path), dict.fromkeys(SPLITS, "all"), fields)
    for part in ("data", "optimizer", "trainer", "tracking"):
        build(config, part)
    if OmegaConf.select(config, "tokenizer.vocabulary_size"):
        config.tokenizer.vocabulary_size = 300  # so few texts have few tokens
    task = build_task(config)
    task.prepare(data, seed=1)
    model = build(config, "model", **task.model_arguments())
    evaluation = task.evaluate(model, records)
    assert [row["source"] for row in evaluation.rows] == [each["text"] for each in RECORDS]
    assert all(row["score"] < 0 for row in evaluation.rows)
