"""Composing and checking configs: every mistake is named, with the nearest valid key."""

import pytest
from omegaconf import OmegaConf

from seq2seq.config import composed, folder, keys_of, nodes, recipe_files, register_recipe
from seq2seq.errors import UserError

RECIPES = sorted(recipe_files())


def compose_recipe(name, *overrides):
    return composed([f"recipe={register_recipe(name)}", *overrides])


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_composes(name):
    config = compose_recipe(name)
    assert config.seed == 1


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_begins_with_its_command_and_a_description(name):
    first, second = recipe_files()[name].read_text().splitlines()[:2]
    assert first.startswith(f"# seq2seq train {name}")
    description = second.removeprefix("# ").partition(" (")[0]
    assert 0 < len(description) <= 39  # `seq2seq recipes` has 80 columns


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.encoder.unit=3", "model.encoder.unit: .*nearest is 'model.encoder.units'"),
        ("+model.encoder.unitz=3", "model.encoder.unitz: .*nearest is 'units'"),
        ("+typo=1", "typo: no such config key"),
        ("sed=3", "sed: .*nearest is 'seed'"),
        ("+tranier.epochs=3", "tranier: .*nearest is 'trainer'"),
        ("optimizer=adan", "nearest is 'adam' .known: adam, adamw, keras, sgd"),
        ("+task._target_=nowhere.Task", "nowhere"),
        ("nonsense", "missing EQUAL"),
        ("data=parallel_text", r"data\.source\.train: .*Give it as data\.source\.train="),
    ],
)
def test_wrong_overrides_are_named(override, message):
    with pytest.raises(UserError, match=message):
        compose_recipe("translation/cldr_dates", override)


def test_slices_of_tfds_splits_are_quoted_as_the_readme_shows():
    config = compose_recipe(
        "translation/multi30k_en_de",
        "data=tfds",
        "data.name=opus/medical",
        "data.features.source=de",
        "data.features.target=en",
        'data.splits.train="train[:90%]"',
    )
    assert config.data.splits.train == "train[:90%]"


def test_a_recipe_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model:\n  encoder:\n    units: 7\n")
    assert compose_recipe(str(path)).model.encoder.units == 7
    path.write_text("model:\n  encodr:\n    units: 7\n")
    with pytest.raises(UserError, match=r"model\.encodr: .*nearest is 'encoder'"):
        compose_recipe(str(path))
    path.write_text("model: [")
    with pytest.raises(UserError, match=r"mine\.yaml: cannot be read"):
        compose_recipe(str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [("translation/cldr_date", "no such recipe"), ("missing.yaml", "no such file")],
)
def test_an_unknown_recipe_is_refused(name, message):
    with pytest.raises(UserError, match=f"recipe={name}: {message}"):
        register_recipe(name)


@pytest.mark.parametrize(
    "path",
    sorted(p.relative_to(folder("conf")).with_suffix("") for p in folder("conf").glob("*/*.yaml")),
    ids=str,
)
def test_every_choice_of_every_group_composes(path):
    """With what it leaves open given; `model/*` and the like are reached through their parents."""
    group, name = path.parts
    given = {
        "data/parallel_text": ["data.source.train=a", "data.target.train=b"],
        "optimizer/keras": ["optimizer._target_=keras.optimizers.RMSprop", "+optimizer.rho=0.95"],
        "data/conllu": ["data.files.train=a"],
        "data/labelled_tfds": ["data.name=a"],
        "data/series": ["data.files=a", "data.validation_length=1", "data.test_length=1"],
        "task/forecasting": ["task.horizon=1", "task.context_length=2"],
        "data/tagged_tfds": ["data.name=a", "data.features.labels=b"],
        "data/tfds": ["data.name=a", "data.features.source=b", "data.features.target=c"],
    }
    of_files = "  train: ???" in (folder("conf") / path).with_suffix(".yaml").read_text()
    default = ["data.files.train=a"] if of_files else []
    of_series = "  - series\n" in (folder("conf") / path).with_suffix(".yaml").read_text()
    if of_series or path.as_posix() == "data/series":  # the task says which columns are read
        needed = given.get(path.as_posix(), [])
        given[path.as_posix()] = [*needed, "task=forecasting", *given["task/forecasting"]]
    composed([f"{group}={name}", *given.get(path.as_posix(), default)])


@pytest.mark.parametrize("name", ["copy", "concatenate", "dense", "zero"])
def test_every_bridge_composes(name):
    assert composed([f"model/bridge={name}", "model/attention=none"]).model.bridge._partial_


def test_keys_may_be_numbers():
    config = OmegaConf.create({"names": {0: {"_target_": "x"}, 1: "b"}})
    assert list(keys_of(config)) == ["names", "names.0", "names.0._target_", "names.1"]
    assert [path for path, _ in nodes(config)] == ["names.0"]
