"""Recipes' files of any name, and what runs are filed and tagged under."""

import pytest
from omegaconf import OmegaConf

from seq2seq.config import composed, folder, recipe_name, recipe_names, register_recipe
from seq2seq.errors import UserError
from seq2seq.naming import READERS, advice, filed_under, run_name, tags_of

NAMES = [
    "mine", "2026-11-28", "2024", "null", "true", "my recipe", "Übersetzung", "日本語", "v1.2",
    "a=b", "a,b", "a+b", "a@b", "1e3", "translation", ".hidden", "a(b)", "it's", "~x", "a:b", "#1",
    "exp-50%", "[x]", "{x}", "${x}", "a\\b", 'q"q', "nan", "-x", "x" * 200, "file-ab-cd", " ",
]  # fmt: skip


@pytest.mark.parametrize("ending", [".yaml", ".yml", ".YAML"])
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_may_be_called_anything(tmp_path, name, ending):
    path = tmp_path / f"{name}{ending}"
    path.write_text("model: {encoder: {units: 7}}\n", encoding="utf-8")
    choice = register_recipe(str(path))
    assert composed([f"recipe={choice}"]).model.encoder.units == 7
    assert recipe_name(choice) == name
    assert recipe_names(str(path)) == [str(path)]


def test_files_of_one_name_in_two_folders_are_two_recipes(tmp_path):
    for units in (7, 8):
        (tmp_path / str(units)).mkdir()
        (tmp_path / str(units) / "a b.yaml").write_text(f"model: {{encoder: {{units: {units}}}}}")
    value = ",".join(str(tmp_path / str(units) / "a b.yaml") for units in (7, 8))
    choices = [register_recipe(name) for name in recipe_names(value)]
    assert [composed([f"recipe={c}"]).model.encoder.units for c in choices] == [7, 8]
    assert recipe_names("translation/cldr_dates,nothing") == ["translation/cldr_dates", "nothing"]


@pytest.mark.parametrize("name", ["x" * 5000 + ".yaml", "a\0.yaml", "none.yaml", ".yaml"])
def test_names_that_no_file_has(name):
    with pytest.raises(UserError, match="no such"):
        register_recipe(name)


@pytest.mark.parametrize(
    ("recipe", "data", "settings", "name"),
    [
        ("translation/cldr_dates", "cldr_dates", {}, "translation/cldr_dates"),
        ("translation/own_data", "own_pairs", {"directory": "/my/pairs"}, "translation/pairs"),
        (
            "classification/sst2",
            "labelled_csv",
            {"directory": "/my data/"},
            "classification/my_data",
        ),
        ("classification/sst2", "sst2", {"directory": "/x/y"}, "classification/sst2"),
        ("translation/multi30k_en_de", "tfds", {"name": "opus/x"}, "translation/opus_x"),
        (
            "forecasting/own_data",
            "own_series",
            {"directory": "/my/shop", "files": "sales.csv.gz"},
            "forecasting/shop_sales",
        ),
        (
            "forecasting/own_data",
            "own_series",
            {"directory": ".", "files": "/a/b/beer.parquet"},
            "forecasting/b_beer",
        ),
        (
            "forecasting/own_data",
            "series",
            {"directory": "/my/shop", "files": ["2024.csv", "2025.csv"]},
            "forecasting/shop",
        ),
        ("mine", "labelled_csv", {"directory": "/x/y"}, "mine"),
        ("file-c39c2f61-01234567", "tsv", {"directory": "/x/y"}, "Ü/a"),
    ],
)
def test_own_data_are_filed_under_their_name(recipe, data, settings, name):
    config = OmegaConf.create({"data": settings})
    assert filed_under(recipe, data, config) == name
    choices = {"recipe": recipe, "task": "t", "data": data}
    assert tags_of(choices, config)["recipe"] == name
    foreign = recipe in ("classification/sst2", "translation/multi30k_en_de") and data in READERS
    assert bool(advice(choices)) == foreign


def test_every_choice_of_data_is_a_reader_or_a_dataset():
    """A reader leaves open what it reads, or where: then the data are the user's own."""
    for path in (folder("conf") / "data").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        is_open = "train: ???" in text or "name: ???" in text or "directory: .\n" in text
        known = path.stem in READERS or path.stem in ("conllu", "label_folders")
        assert is_open <= known, path
    assert set(READERS) <= {path.stem for path in (folder("conf") / "data").glob("*.yaml")}


@pytest.mark.parametrize(
    "task", ["translation", "tagging", "classification", "generation", "forecasting"]
)
def test_recipes_for_own_data_are_neutral(task):
    config = composed([f"recipe={register_recipe(f'{task}/own_data')}"])
    assert config.data.directory == "."
    needed = {
        "classification": ["data=own_labelled"],
        "forecasting": ["task.horizon=1", "task.context_length=2"],
    }
    plain = composed([f"task={task}", *needed.get(task, [])])
    for key in ("bleu_tokenize", "label_names", "label_delimiter", "scheme"):
        assert config.task.get(key) == plain.task.get(key)
    tokenizer = config.get("tokenizer", {})
    tokenizers = [tokenizer, tokenizer.get("source", {})]
    assert not any(each.get("lowercase") or each.get("zero_digits") for each in tokenizers)


@pytest.mark.parametrize(
    ("tags", "model", "name"),
    [
        ({}, {"decoder": {"cell": "gru", "units": 8}}, "dates gru-8"),
        ({}, {"decoder": {"cell": "lstm", "units": 512},
              "encoder": {"cell": "lstm", "units": 256, "layers": 2}}, "dates lstm-2x256"),
        ({}, {"encoder": {"cell": "gru", "units": [64, 50], "layers": None}}, "dates gru-64-50"),
        ({}, {"embedding_dim": 8}, "dates"),
        ({"trial": "3"}, {"stack": {"cell": "gru", "units": 64}}, "dates gru-64 trial 3"),
        ({"sweep": "true"}, None, "dates sweep"),
    ],
)  # fmt: skip
def test_a_run_is_named_after_recipe_and_model(tags, model, name):
    assert run_name({"recipe": "translation/dates", **tags}, {"model": model}) == name
    assert run_name(tags, {"model": model}) == ""
