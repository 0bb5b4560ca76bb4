import json
import math
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from seq2seq.errors import UserError
from seq2seq.tracking import environment, mlflow_tracker
from seq2seq.tracking.background import BackgroundSender
from seq2seq.tracking.logged_metrics import METRICS_FILE
from seq2seq.tracking.mlflow_tracker import MlflowTracker
from seq2seq.tracking.model_card import ModelCard, SplitSummary
from seq2seq.version import version

CONFIG = {
    "seed": 1,
    "model": {"embedding_dim": 8, "encoder": {"cell": "lstm", "units": 256}},
    "data": {"directory": None},
}
CARD = ModelCard(
    tags={"recipe": "translation/cldr_dates", "task": "translation"},
    splits=[SplitSummary("test", "cldr_dates", "Unicode CLDR", "ab" * 32, 4000)],
    metrics={
        "validation": {"exact_match": 0.99, "loss": 0.1},
        "test": {"loss": 0.1, "exact_match": 0.995},
        "training": {"steps": 7, "seconds": 60},
    },
    overrides=["recipe=translation/cldr_dates", "seed=2", "hydra.run.dir=/tmp/run"],
    parameters=1234,
    run_folder=Path("/runs/first"),
    example={"source": "<fr> 7/8/51", "prediction": "2051-08-07"},
)


def artifacts(client, run_id, folder=None):
    """All paths below a folder of the run's artifacts."""
    paths = []
    for entry in client.list_artifacts(run_id, folder):
        paths += artifacts(client, run_id, entry.path) if entry.is_dir else [entry.path]
    return paths


def history(client, run_id, name):
    return [(metric.step, metric.value) for metric in client.get_metric_history(run_id, name)]


def test_a_run_from_start_to_finish(store, run_folder, tmp_path):
    (run_folder / "plots").mkdir()
    (run_folder / "plots" / "curves.png").write_bytes(b"png")
    (run_folder / "metrics.json").write_text("{}")
    (run_folder / "checkpoints").mkdir()
    (run_folder / "checkpoints" / "last.npz").write_bytes(b"big")
    tracker = MlflowTracker(tags={"team": "dates"})
    tracker.start(run_folder, CONFIG, {"recipe": "translation/cldr_dates"})
    for step in range(1, 4):
        tracker.log_metrics({"loss": 1 / step, "chrf++": step}, step)
    tracker.log_dataset(
        SplitSummary("train", "cldr_dates", "tfds:cldr_dates", "0123456789abcdef" * 4, 8000)
    )
    tracker.log_table({"source": ["a", "ü"], "prediction": ["b", "日"]}, "predictions/test.json")
    tracker.log_folder(run_folder, ignore=["checkpoints/*"])
    tracker.finish("FINISHED")

    client = MlflowClient(store)
    run = client.get_run((run_folder / "mlflow_run_id").read_text().strip())
    assert run.info.run_name == "cldr_dates lstm-256"
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert client.get_experiment(run.info.experiment_id).name == "seq2seq"
    assert run.data.params == {
        "seed": "1",
        "model.embedding_dim": "8",
        "model.encoder.cell": "lstm",
        "model.encoder.units": "256",
        "data.directory": "null",
    }
    assert run.data.tags["recipe"] == "translation/cldr_dates"
    assert run.data.tags["team"] == "dates"
    assert run.data.tags["run_folder"] == str(run_folder)
    assert history(client, run.info.run_id, "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert run.data.metrics["chrfpp"] == 3

    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.name == "cldr_dates/train"
    assert json.loads(dataset.dataset.profile) == {"num_rows": 8000}
    assert json.loads(dataset.dataset.source) == {"uri": "tfds:cldr_dates"}
    assert {tag.key: tag.value for tag in dataset.tags} == {"mlflow.data.context": "train"}

    assert set(artifacts(client, run.info.run_id)) == {
        "config.yaml",
        "environment.json",
        "metrics.json",
        "mlflow_run_id",
        "plots/curves.png",
        "predictions/test.json",
    }
    assert run.info.artifact_uri.startswith(str(tmp_path / "mlartifacts"))
    folder = Path(client.download_artifacts(run.info.run_id, ""))
    assert yaml.safe_load((folder / "config.yaml").read_text()) == CONFIG
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["mlflow"]
    table = client.load_table(run.info.experiment_id, "predictions/test.json")
    assert table.to_dict("list") == {"source": ["a", "ü"], "prediction": ["b", "日"]}


def test_the_commits_of_the_users_repository_and_of_our_own(store, run_folder, monkeypatch):
    states = {"commit": "1" * 40, "branch": "main", "dirty": "true"}, {"commit": "2" * 40}
    folders = []

    def state_of_users(folder):
        folders.append(folder)
        return states[0]

    monkeypatch.setattr(environment, "git_state", state_of_users)
    monkeypatch.setattr(environment, "own_git_state", lambda: states[1])
    tracker = MlflowTracker(store)
    tracker.start(run_folder, {}, {})
    tracker.finish()
    tags = MlflowClient(store).get_run(tracker.run_id).data.tags
    assert folders == [Path.cwd()]
    assert tags["mlflow.source.git.commit"] == "1" * 40
    assert tags["mlflow.source.git.dirty"] == "true"
    assert tags["seq2seq.git.commit"] == "2" * 40
    assert tags["version.seq2seq"] == version()


def test_any_number_of_values_of_any_length(store, run_folder):
    config = {f"key{number}": number for number in range(250)} | {"long": "x" * 20_000, "odd!": 1}
    tracker = MlflowTracker(store, tags={"long": "y" * 20_000})
    tracker.start(run_folder, config, {})
    tracker.finish()
    run = MlflowClient(store).get_run(tracker.run_id)
    assert len(run.data.params) == 252
    assert run.data.params["key249"] == "249"
    assert len(run.data.params["long"]) == 6000
    assert run.data.params["long"].endswith("... (cut)")
    assert run.data.params["odd_"] == "1"
    assert len(run.data.tags["long"]) == 8000


def test_more_metrics_than_fit_a_batch(store, run_folder, monkeypatch):
    tracker = MlflowTracker(store)
    tracker.start(run_folder, {}, {})
    log_batch, threads = MlflowClient.log_batch, set()

    def logged(*args, **kwargs):
        threads.add(threading.current_thread())
        return log_batch(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", logged)
    for step in range(2500):
        tracker.log_metrics({"loss": float(step)}, step)
    tracker.finish()
    assert threads
    assert threading.current_thread() not in threads  # training does not wait for the store
    client = MlflowClient(store)
    assert sorted(history(client, tracker.run_id, "loss")) == [(s, s) for s in range(2500)]


def test_values_that_are_not_finite_are_kept_as_not_a_number(store, run_folder):
    tracker = MlflowTracker(store)
    tracker.start(run_folder, {}, {})
    tracker.log_metrics({"loss": math.nan, "perplexity": math.inf, "fine": 1}, 1)
    tracker.finish("FAILED")
    client = MlflowClient(store)
    metrics = client.get_run(tracker.run_id).data.metrics
    assert math.isnan(metrics["loss"])
    assert math.isnan(metrics["perplexity"])
    assert metrics["fine"] == 1


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_the_end_is_marked(store, run_folder, status):
    tracker = MlflowTracker(store)
    tracker.start(run_folder, {}, {})
    tracker.log_metrics({"loss": 2.0}, 1)
    tracker.finish(status)
    run = MlflowClient(store).get_run(tracker.run_id)
    assert run.info.status == status
    assert run.data.metrics == {"loss": 2.0}


def test_a_resumed_training_goes_on_in_its_run(store, run_folder):
    first = MlflowTracker(store)
    first.start(run_folder, {"epochs": 5, "seed": 1}, {})
    first.log_metrics({"loss": 2.0}, 10)
    first.finish("KILLED")

    second = MlflowTracker(store)
    second.start(run_folder, {"epochs": 9, "seed": 1, "new": "yes"}, {}, resume=True)
    client = MlflowClient(store)
    assert second.run_id == first.run_id
    assert client.get_run(first.run_id).info.status == "RUNNING"
    second.log_metrics({"loss": 1.0}, 20)
    second.finish()

    run = client.get_run(first.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "5", "seed": "1", "new": "yes"}
    assert run.data.tags["resumed_with.epochs"] == "9"
    assert "resumed_with.seed" not in run.data.tags
    assert history(client, first.run_id, "loss") == [(10, 2.0), (20, 1.0)]


def test_no_step_is_missing_or_there_twice_after_a_kill(store, run_folder):
    """Some metrics were sent; some were not; some belong to steps after the last checkpoint."""
    first = MlflowTracker(store)
    first.start(run_folder, {}, {})
    for step in (1, 2, 3):
        first.log_metrics({"loss": 1 / step, "rate": math.inf}, step)
    first._sender.close(10)
    unsent = threading.Event()
    first._sender = BackgroundSender(lambda _: unsent.wait(), on_failure=print)
    first.log_metrics({"loss": 1 / 4}, 4)
    first.log_metrics({"loss": 1 / 5}, 5)
    with (run_folder / METRICS_FILE).open("a") as file:
        file.write('{"step": 6, "metr')  # killed while it was written

    second = MlflowTracker(store)
    second.start(run_folder, {}, {}, resume=True)
    for step in (3, 4, 5, 6, 7):  # the last checkpoint was that of step 2
        second.log_metrics({"loss": 1 / step}, step)
    second.finish()
    client = MlflowClient(store)
    losses = [(step, 1 / step) for step in range(1, 8)]
    assert history(client, second.run_id, "loss") == losses
    assert [step for step, _ in history(client, second.run_id, "rate")] == [1, 2, 3]
    third = MlflowTracker(store)
    third.start(run_folder, {}, {}, resume=True)
    third.finish()
    assert history(client, second.run_id, "loss") == losses
    unsent.set()


def test_name_and_description_say_what_the_run_is(store, run_folder):
    tracker = MlflowTracker(store)
    tracker.start(run_folder, CONFIG, CARD.tags)
    tracker.log_card(CARD)
    tracker.finish()
    client = MlflowClient(store)
    run = client.get_run(tracker.run_id)
    assert run.info.run_name == "cldr_dates lstm-256 exact_match 0.995"
    assert run.data.tags["mlflow.note.content"] == str(CARD)
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_names_and_descriptions_of_the_user_stay(store, run_folder):
    tracker = MlflowTracker(store)
    tracker.start(run_folder, CONFIG, CARD.tags)
    client = MlflowClient(store)
    client.update_run(tracker.run_id, name="the good one")
    client.set_tag(tracker.run_id, "mlflow.note.content", "Seen by Anna.")
    tracker.log_card(CARD)
    tracker.finish()
    run = client.get_run(tracker.run_id)
    assert run.info.run_name == "the good one"
    assert run.data.tags["mlflow.note.content"] == "Seen by Anna."


def test_final_scores_belong_to_the_model_and_to_their_split_of_the_data(store, run_folder):
    tracker = MlflowTracker(store)
    tracker.start(run_folder, CONFIG, CARD.tags)
    client = MlflowClient(store)
    model = client.create_logged_model("1", "cldr_dates", source_run_id=tracker.run_id)
    tracker._model_id = model.model_id
    tracker.log_dataset(CARD.splits[0])
    tracker.log_scores({"test_exact_match": 0.995, "training_steps": 7}, 7)
    tracker.finish()
    assert history(client, tracker.run_id, "test_exact_match") == [(7, 0.995)]
    scores = client.get_logged_model(model.model_id).metrics
    assert {score.key: score.dataset_name for score in scores} == {
        "test_exact_match": "cldr_dates/test",
        "training_steps": None,
    }


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_pause_before_a_resumed_training_does_not_count(
    store, run_folder, monkeypatch, is_killed
):
    checkpoint = run_folder / "checkpoints" / "last_9.weights.h5"
    checkpoint.parent.mkdir()
    clock = [1_800_000_000.0]
    monkeypatch.setattr(mlflow_tracker, "milliseconds", lambda: int(1000 * clock[0]))
    for session in range(3):
        tracker = MlflowTracker(store, system_metrics=False)
        tracker.start(run_folder, CONFIG, {}, resume=True)
        if session == 0:
            client = MlflowClient(store)
            started = client.get_run(tracker.run_id).info.start_time
            clock[0] = started / 1000
        clock[0] += 10
        checkpoint.touch()
        os.utime(checkpoint, (clock[0], clock[0]))
        if session < 2:
            if not is_killed:
                tracker.finish("KILLED")
            clock[0] += 3600
    tracker.finish()
    info = MlflowClient(store).get_run(tracker.run_id).info
    assert info.end_time - info.start_time == 30_000


def test_a_new_training_in_an_old_folder_is_a_new_run(store, run_folder):
    ids = []
    for _ in range(2):
        tracker = MlflowTracker(store)
        tracker.start(run_folder, {}, {})
        tracker.finish()
        ids.append(tracker.run_id)
    assert ids[0] != ids[1]
    assert (run_folder / "mlflow_run_id").read_text() == f"{ids[1]}\n"


@pytest.mark.parametrize("written", [None, "0" * 32, "not an id", "deleted"])
def test_resuming_a_run_that_is_not_there_opens_a_new_one(store, run_folder, written, caplog):
    if written == "deleted":
        tracker = MlflowTracker(store)
        tracker.start(run_folder, {}, {})
        tracker.finish()
        MlflowClient(store).delete_run(tracker.run_id)
    elif written:
        (run_folder / "mlflow_run_id").write_text(written)
    tracker = MlflowTracker(store)
    tracker.start(run_folder, {}, {}, resume=True)
    tracker.finish()
    assert MlflowClient(store).get_run(tracker.run_id).info.status == "FINISHED"
    assert ("a new one is opened" in caplog.text) == (written is not None)


def test_variables_of_mlflow_do_not_mislead(store, run_folder, tmp_path, monkeypatch):
    other = MlflowTracker(store, experiment="other")
    other.start(run_folder, {}, {})
    other.finish("FAILED")
    monkeypatch.setenv("MLFLOW_RUN_ID", other.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elsewhere")
    tracker = MlflowTracker(store, experiment="mine", run_name="my run")
    tracker.start(run_folder, {"seed": 7}, {})
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.finish()
    client = MlflowClient(store)
    run = client.get_run(tracker.run_id)
    assert run.info.run_name == "my run"
    assert client.get_experiment(run.info.experiment_id).name == "mine"
    assert client.get_run(other.run_id).info.status == "FAILED"
    assert client.get_run(other.run_id).data.metrics == {}
    assert client.get_experiment_by_name("elsewhere") is None


def test_the_tracking_uri_of_the_environment_counts_if_none_is_given(
    store, run_folder, tmp_path, empty_store, monkeypatch
):
    folder = tmp_path / "an other, ü"
    folder.mkdir()
    (folder / "runs.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/runs.db")
    tracker = MlflowTracker()
    tracker.start(run_folder, {}, {})
    tracker.finish()
    run = MlflowClient(f"sqlite:///{folder}/runs.db").get_run(tracker.run_id)
    assert run.info.artifact_uri.startswith(str(folder / "mlartifacts"))
    *_, last = shlex.split(tracker.pages()["MLflow"])
    assert last == f"sqlite:///{folder}/runs.db"


def test_a_deleted_experiment_is_named(store, run_folder):
    client = MlflowClient(store)
    client.delete_experiment(client.create_experiment("old"))
    with pytest.raises(UserError, match="experiment 'old' is deleted"):
        MlflowTracker(store, experiment="old").start(run_folder, {}, {})
    assert not (run_folder / "mlflow_run_id").exists()


def test_a_store_that_is_lost_does_not_stop_the_training(store, run_folder, caplog, monkeypatch):
    monkeypatch.setattr(mlflow_tracker, "SECONDS_TO_FINISH", 1)
    tracker = MlflowTracker(store)
    tracker.start(run_folder, {}, {})
    tracker._client.log_batch = tracker._client.log_artifact = _lost
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.log_folder(run_folder)
    tracker.finish()
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(messages) == 2
    assert "the training goes on: the disk is gone." in messages[0]
    assert "did not get the last 1 metric values" in messages[1]


def _lost(*_, **__):
    raise OSError("the disk is gone")


START_AND_FINISH = """
import sys
from pathlib import Path
from seq2seq.tracking.mlflow_tracker import MlflowTracker
folder = Path("run") / sys.argv[1]
folder.mkdir(parents=True)
tracker = MlflowTracker()
tracker.start(folder, {"seed": int(sys.argv[1])}, {})
tracker.log_metrics({"loss": 1.0}, 1)
tracker.finish()
"""


def test_processes_may_create_the_store_at_the_same_moment_in_silence(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", START_AND_FINISH, str(number)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert printed == ["", ""]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("seq2seq")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1"]
    assert {run.info.status for run in runs} == {"FINISHED"}
