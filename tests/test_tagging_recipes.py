"""Every tagging recipe's objects are built, on a handful of sentences in place of its data."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seq2seq.config import build, composed, recipe_files, register_recipe
from seq2seq.data.formats.json_lines import TaggedJsonl
from seq2seq.tasks.model_folder import build_task

SENTENCES = [
    {"tokens": ["Ann", "lives", "in", "New", "York"], "labels": ["B-P", "O", "O", "B-L", "I-L"]},
    {"tokens": ["<fr>", "08", "/", "2051"], "labels": ["O", "O", "O", "O"]},
]
TAGGING = [name for name in recipe_files() if name.startswith("tagging/")]


@pytest.mark.parametrize("name", TAGGING)
def test_recipe(name, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").write_text("".join(f"{json.dumps(each)}\n" for each in SENTENCES))
    config = composed([f"recipe={register_recipe(name)}", "tracking=none"])
    for part in ("data", "optimizer", "trainer", "tracking"):
        build(config, part)
    task = build_task(config)
    task.check_model(build(config, "model", **task.example_arguments))
    files = dict.fromkeys(("train", "validation", "test"), "data")
    data = TaggedJsonl(str(tmp_path), files, {"tokens": "tokens", "labels": "labels"})
    task.prepare(data, seed=1)
    model = build(config, "model", **task.model_arguments())
    evaluation = task.evaluate(model, SENTENCES)
    assert [row["tokens"] for row in evaluation.rows] == [each["tokens"] for each in SENTENCES]
    assert ("f1" in evaluation.scores) == (task.labels.scheme is not None)


def test_conll_2003_from_files_as_they_were_published(tmp_path):
    (tmp_path / "eng.train").write_text("-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\n\n")
    recipe = register_recipe("tagging/conll2003")
    config = composed(
        [
            f"recipe={recipe}",
            "data=conll",
            f"data.directory={tmp_path}",
            "data.files.train=eng.train",
            "data.files.validation=eng.testa",
            "data.files.test=eng.testb",
            "task.scheme=IOB1",
        ]
    )
    records = list(build(config, "data").records("train"))
    assert records == [{"tokens": ["EU"], "labels": ["I-ORG"]}]
    assert build_task(config).labels.trained(["I-ORG"]) == ["S-ORG"]


def test_the_local_recipes_read_their_files():
    for name in ("ud_english", "wnut17"):
        config = composed([f"recipe={register_recipe(f'tagging/{name}')}"])
        if not Path(config.data.directory).is_dir():
            pytest.skip(f"there is no {config.data.directory}")
        data = build(config, "data")
        counts = {split: sum(1 for _ in data.records(split)) for split in data.split_names}
        expected = {
            "ud_english": {"train": 3457, "validation": 1118, "test": 1121},
            "wnut17": {"train": 3394, "validation": 1009, "test": 1287},
        }
        assert counts == expected[name]
        assert OmegaConf.select(config, "task.scheme") == {"wnut17": "IOB2"}.get(name)
