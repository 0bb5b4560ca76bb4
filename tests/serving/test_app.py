"""Clients get what `seq2seq predict` gives for each input alone, or one message."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from seq2seq.data.embedded.co2 import Co2
from seq2seq.request import PredictionRequest
from seq2seq.serving.app import create_app
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.served_run import ServedRun
from tests.serving.conftest import TASKS, TEXTS

LIMITS = Limits(latency=20.0, batch_size=16, queue=64, characters=5000, body=20_000)


@pytest.fixture(scope="module")
def runs(run_folders):
    return {name: ServedRun(folder, LIMITS) for name, folder in run_folders.items()}


@pytest.fixture(scope="module")
def client(runs):
    with TestClient(create_app(runs, LIMITS), raise_server_exceptions=False) as client:
        yield client


def inputs_of(task):
    if task != "forecasting":
        return TEXTS
    record = next(iter(Co2().records("test")))
    dates, values = list(map(str, record["ds"])), list(map(float, record["y"]))
    return [{"unique_id": "co2", "ds": dates[:n], "y": values[:n]} for n in (100, 110, 120)]


def assert_same(answer, expected):
    """Texts and labels are equal, numbers nearly."""
    if isinstance(expected, dict):
        assert answer.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(answer[key], value)
    elif isinstance(expected, list | tuple):
        assert len(answer) == len(expected)
        for pair in zip(answer, expected, strict=True):
            assert_same(*pair)
    elif isinstance(expected, float):
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=2e-5)
    else:
        assert answer == expected


@pytest.mark.parametrize("task", TASKS)
def test_concurrent_clients_get_what_each_input_gives_alone(client, runs, task):
    inputs = inputs_of(task)
    alone = [json.loads(json.dumps(runs[task].predictor.predict([value]))) for value in inputs]
    turns = list(itertools.islice(itertools.cycle(range(len(inputs))), 24))

    def send(number):
        return client.post(f"/models/{task}/predict", json={"inputs": [inputs[number]]})

    with ThreadPoolExecutor(8) as pool:
        for number, reply in zip(turns, pool.map(send, turns), strict=True):
            assert reply.status_code == 200, reply.text
            assert_same(reply.json()["predictions"], alone[number])


def test_options_reach_the_search_and_samples_share_no_batch(client, runs):
    def send(options):
        body = {"inputs": [TEXTS[0]], **options}
        return client.post("/models/translation/predict", json=body).json()["predictions"]

    beam = {"decoding": "beam", "beam_size": 3, "n_best": 2}
    settings = {"beam_size": 3}
    request = PredictionRequest(decoding="beam", settings=settings, n_best=2)
    assert_same(
        send(beam), [*map(dict, runs["translation"].predictor.predict([TEXTS[0]], request))]
    )
    sampling = {"decoding": "sampling", "seed": 5}
    with ThreadPoolExecutor(6) as pool:
        samples = list(pool.map(send, [sampling] * 6))
    for sample in samples[1:]:
        assert_same(sample, samples[0])


def test_score_is_that_of_the_run(client, runs):
    pairs = [{"source": "7 May 2031", "target": "a"}, {"source": "a", "target": "Montag"}]
    reply = client.post("/models/translation/score", json={"pairs": pairs})
    assert_same(reply.json()["scores"], [*map(dict, runs["translation"].predictor.score(pairs))])


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({}, 422, "inputs"),
        ({"inputs": []}, 422, "inputs"),
        ({"inputs": [5]}, 422, "inputs.0"),
        ({"inputs": ["a"], "beam": 3}, 422, "beam"),
        ({"inputs": ["a"], "beam_size": 10**6}, 422, "beam_size"),
        ({"inputs": ["a"], "n_best": -1}, 422, "n_best"),
        ({"inputs": ["a"], "horizon": 3}, 400, "horizon"),
        ({"inputs": ["a", 5001 * "b"]}, 422, "inputs[1]"),
        ({"inputs": ["a", "\ud800"]}, 400, "record 2"),
        ({"inputs": [{"text": "a"}]}, 400, "source"),
        ({"inputs": [20_000 * "a"]}, 413, "20,000"),
        ('{"inputs": [', 400, "JSON"),
        ('["a"]', 422, "JSON object"),
    ],
)
def test_a_faulty_request_gets_one_message(client, body, status, named):
    content = body if isinstance(body, str) else json.dumps(body)
    reply = client.post(
        "/models/translation/predict",
        content=content,
        headers={"Content-Type": "application/json"},
    )
    assert reply.status_code == status
    assert named in reply.json()["detail"]
    assert "\n" not in reply.json()["detail"]


def test_a_faulty_request_does_not_disturb_others(client, runs):
    alone = json.loads(json.dumps(runs["translation"].predictor.predict(["a"])))
    bodies = [{"inputs": ["a"]}, {"inputs": ["\ud800"]}] * 6

    def send(body):
        url, headers = "/models/translation/predict", {"Content-Type": "application/json"}
        return client.post(url, content=json.dumps(body), headers=headers)

    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(send, bodies))
    assert [reply.status_code for reply in replies] == [200, 400] * 6
    for reply in replies[::2]:
        assert_same(reply.json()["predictions"], alone)
    assert all("record 1" in reply.json()["detail"] for reply in replies[1::2])


@pytest.fixture
def slow(runs, monkeypatch):
    """The run for tagging, whose predictions wait: events of their start and of their release."""
    started, released = threading.Event(), threading.Event()
    predict = runs["tagging"].predictor.predict

    def wait(*arguments):
        started.set()
        released.wait(20)
        return predict(*arguments)

    monkeypatch.setattr(runs["tagging"].predictor, "predict", wait)
    yield started, released
    released.set()


def test_what_takes_too_long_gets_503_and_a_full_queue_429(runs, slow):
    limits = replace(LIMITS, timeout=0.3)
    url = "/models/tagging/predict"
    with ThreadPoolExecutor(9) as pool:
        client = TestClient(create_app(runs, limits))
        full = {"inputs": ["a"] * 60}
        running = pool.submit(client.post, url, json=full)
        assert slow[0].wait(20)
        replies = list(pool.map(lambda _: client.post(url, json=full), range(2)))
        assert sorted(reply.status_code for reply in replies) == [429, 503]
        assert running.result().status_code == 503
        [busy] = [reply for reply in replies if reply.status_code == 429]
        assert int(busy.headers["Retry-After"]) >= 1
        # The one that ran out of time while it waited has freed its place.
        assert client.post(url, json=full).status_code == 503
    slow[1].set()


def test_an_unexpected_error_shows_nothing_to_clients(client, runs, monkeypatch):
    def fail(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(runs["tagging"].predictor, "predict", fail)
    reply = client.post("/models/tagging/predict", json={"inputs": ["a"]})
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text


def test_models_health_metrics_and_interface(client):
    tasks = {model["name"]: model["task"] for model in client.get("/models").json()}
    assert tasks == {name: name for name in TASKS}
    assert client.get("/health").status_code == client.get("/ready").status_code == 200
    assert client.post("/models/none/predict", json={"inputs": ["a"]}).status_code == 404
    families = text_string_to_metric_families(client.get("/metrics").text)
    counts = {family.name: family for family in families}["seq2seq_requests"].samples
    assert any(sample.labels["status"] == "404" and sample.value == 1 for sample in counts)
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["PredictBody"]["examples"]


def test_a_token_is_needed_where_one_is_set(runs):
    client = TestClient(create_app(runs, LIMITS, token="right"))
    for header, status in (("", 401), ("Bearer wrong", 401), ("Bearer right", 200)):
        assert client.get("/models", headers={"Authorization": header}).status_code == status
    assert client.get("/health").status_code == 200
