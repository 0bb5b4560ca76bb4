"""The routes that the page uses, and its files, without a browser."""

import http.client
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi.testclient import TestClient

from seq2seq.data.embedded.co2 import Co2
from seq2seq.decoding.greedy import Greedy
from seq2seq.decoding.sampling import Sampling
from seq2seq.serving.app import create_app
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.continuation import Continuation
from seq2seq.serving.models.model_info import model_info
from seq2seq.serving.models.served_run import ServedRun
from seq2seq.serving.requests.bodies import GenerateBody
from seq2seq.serving.routes.static_files import FOLDER, HEADERS
from seq2seq.tasks.states import input_states
from tests.serving.conftest import TASKS
from tests.serving.server_thread import Server

LIMITS = Limits(latency=500.0, characters=30_000)


@pytest.fixture(scope="module")
def runs(run_folders):
    return {name: ServedRun(folder, LIMITS) for name, folder in run_folders.items()}


@pytest.fixture(scope="module")
def client(runs):
    with TestClient(create_app(runs, LIMITS), raise_server_exceptions=False) as client:
        yield client


def test_the_page_and_its_files_allow_no_other_scripts(client):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "'unsafe-" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?! type=\"module\" src=)|<style| style=| on\w+=", page.text)
    named = set(re.findall(r"page/([\w.]+)", page.text))
    assert {"app.js", "base.css", "icon.svg"} <= named
    for path in FOLDER.iterdir():
        text = path.read_text()
        answer = client.get(f"/page/{path.name}")
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["x-content-type-options"] == HEADERS["X-Content-Type-Options"]
        imported = re.findall(r"from \"\./([\w.]+)\"", text)
        assert all((FOLDER / name).is_file() for name in imported)
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert client.head("/").status_code == 200


@pytest.mark.parametrize("name", ["none.js", "..%2Fapp.py", "%2e%2e/app.py"])
def test_no_other_file_is_sent(client, name):
    assert client.get(f"/page/{name}").status_code == 404


def test_a_server_with_a_token_sends_the_page_without_it(runs):
    client = TestClient(create_app(runs, LIMITS, token="right"))
    assert client.get("/").status_code == client.get("/page/app.js").status_code == 200
    assert client.get("/page/none.js").status_code == 404
    for path in ("/models", "/metrics", "/openapi.json", "/pages"):
        assert client.get(path).status_code == 401
    for route in ("generate", "states", "series"):
        assert client.post(f"/models/generation/{route}", json={}).status_code == 401


def events(text):
    """The events of a body as pairs of name and data."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block]
    fields = [dict(line.split(": ", 1) for line in block) for block in blocks]
    return [(field.get("event", "message"), json.loads(field["data"])) for field in fields]


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ({"temperature": 0}, Greedy),
        ({"temperature": 0.7, "top_k": 5, "top_p": 0.9, "seed": 3}, Sampling),
    ],
)
def test_a_continuation_is_that_of_the_generator(client, runs, options, strategy):
    reply = client.post(
        "/models/generation/generate", json={"prompt": "7 May", "length": 60, **options}
    )
    assert reply.headers["content-type"].startswith("text/event-stream")
    *parts, last = events(reply.text)
    assert last == ("end", {})
    settings = {key: value for key, value in options.items() if options["temperature"]}
    decoding = strategy(**settings, maximum_length_ratio=0.0, maximum_length_extra=60)
    assert (
        "".join(data["text"] for _, data in parts)
        == runs["generation"].generator(["7 May"], decoding).pop()
    )


def test_a_continuation_ends_before_a_stop_string(client, runs):
    body = {"length": 80, "seed": 1}
    [*parts, _] = events(client.post("/models/generation/generate", json=body).text)
    text = "".join(data["text"] for _, data in parts)
    stop = text[10:12]
    [*parts, last] = events(
        client.post("/models/generation/generate", json={**body, "stop": [stop]}).text
    )
    assert "".join(data["text"] for _, data in parts) == text[: text.index(stop)]
    assert last == ("end", {})


@pytest.mark.parametrize(
    ("task", "route", "body", "status", "named"),
    [
        ("generation", "generate", {"length": 10**6}, 422, "length: may be 5,000 at most"),
        ("generation", "generate", {"length": 0}, 422, "length"),
        ("generation", "generate", {"temperature": -1}, 422, "temperature"),
        ("generation", "generate", {"top_p": 0}, 422, "top_p"),
        ("generation", "generate", {"seed": -1}, 422, "seed"),
        ("generation", "generate", {"stop": [""]}, 422, "stop"),
        ("generation", "generate", {"prompt": "a" * 30_001}, 422, "prompt"),
        ("generation", "generate", {"prompt": "\ud800"}, 400, "surrogate"),
        ("generation", "generate", {"beam_size": 3}, 422, "beam_size"),
        ("translation", "generate", {"prompt": "a"}, 400, "Translation"),
        ("none", "generate", {"prompt": "a"}, 404, "no such model"),
        ("translation", "states", {"input": "a" * 301}, 422, "300 characters"),
        ("translation", "states", {"input": "a", "units": 0}, 422, "units"),
        ("translation", "states", {"input": ""}, 400, "no token"),
        ("translation", "states", {"input": 5}, 422, "input"),
        ("translation", "states", {"input": {"text": "a"}}, 400, "source"),
        ("tagging", "states", {"input": " "}, 400, "no token"),
        ("generation", "states", {"input": ["a"]}, 400, "text"),
        ("generation", "states", {"input": {"source": 3}}, 400, "text"),
        ("forecasting", "states", {"input": "a"}, 400, "series"),
        ("forecasting", "series", {"csv": "a,b\n1,2\n"}, 400, "'ds'"),
        ("forecasting", "series", {"csv": "unique_id,ds,y\na,b,3\n"}, 400, "csv"),
        ("forecasting", "series", {"csv": ""}, 400, "csv"),
        ("forecasting", "series", {"csv": "a" * 30_001}, 422, "csv"),
        ("tagging", "series", {"csv": "a"}, 400, "Tagging"),
    ],
)  # fmt: skip
def test_a_faulty_request_gets_one_message(client, task, route, body, status, named):
    reply = client.post(
        f"/models/{task}/{route}",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
    assert named in reply.json()["detail"]
    assert "\n" not in reply.json()["detail"]


def test_batches_do_not_wait_for_the_end_of_a_text(runs):
    run = runs["generation"]
    continuation = Continuation(run, GenerateBody(length=5000), 10.0)
    [(text, is_last)] = run.call(continuation.next_part).result(20)
    assert text
    assert not is_last
    made = threading.Event()
    run.call(made.set)
    assert made.wait(5)
    [(_, is_last)] = run.call(continuation.next_part).result(20)
    assert not is_last


def test_streams_of_several_clients_are_those_of_each_alone(client):
    def text_of(seed):
        body = {"length": 100, "seed": seed, "temperature": 0.8}
        [*parts, _] = events(client.post("/models/generation/generate", json=body).text)
        return "".join(data["text"] for _, data in parts)

    alone = [text_of(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(text_of, range(3))) == alone
    assert len(set(alone)) == 3


def test_nothing_more_is_generated_for_a_client_that_hangs_up(runs, monkeypatch):
    parts = []
    next_part = Continuation.next_part

    def counted(self):
        parts.append(None)
        return next_part(self)

    monkeypatch.setattr(Continuation, "next_part", counted)
    server = Server(create_app({"generation": runs["generation"]}, LIMITS))
    connection = http.client.HTTPConnection(*server.address)
    body = json.dumps({"length": 5000, "temperature": 0})  # an untrained model does not end it
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/models/generation/generate", body, headers)
    reply = connection.getresponse()
    assert reply.read(200).startswith(b'data: {"text": ')
    connection.sock.close()
    reply.close()
    time.sleep(0.5)
    count = len(parts)
    time.sleep(0.5)
    assert 0 < len(parts) == count
    server.stop()


def test_an_error_within_a_stream_is_its_last_event(runs, monkeypatch):
    next_part = Continuation.next_part

    def fail_later(self):
        if self.failing:
            raise RuntimeError("secret")
        self.failing = True
        return next_part(self)

    monkeypatch.setattr(Continuation, "failing", False, raising=False)
    monkeypatch.setattr(Continuation, "next_part", fail_later)
    server = Server(create_app({"generation": runs["generation"]}, LIMITS))
    connection = http.client.HTTPConnection(*server.address)
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"length": 5000, "temperature": 0})
    connection.request("POST", "/models/generation/generate", body, headers)
    with pytest.raises(http.client.IncompleteRead) as read:
        connection.getresponse().read()
    [*_, last] = events(read.value.partial.decode())
    assert last == ("error", {"detail": "An unexpected error."})
    server.stop()


def test_parts_of_a_text_wait_for_no_other_requests(runs):
    began = time.monotonic()
    for _ in range(5):
        runs["generation"].call(lambda: None).result(5)
    assert time.monotonic() - began < LIMITS.latency / 1000


def series_input():
    record = next(iter(Co2().records("test")))
    count = 60
    return {
        "unique_id": "co2",
        "ds": list(map(str, record["ds"][:count])),
        "y": [float(value) for value in record["y"][:count]],
    }


@pytest.mark.parametrize("task", TASKS)
def test_states_are_those_of_the_run(client, runs, task):
    value = series_input() if task == "forecasting" else "7 May 2031"
    reply = client.post(f"/models/{task}/states", json={"input": value, "units": 3})
    assert reply.status_code == 200, reply.text
    answer, predictor = reply.json(), runs[task].predictor
    expected = input_states(predictor.task, predictor.model, value)
    assert answer["tokens"] == expected.tokens
    assert answer["prediction"] == expected.prediction
    by_layer = expected.by_layer()
    assert [layer["name"] for layer in answer["layers"]] == list(by_layer)
    for layer in answer["layers"]:
        assert len(layer["units"]) == 3
        assert layer["part"] in answer["tokens"]
        assert list(layer["arrays"]) == list(by_layer[layer["name"]])
        for name, values in layer["arrays"].items():
            array = by_layer[layer["name"]][name]
            assert layer["size"] == array.shape[1]
            np.testing.assert_allclose(values, array[:, layer["units"]], atol=6e-5)


def test_series_of_a_csv_are_inputs_of_predictions(client):
    record = series_input()
    lines = [f"co2,{ds},{y}\n" for ds, y in zip(record["ds"], record["y"], strict=True)]
    csv = "unique_id,ds,y\n" + "".join(lines)
    [parsed] = client.post("/models/forecasting/series", json={"csv": csv}).json()["inputs"]
    assert (parsed["unique_id"], parsed["y"]) == ("co2", record["y"])
    answers = [
        client.post("/models/forecasting/predict", json={"inputs": [value], "levels": [80]}).json()
        for value in (record, parsed)
    ]
    assert answers[0]["predictions"][0]["prediction"] == pytest.approx(
        answers[1]["predictions"][0]["prediction"]
    )


def test_models_say_what_clients_can_request(client):
    infos = {info["name"]: info for info in client.get("/models").json()}
    assert infos["tagging"]["labels"] == ["X", "Y", "Z"]
    assert infos["classification"]["labels"] == ["a", "b"]
    assert [field["name"] for field in infos["forecasting"]["fields"]] == ["unique_id", "ds", "y"]
    assert infos["forecasting"]["maximum_horizon"] >= infos["forecasting"]["horizon"] == 24
    assert infos["forecasting"]["levels"] == [50, 80, 95]
    assert infos["generation"]["maximum_length"] == LIMITS.length
    assert not any(info["attention"] or info["example"] for info in infos.values())


@pytest.mark.parametrize(
    ("row", "example"),
    [
        ({"source": "7 May", "prediction": "x"}, {"source": "7 May"}),
        ({"prediction": "x"}, None),
        ("no object", None),
    ],
)
def test_an_example_is_the_first_input_of_the_test_data(runs, tmp_path, monkeypatch, row, example):
    monkeypatch.setattr(runs["translation"], "folder", tmp_path)
    assert model_info("a", runs["translation"], LIMITS).example is None
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "test.jsonl").write_text(json.dumps(row) + "\n")
    assert model_info("a", runs["translation"], LIMITS).example == example
