"""Runs to serve, one for each task."""

import json

import keras
import pytest

from seq2seq.config import build, composed
from seq2seq.overrides import with_registered_recipes
from seq2seq.tasks.model_folder import build_task, save_model_folder

TEXTS = ["7 May 2031", "<fr> 07/08/2051 et plus", "a", "Montag", "12. 3. 1999 !", "x y z"]
SPLITS = ("train", "validation", "test")
SETTINGS = {
    "translation": [
        "data=parallel_text",
        *(f"data.{side}.{split}={side}" for side in ("source", "target") for split in SPLITS),
        "model.encoder.units=8",
        "model.decoder.units=12",
    ],
    "tagging": [
        "task=tagging", "tokenizer=tokens", "data=tagged_jsonl", "model=tagger", "~decoding",
        *(f"data.files.{split}=tags" for split in SPLITS), "data.holdout=null",
        "model.encoder.units=6", "model.embedding_dim=8",
    ],
    "classification": [
        "recipe=classification/cldr_languages", "data=labelled_tsv",
        *(f"data.files.{split}=classes" for split in SPLITS),
        "model.encoder.units=6",
    ],
    "generation": [
        "task=generation", "data=plain_text", "data.files.train=source", "data.tail.test=0.2",
        "data.tail.validation=0.2", "tokenizer=text/character", "batching=windows",
        "batching.batch_size=2", "batching.length=8", "model=language_model",
        "model.embedding_dim=6", "model.stack.units=8", "decoding=greedy",
        "decoding.maximum_length_ratio=0.0", "decoding.maximum_length_extra=5",
        "task.prompt_length=10",
    ],
    "forecasting": ["recipe=forecasting/co2", "model.encoder.units=6"],
}  # fmt: skip
TASKS = tuple(SETTINGS)


def saved_run(folder, name, more=()):
    """The folder of a run that has learned nothing, but predicts."""
    directory = [] if name == "forecasting" else [f"data.directory={folder}"]
    overrides = [*SETTINGS[name], *directory, "tracking=none", *more]
    config = composed(list(map(with_registered_recipes, overrides)))
    task = build_task(config)
    task.prepare(build(config, "data"), seed=1)
    keras.utils.set_random_seed(2)
    model = build(config, "model", **task.model_arguments())
    run_folder = folder / "-".join([name, *more]).replace("/", ".")
    save_model_folder(run_folder / "model", task, model, config)
    return run_folder


@pytest.fixture(scope="package")
def run_folders(tmp_path_factory):
    """A run folder for each task."""
    folder = tmp_path_factory.mktemp("runs")
    for side in ("source", "target"):
        (folder / side).write_text("".join(f"{text}\n" for text in TEXTS * 5))
    tags = [{"tokens": text.split(), "labels": ["X", "Y", "Z", "X", "Y"][: len(text.split())]}
            for text in TEXTS]  # fmt: skip
    (folder / "tags").write_text("".join(json.dumps(row) + "\n" for row in tags))
    classes = [f"{text}\t{'ab'[number % 2]}\n" for number, text in enumerate(TEXTS)]
    (folder / "classes").write_text("".join(classes))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return {name: saved_run(folder, name) for name in SETTINGS}
