import functools

import keras
import pytest
from omegaconf import OmegaConf

from seq2seq.config import build, composed
from seq2seq.data.embedded.cldr_dates import date_examples
from seq2seq.inference.predictor import Predictor
from seq2seq.tasks.model_folder import build_task, save_model_folder

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="session")
def dates():
    """Pairs of texts."""
    return [
        (example.source, example.target)
        for example, _ in zip(date_examples("validation"), range(12), strict=False)
    ]


@pytest.fixture(scope="session")
def run_folder(dates, tmp_path_factory):
    """The folder of a run that has learned nothing, but predicts."""
    folder = tmp_path_factory.mktemp("run")
    for number, side in enumerate(("source", "target")):
        (folder / side).write_text("".join(f"{pair[number]}\n" for pair in dates))
    config = composed(
        [
            "data=parallel_text",
            f"data.directory={folder}",
            *(f"data.{side}.{split}={side}" for side in ("source", "target") for split in SPLITS),
            "model.encoder.units=8",
            "model.decoder.units=12",
        ]
    )
    task = build_task(config)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        task.prepare(build(config, "data"), seed=1)
    keras.utils.set_random_seed(2)
    model = build(config, "model", **task.model_arguments())
    save_model_folder(folder / "model", task, model, config)
    (folder / ".hydra").mkdir()
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _load_once():
    """Loads each model once for all tests of a module: it takes a second."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Predictor, "load", staticmethod(functools.cache(Predictor.load)))
        yield


@pytest.fixture
def no_model(monkeypatch):
    """Makes a test fail if a model is loaded."""

    def load(folder):
        pytest.fail(f"{folder} was loaded before the mistake was found")

    monkeypatch.setattr(Predictor, "load", load)
