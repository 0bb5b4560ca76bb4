import shutil

import pytest
from omegaconf import OmegaConf

from seq2seq.cli import main
from seq2seq.config import composed
from seq2seq.inference.predictor import Predictor


@pytest.fixture
def reversing(monkeypatch):
    """Makes each run translate texts to their letters in reverse; returns the translated texts."""
    translated = []

    def predict(self, inputs, request=None):
        translated.extend(inputs)
        return [{"source": text, "prediction": text[::-1], "score": 0.0} for text in inputs]

    monkeypatch.setattr(Predictor, "predict", predict)
    return translated


@pytest.fixture
def run_on(run_folder, tmp_path):
    """Returns a function that copies the untrained run, as one on other data."""

    def copy(*overrides, name="copy"):
        folder = tmp_path / name
        shutil.copytree(run_folder / "model", folder / "model")
        (folder / ".hydra").mkdir()
        config = OmegaConf.load(run_folder / ".hydra" / "config.yaml")
        config.data = composed([f"data.directory={tmp_path}", *overrides]).data
        OmegaConf.save(config, folder / ".hydra" / "config.yaml")
        return folder

    return copy


@pytest.fixture
def run_command(capsys):
    """Returns a function that runs a command, and returns its exit code and what it prints."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return ended.value.code, capsys.readouterr()

    return run
