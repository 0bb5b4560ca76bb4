import re
from importlib import import_module

import pytest

from seq2seq.config import folder
from seq2seq.trust import CLASSES, is_trusted, load_saved

TARGET = re.compile(r"_target_: *([\w.]+)")


def test_all_that_the_packages_own_configs_name_is_trusted():
    files = [*folder("conf").rglob("*.yaml"), *folder("recipes").rglob("*.yaml")]
    named = {target for path in files for target in TARGET.findall(path.read_text())}
    assert len(named) > 40
    assert [target for target in named if not is_trusted(target)] == []


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_list_holds_classes_by_their_own_names(name):
    module, _, short = name.rpartition(".")
    listed = getattr(import_module(module), short)
    assert isinstance(listed, type)
    assert f"{listed.__module__}.{listed.__qualname__}" == name


@pytest.mark.parametrize(
    "name",
    [
        "keras.optimizers.RMSprop",
        "keras.optimizers.schedules.ExponentialDecay",
        "keras.callbacks.EarlyStopping",
        "keras.initializers.GlorotUniform",
        "optuna.samplers.TPESampler",
    ],
)
def test_classes_of_libraries_are_trusted_by_their_public_names(name):
    assert is_trusted(name)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "keras.optimizers.deserialize",
        "keras.optimizers.get",
        "keras.callbacks.RemoteMonitor",
        "keras.src.optimizers.adam.Adam",
        "keras.optimizers._x",
        "keras.layers.Lambda",
        "keras.saving.load_model",
        "optuna.samplers._tpe.sampler.os.system",
        "seq2seq.trust.CLASSES",
        "seq2seq.config.build",
        "seq2seq.tasks.translation",
        "",
        ".",
        "seq2seq",
    ],
)
def test_all_else_is_not(name):
    assert not is_trusted(name)
    assert not is_trusted(name, ["mypackage", "o", "keras.optimizers.g"])


@pytest.mark.parametrize(
    "target",
    [
        "data.batching.Batching",
        "data.cldr_languages.CldrLanguages",
        "data.cldr_parts.CldrDateParts",
        "data.conll.Conll",
        "data.datasets.Jsonl",
        "data.datasets.ParallelText",
        "data.datasets.Tsv",
        "data.labelled_files.Csv",
        "data.labelled_files.LabelFolders",
        "data.labelled_files.LabelLines",
        "data.labelled_files.LabelledJsonl",
        "data.plain_text.PlainText",
        "data.splits.Holdout",
        "data.streams.Windows",
        "data.tagged_jsonl.TaggedJsonl",
        "data.tfds_datasets.CldrDates",
        "data.tfds_datasets.Tfds",
        "data.token_features.TokenFeatures",
        "data.tokenizers.Tokenizer",
        "data.tokenizers.TokenizerPair",
    ],
)
def test_classes_of_older_runs_are_found_where_they_are_today(target, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(f"parts: [{{_target_: seq2seq.{target}}}]\n")
    [part] = load_saved(path).parts
    assert part._target_ in CLASSES
    assert part._target_.rpartition(".")[2] == target.rpartition(".")[2]
