"""Runs to export, one for each task, and 200 real inputs of each."""

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from benchmarks.exporting import inputs_of
from seq2seq.config import build, composed
from seq2seq.inference.predictor import Predictor
from seq2seq.overrides import with_registered_recipes
from seq2seq.tasks.model_folder import build_task, save_model_folder

SPECIAL = [0, 1, 2]
UNLIKELY = {"translation": [*SPECIAL, *range(4, 260)], "generation": SPECIAL}
"""Tokens that trained models hardly return: special ones, and bytes that are no text alone."""
RECIPES = {
    "translation": [
        "recipe=translation/cldr_dates", "model/attention=luong", "model.encoder.units=12",
        "model.decoder.units=24", "model.embedding_dim=16", "decoding.maximum_length_ratio=0.5",
    ],
    "tagging": ["recipe=tagging/cldr_dates", "model.output=crf", "model.encoder.units=12"],
    "classification": [
        "recipe=classification/cldr_languages", "model.encoder.units=12",
        "model.pooling=[last,mean,max,attention]",
    ],
    "generation": [
        "task=generation", "data=plain_text", "data.files.train=names", "data.tail.test=0.2",
        "data.tail.validation=0.2", "tokenizer=text/bpe", "tokenizer.vocabulary_size=400",
        "batching=windows", "batching.batch_size=4", "batching.length=8", "model=language_model",
        "model.embedding_dim=12", "model.stack.units=16", "model.stack.cell=gru",
        "decoding=sampling", "decoding.maximum_length_ratio=0.0",
        "decoding.maximum_length_extra=12", "task.prompt_length=10",
    ],
    "forecasting": [
        "recipe=forecasting/co2", "model.encoder.units=12", "task.scaling.log=true",
        "task.scaling.season=difference", "task.scaling.kind=robust",
    ],
}  # fmt: skip
SOURCES = {
    "translation": "translation/cldr_dates",
    "tagging": "tagging/cldr_dates",
    "classification": "classification/cldr_languages",
}


def run_of(folder, name, overrides=(), recipe=None):
    """A run folder that is not trained, and its data, of a task in `RECIPES` or another recipe.

    Its weights are larger than new ones, so that two tokens are rarely as probable.
    """
    own = [f"data.directory={folder}"] if name == "generation" else []
    overrides = [*(recipe or RECIPES[name]), *own, *overrides, "tracking=none"]
    config = composed(list(map(with_registered_recipes, overrides)))
    OmegaConf.resolve(config)
    task, data = build_task(config), build(config, "data")
    task.prepare(data, seed=1)
    keras.utils.set_random_seed(2)
    model = build(config, "model", **task.model_arguments())
    for weight in model.training_model.weights:
        weight.assign(2 * weight.numpy() + 0.05 * np.random.standard_normal(weight.shape))
    if unlikely := UNLIKELY.get(name):
        bias = model.output_layer.bias.numpy()
        bias[unlikely] -= 100
        model.output_layer.bias.assign(bias)
    save_model_folder(folder / name / "model", task, model, config)
    return folder / name, data


@pytest.fixture(scope="package")
def runs(tmp_path_factory):
    """The run folder, the inputs and the predictor of each task, made when asked for."""
    folder = tmp_path_factory.mktemp("exported-runs")
    made = {}

    def get(name):
        if name not in made:
            if name == "generation":
                names = build(composed(["data=cldr_languages"]), "data")
                lines = [record["text"] for record in names.records("test")][:3000]
                (folder / "names").write_text("\n".join(lines), encoding="utf-8")
            run, data = run_of(folder, name)
            made[name] = run, inputs_of(name, data), Predictor.load(run)
        return made[name]

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield get
