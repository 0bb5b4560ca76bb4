"""A run's MLflow model answers as the run does, from a registry, and over HTTP."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from seq2seq.cli import main
from seq2seq.errors import UserError
from seq2seq.inference.predictor import Predictor
from seq2seq.tracking.logged_models import Registry
from seq2seq.tracking.mlflow_tracker import MlflowTracker
from seq2seq.tracking.served_model import MAX_INPUTS, sources_of
from tests.forked_commands import forked_python


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def tracked(run_folder, dates, store, tmp_path_factory):
    """A copy of the run, tracked; and its rows."""
    folder = tmp_path_factory.mktemp("tracked") / "run"
    shutil.copytree(run_folder, folder)
    sources = [source for source, _ in dates]
    rows = Predictor.load(run_folder)(sources)
    tracker = MlflowTracker(store)
    tracker.start(folder, {"seed": 1}, {"task": "translation"})
    tracker.log_model(folder / "model", rows[0]["source"], rows[0], 7)
    tracker.log_scores({"test_bleu": 12.5}, 7)
    tracker.finish()
    return folder, tracker.run_id, rows


@pytest.fixture(scope="module")
def registered(tracked, store):
    _, run_id, _ = tracked
    assert Registry(store).register(run_id, "dates", "champion") == 1
    return run_id


@pytest.fixture(scope="module")
def loaded(tracked, store):
    mlflow.set_tracking_uri(store)
    try:
        yield mlflow.pyfunc.load_model("models:/" + model_of(store, tracked[1]).model_id)
    finally:
        mlflow.set_tracking_uri(None)


def model_of(store, run_id):
    client = mlflow.MlflowClient(store)
    (output,) = client.get_run(run_id).outputs.model_outputs
    return client.get_logged_model(output.model_id)


def test_the_model_says_what_it_is(tracked, store, loaded):
    model = model_of(store, tracked[1])
    assert model.status == "READY"
    assert model.source_run_id == tracked[1]
    assert {m.key: (m.value, m.step) for m in model.metrics} == {"test_bleu": (12.5, 7)}
    place = Path(model.artifact_location.removeprefix("file://"))
    assert not list(place.rglob("*.pkl"))
    requirements = (place / "requirements.txt").read_text()
    (wheel,) = (place / "wheels").iterdir()
    assert requirements.splitlines()[0] == f"wheels/{wheel.name}"
    assert "tensorflow==" in requirements
    assert json.loads((place / "input_example.json").read_text())
    assert {p.name for p in loaded.metadata.signature.params} >= {"beam_size", "n_best"}
    assert [c.name for c in loaded.metadata.signature.outputs.inputs] == ["prediction", "score"]


def test_lists_frames_and_dicts_get_the_runs_predictions(tracked, loaded):
    rows = tracked[2]
    sources = [row["source"] for row in rows]
    for given in (
        sources,
        pd.DataFrame({"source": sources}),
        [{"source": source} for source in sources],
    ):
        answer = loaded.predict(given)
        assert answer["prediction"].tolist() == [row["prediction"] for row in rows]
        assert answer["score"].tolist() == pytest.approx([row["score"] for row in rows])


def test_params_change_the_search(tracked, loaded):
    source = tracked[2][0]["source"]
    params = {"decoding": "beam", "beam_size": 3, "n_best": 2}
    hypotheses = loaded.predict([source], params=params)["hypotheses"][0]
    assert len(hypotheses) == 2
    assert hypotheses[0]["score"] >= hypotheses[1]["score"]
    with pytest.raises(MlflowException, match="n_best"):
        loaded.predict([source], params={"decoding": "greedy", "n_best": 2})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "nothing to predict"),
        ([3], "input 0: must be a text"),
        (["fine", None], "input 1: must be a text"),
        ([{"text": "x"}], "'source' is missing"),
        (pd.DataFrame({"text": ["x"]}), "'source' is missing"),
        (["x" * 100_001], "longer than"),
        (["x"] * (MAX_INPUTS + 1), "send several"),
        (["\ud800"], "surrogate"),
        ([["a", float("nan")]], "not finite"),
    ],
)
def test_what_cannot_be_predicted_is_refused(given, message):
    with pytest.raises(MlflowException, match=message) as error:
        sources_of(given)
    assert error.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"temperature": float("nan")}, "temperature: must be a number at least 0"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": float("nan")}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"seed": -1}, "seed"),
        ({"beam_size": -1}, "beam_size: must be a number from 1 to 100"),
        ({"n_best": 0}, "n_best"),
        ({"n_best": 101}, "n_best"),
    ],
)
def test_params_without_meaning_are_refused(loaded, params, message):
    with pytest.raises(MlflowException, match=message) as error:
        loaded.predict(["a"], params={"decoding": "sampling", **params})
    assert error.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    ("count", "length", "params"),
    [(1000, 6000, {}), (100, 1000, {"decoding": "beam", "beam_size": 100})],
)
def test_more_than_a_machine_can_do_at_once_is_refused(loaded, count, length, params):
    with pytest.raises(MlflowException, match="may hold 5,000,000 characters"):
        loaded.predict(["x" * length] * count, params=params)


def test_copies_of_registered_models_are_removed(registered, store, tmp_path):
    code = (
        "from seq2seq.commands._run_argument import local_run; print(local_run('models:/dates/1'))"
    )
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [forked_python(), "-c", code], capture_output=True, check=True, env=environment
    )
    assert done.stdout.decode().startswith(str(tmp_path))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("seq2seq-")]


def test_registered_models_are_runs_on_the_command_line(
    tracked, registered, store, monkeypatch, capsys, tmp_path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    rows = tracked[2]
    (tmp_path / "in.txt").write_text("".join(f"{row['source']}\n" for row in rows))
    with pytest.raises(SystemExit, match="0"):
        main(["predict", "models:/dates@champion", str(tmp_path / "in.txt"), "--format", "jsonl"])
    predicted = [json.loads(line) for line in capsys.readouterr().out.split("\n")[:-1]]
    assert [each["prediction"] for each in predicted] == [row["prediction"] for row in rows]
    gate = ["--champion", "models:/dates/1", "--gate"]
    for condition, code in (("bleu >= champion - 0.1", "0"), ("bleu > champion", "1")):
        with pytest.raises(SystemExit, match=code):
            main(["evaluate", str(tracked[0]), *gate, condition])
        assert f"gate {'failed' if code == '1' else 'passed'}" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["register", str(tracked[0]), "--name", "dates", "--alias", "best"])
    assert capsys.readouterr().out == "models:/dates/1 models:/dates@best\n"


def test_what_is_not_registered(registered, store):
    registry = Registry(store)
    for address in ("models:/nothing@champion", "models:/dates@nobody", "models:/dates/9"):
        with pytest.raises(UserError, match="not in the registry"):
            registry.find(address)
    with pytest.raises(UserError, match="must be models:/"):
        registry.find("models:dates")
    assert registry.find("models:/dates") == registry.find("models:/dates@champion")


MALFORMED = {
    b"": "JSON",
    b'{"inputs": [': "JSON",
    b'{"inputs": ["\xff"]}': "utf-8",
    b'{"x": 1}': "inputs",
    b'{"inputs": []}': "the provided value only has 0 inputs",
    b'{"dataframe_records": [{"text": "x"}]}': "'source' is missing",
    b'{"inputs": ["a"], "params": {"decoding": "greedy", "n_best": 2}}': "n_best",
    b'{"inputs": ["a"], "params": {"decoding": "beam", "beam_size": 0}}': "from 1 to 100",
    b'{"inputs": ["a"], "params": {"decoding": "beam", "beam_size": 100000}}': "from 1 to 100",
    json.dumps({"inputs": ["x" * 20_000_000]}).encode(): "longer than 100,000 characters",
    json.dumps({"inputs": ["x"] * 1_000_000}).encode(): "got 1,000,000; send several",
}


@pytest.fixture(scope="module")
def url(registered, store, tmp_path_factory):
    """The address of a real server, in a process of its own."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/dates@champion"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--env-manager", "local", "--port", str(port), "--timeout", "600"],
            env={**os.environ, "MLFLOW_TRACKING_URI": store, "PATH": path},
            stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 300
        while not is_up(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield address
        assert process.poll() is None, log.read_text()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def is_up(address):
    try:
        return urllib.request.urlopen(f"{address}/ping", timeout=2).status == 200
    except OSError:
        return False


def post(url, body, kind="application/json"):
    """The status of the answer, and its text."""
    request = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: body[:40].decode(errors="replace"))
def test_a_server_says_what_is_wrong_with_a_request(url, body):
    code, message = post(url, body)
    assert code == 400
    assert MALFORMED[body] in message


def test_a_server_refuses_what_is_no_json(url):
    code, message = post(url, b"source\nx\n", "text/html")
    assert code == 415
    assert "application/json" in message


def test_a_server_answers_as_the_command_line_after_all_that(
    url, tracked, monkeypatch, capsys, tmp_path
):
    sources = [row["source"] for row in tracked[2]]
    (tmp_path / "in.txt").write_text("".join(f"{source}\n" for source in sources))
    for options, params in (
        ([], {}),
        (["--decoding", "beam", "--set", "beam_size=3"], {"decoding": "beam", "beam_size": 3}),
    ):
        with pytest.raises(SystemExit, match="0"):
            main(
                [
                    "predict",
                    str(tracked[0]),
                    str(tmp_path / "in.txt"),
                    "--format",
                    "jsonl",
                    *options,
                ]
            )
        lines = capsys.readouterr().out.split("\n")[:-1]
        body = {"inputs": sources, **({"params": params} if params else {})}
        code, answer = post(url, json.dumps(body).encode())
        assert code == 200
        predictions = [each["prediction"] for each in json.loads(answer)["predictions"]]
        assert predictions == [json.loads(line)["prediction"] for line in lines]


def test_a_server_answers_many_clients_at_once(url, tracked):
    rows = tracked[2]

    def ask(row):
        code, answer = post(url, json.dumps({"inputs": [row["source"]]}).encode())
        return code, json.loads(answer)["predictions"][0]["prediction"]

    with ThreadPoolExecutor(len(rows)) as pool:
        answers = list(pool.map(ask, rows))
    assert answers == [(200, row["prediction"]) for row in rows]
