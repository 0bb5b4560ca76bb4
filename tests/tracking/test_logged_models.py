"""Which logged models a run has, with MLflow's own writing of a model left out."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from mlflow import MlflowClient

from seq2seq.tracking import logged_models
from seq2seq.tracking.logged_models import Registry, models_of
from seq2seq.tracking.mlflow_tracker import MlflowTracker
from seq2seq.tracking.served_model import signature_of

ROW = {"source": "<fr> 7/8/51", "prediction": "2051-08-07", "score": -0.1}


@pytest.fixture
def log(store, run_folder, monkeypatch):
    """Resumes the run, logs a model, and returns the run."""

    def save_model(path, **_):
        Path(path).mkdir()
        Path(path, "MLmodel").touch()

    def write_wheel(folder):
        folder.mkdir()
        (folder / "x.whl").touch()
        return folder / "x.whl"

    monkeypatch.setattr(logged_models.pyfunc, "save_model", save_model)
    monkeypatch.setattr(logged_models, "write_wheel", write_wheel)

    def log_model():
        tracker = MlflowTracker(store, system_metrics=False)
        tracker.start(run_folder, {}, {"recipe": "translation/cldr_dates"}, resume=True)
        tracker.log_model(run_folder / "model", ROW["source"], ROW, 7)
        tracker.finish()
        return MlflowClient(store).get_run(tracker.run_id)

    return log_model


def test_a_resumed_run_has_one_model_named_after_its_recipe(store, log):
    client = MlflowClient(store)
    [first] = models_of(client, log())
    [second] = models_of(client, log())
    assert first.model_id != second.model_id
    assert second.name == "translation-cldr_dates"


def test_a_registered_model_stays_when_its_run_is_resumed(store, log):
    client, registry = MlflowClient(store), Registry(store)
    run_id = log().info.run_id
    assert registry.register(run_id, "dates") == registry.register(run_id, "dates") == 1
    new, registered = models_of(client, log())
    assert client.get_model_version("dates", "1").source == registered.artifact_location
    assert registry.register(run_id, "dates") == 2
    assert client.get_model_version("dates", "2").source == new.artifact_location


def test_references_are_no_outputs_of_a_model():
    row = {"source": "no", "prediction": "N OW1", "score": -0.1, "reference": "N OW1"}
    signature = signature_of("no", {**row, "references": ["N OW1"]})
    assert signature.outputs.input_names() == ["prediction", "score"]


def test_requirements_name_the_distribution_that_is_installed(monkeypatch):
    versions = {"keras-nightly": "3.16.0.dev1", "tensorflow-cpu": "2.22.0"}

    def version(name):
        if name in ("keras", "tensorflow"):
            raise PackageNotFoundError(name)
        return versions.get(name, "1.0")

    monkeypatch.setattr("seq2seq.version.metadata.version", version)
    pins = logged_models.requirements("x.whl")
    assert pins[:3] == ["wheels/x.whl", "tensorflow-cpu==2.22.0", "keras-nightly==3.16.0.dev1"]
