"""Models are replaced while they are served, and no request is lost."""

import gc
import json
import shutil
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from fastapi.testclient import TestClient

from seq2seq.data.embedded.co2 import Co2
from seq2seq.files import write_checksums
from seq2seq.serving.app import create_app
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.served_run import ServedRun
from seq2seq.serving.models.sources import RegisteredSource
from seq2seq.tasks.model_folder import load_model_folder
from seq2seq.training.weights_file import save_to_memory
from tests.serving.conftest import TEXTS, saved_run

LIMITS = Limits(batch_size=16)
LOCAL = ("127.0.0.1", 50000)
URL = "/models/dates/{}"


@pytest.fixture(scope="module", params=["sizes", "weights"])
def folders(request, run_folders, tmp_path_factory):
    """Two runs of a translation with different predictions, for they differ in the given."""
    first = run_folders["translation"]
    if request.param == "sizes":
        return first, saved_run(first.parent, "translation", ["model.decoder.units=10"])
    second = tmp_path_factory.mktemp("weights") / "run"
    shutil.copytree(first, second)
    change_weights(second)
    return first, second


def change_weights(folder):
    """Gives the model of a run folder random weights."""
    _, model = load_model_folder(folder)
    random = np.random.default_rng(7)
    shapes = [weight.shape for weight in model.training_model.get_weights()]
    model.training_model.set_weights([random.normal(0, 0.5, shape) for shape in shapes])
    weights = save_to_memory(model.training_model)
    (folder / "model" / "model.weights.h5").write_bytes(weights.getbuffer())
    write_checksums(folder / "model")


@pytest.fixture
def folder(folders, tmp_path):
    shutil.copytree(folders[0], tmp_path / "run")
    return tmp_path / "run"


def swap(folder, other):
    shutil.rmtree(folder / "model")
    shutil.copytree(other / "model", folder / "model")


def client_of(folder, limits=LIMITS, **options):
    app = create_app({"dates": ServedRun(folder, limits)}, limits, **options)
    return TestClient(app, raise_server_exceptions=False, client=LOCAL)


def prediction(client, text):
    reply = client.post(URL.format("predict"), json={"inputs": [text]})
    assert reply.status_code == 200, reply.text
    return reply.json()["predictions"][0]["prediction"]


def answers(folder):
    """What a run alone predicts for each text."""
    predictor = ServedRun(folder, LIMITS).predictor
    return {text: predictor(text)["prediction"] for text in TEXTS}


def test_each_answer_during_reloads_is_of_one_of_the_runs(folders, folder):
    before, after = map(answers, folders)
    assert all(before[text] != after[text] for text in TEXTS)
    given, stop = [], threading.Event()
    with client_of(folder) as client:

        def predict_in_a_loop(number):
            while not stop.is_set():
                text = TEXTS[number % len(TEXTS)]
                given.append((text, prediction(client, text)))
                number += 1

        threads = [threading.Thread(target=predict_in_a_loop, args=[n]) for n in range(6)]
        for thread in threads:
            thread.start()
        versions = [client.get("/models").json()[0]["version"]]
        for other in (folders[1], folders[0], folders[1]):
            swap(folder, other)
            reply = client.post(URL.format("reload"))
            assert reply.status_code == 200, reply.text
            versions.append(reply.json()["version"])
            expected = after if other == folders[1] else before
            assert all(prediction(client, text) == expected[text] for text in TEXTS)
        stop.set()
        for thread in threads:
            thread.join()
        assert client.get("/models").json()[0]["version"] == versions[-1]
    assert versions[0] == versions[2] != versions[1] == versions[3]
    assert len(given) > 20
    assert all(answer in (before[text], after[text]) for text, answer in given)
    assert {answer == before[text] for text, answer in given} == {True, False}


INPUTS = {"tagging": [["7", "May"], ["a"]], "classification": TEXTS}


@pytest.mark.parametrize("name", ["translation", "tagging", "classification", "forecasting"])
def test_graphs_take_other_weights_and_none_is_left_in_memory(run_folders, tmp_path, name):
    shutil.copytree(run_folders[name], tmp_path / "run")
    [record] = Co2().records("test")
    series = [{**record, "ds": record["ds"][:120], "y": record["y"][:120]}]
    inputs = series if name == "forecasting" else INPUTS.get(name, TEXTS)
    run = ServedRun(tmp_path / "run", LIMITS)
    with TestClient(create_app({"dates": run}, LIMITS), client=LOCAL) as client:

        def predictions():
            reply = client.post(URL.format("predict"), json={"inputs": inputs})
            assert reply.status_code == 200, reply.text
            return reply.json()["predictions"]

        before, version = predictions(), run.version
        change_weights(tmp_path / "run")
        expected = json.loads(json.dumps(ServedRun(tmp_path / "run", LIMITS).predictor(inputs)))
        graphs = []
        for _ in range(3):
            assert client.post(URL.format("reload")).status_code == 200
            assert predictions() == expected != before
            graphs.append(number_of_graphs())
        assert client.get("/models").json()[0]["version"] == run.version != version
        assert graphs[0] == graphs[1] == graphs[2]


def number_of_graphs():
    gc.collect()
    return sum(isinstance(each, tf.Graph) for each in gc.get_objects())


def test_what_cannot_be_loaded_leaves_the_old_one(run_folders, folders, folder):
    with client_of(folder) as client:
        version = client.get("/models").json()[0]["version"]
        expected = prediction(client, TEXTS[0])

        def refused(reason):
            reply = client.post(URL.format("reload"))
            assert reply.status_code == 409
            assert reason in reply.json()["detail"]
            assert prediction(client, TEXTS[0]) == expected
            assert client.get("/models").json()[0]["version"] == version

        swap(folder, run_folders["tagging"])
        refused("is of the task tagging, not translation")
        swap(folder, folders[1])
        weights = folder / "model" / "model.weights.h5"
        weights.write_bytes(weights.read_bytes()[:-100])
        refused("model.weights.h5")
        shutil.rmtree(folder)
        refused("there is no such folder")
        shutil.copytree(folders[1], folder)
        assert client.post(URL.format("reload")).status_code == 200
        assert prediction(client, TEXTS[0]) != expected


def test_the_memory_of_the_old_one_is_released(run_folders, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_folders["translation"], folder)
    (folder / "model" / "checksums.json").unlink()  # so that it may be any other run
    run = ServedRun(folder, LIMITS)
    app = create_app({"dates": run}, LIMITS)
    released = weakref.ref(run.predictor.model.training_model)
    thread = run.batcher._thread
    del run
    with TestClient(app, client=LOCAL) as client:
        prediction(client, TEXTS[0])
        assert client.post(URL.format("reload")).status_code == 200
        thread.join(10)
        deadline = time.monotonic() + 10
        while released() is not None and time.monotonic() < deadline:
            time.sleep(0.1)
            gc.collect()
        assert released() is None
        prediction(client, TEXTS[0])


def test_who_may_reload(folder):
    with client_of(folder) as client:
        elsewhere = {"Sec-Fetch-Site": "cross-site"}  # as browsers send
        assert client.post(URL.format("reload"), headers=elsewhere).status_code == 403
        assert client.post("/models/none/reload").status_code == 404
    with TestClient(create_app({"a": ServedRun(folder, LIMITS)}, LIMITS)) as client:
        assert client.post("/models/a/reload").status_code == 403
    with client_of(folder, token="right") as client:
        assert client.post(URL.format("reload")).status_code == 401
        headers = {"Authorization": "Bearer right"}
        assert client.post(URL.format("reload"), headers=headers).status_code == 200


def test_a_continuation_ends_with_the_run_that_it_began_with(run_folders):
    run = ServedRun(run_folders["generation"], LIMITS)
    body = {"prompt": "7 May", "length": 1500, "seed": 4}
    with TestClient(create_app({"text": run}, LIMITS), client=LOCAL) as client:
        expected = client.post("/models/text/generate", json=body).text
        replies = []
        request = threading.Thread(
            target=lambda: replies.append(client.post("/models/text/generate", json=body).text)
        )
        request.start()
        while not run.continuations:
            time.sleep(0.005)
        assert client.post("/models/text/reload").status_code == 200
        request.join()

    def text_of(events):
        data = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
        return "".join(part.get("text", part.get("detail", "")) for part in data)

    assert text_of(replies[0]) == text_of(expected)
    assert "event: end" in replies[0]


class FakeRegistry:
    """A registry whose alias means a version of a folder each."""

    def __init__(self, *folders):
        self.folders, self.number = folders, 1

    def fixed_address(self, address):
        assert address == "models:/dates@champion"
        return f"models:/dates/{self.number}"

    def download(self, address, folder):
        run = self.folders[int(address.rpartition("/")[2]) - 1]
        return shutil.copytree(run, folder / "run")


def test_an_alias_that_moves_is_followed(folders, run_folders, monkeypatch):
    registry = FakeRegistry(*folders, run_folders["tagging"])
    monkeypatch.setattr("seq2seq.tracking.logged_models.Registry", lambda: registry)
    limits = replace(LIMITS, reload=0.05)
    run = ServedRun(RegisteredSource("models:/dates@champion"), limits)
    before, after = map(answers, folders)
    with TestClient(create_app({"dates": run}, limits), client=LOCAL) as client:

        def wait_for(version):
            deadline = time.monotonic() + 30
            while client.get("/models").json()[0]["version"] != version:
                assert time.monotonic() < deadline
                time.sleep(0.05)

        assert prediction(client, TEXTS[0]) == before[TEXTS[0]]
        registry.number = 2
        wait_for("models:/dates/2")
        assert prediction(client, TEXTS[0]) == after[TEXTS[0]]
        registry.number = 3  # it tags
        assert client.post(URL.format("reload")).status_code == 409
        time.sleep(1)
        assert client.get("/models").json()[0]["version"] == "models:/dates/2"
        assert prediction(client, TEXTS[0]) == after[TEXTS[0]]
        registry.number = 1
        wait_for("models:/dates/1")
        assert prediction(client, TEXTS[0]) == before[TEXTS[0]]
    assert not run.folder.exists()
