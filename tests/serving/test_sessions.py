"""Sessions over HTTP: pieces against the whole, and how sessions end."""

import time
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient

from seq2seq.data.embedded.co2 import Co2
from seq2seq.inference.sessions import Session
from seq2seq.serving.app import create_app
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.served_run import ServedRun
from tests.serving.conftest import saved_run

LIMITS = Limits(length=1000)
LOCAL = ("127.0.0.1", 50000)
TEXT = "7 May 2031\nMontag et plus 07/08/2051\na b c"


@pytest.fixture(scope="module")
def runs(run_folders):
    """Runs that read streams: of characters, of words, of values."""
    folder = run_folders["translation"].parent
    streaming = {
        "tagging": [
            *("model.encoder.bidirectional=false", "model.output=softmax"),
            *("tokenizer.characters=false", "tokenizer.casing=false"),
            "model/character_features=none",
        ],
        "classification": ["model.encoder.bidirectional=false"],
        "forecasting": ["task.calendar=[]"],
    }
    words = {name: saved_run(folder, name, more) for name, more in streaming.items()}
    folders = {**words, **{n: run_folders[n] for n in ("generation", "translation")}}
    return {name: ServedRun(path, LIMITS) for name, path in folders.items()}


@pytest.fixture(scope="module")
def client(runs):
    app = create_app(runs, LIMITS)
    with TestClient(app, raise_server_exceptions=False, client=LOCAL) as client:
        yield client


class Stream:
    """A session of a client."""

    def __init__(self, client, model):
        self.client = client
        reply = client.post(f"/models/{model}/sessions")
        assert reply.status_code == 201, reply.text
        self.url = f"/models/{model}/sessions/{reply.json()['session']}"

    def send(self, **body):
        return self.client.post(f"{self.url}/feed", json=body)

    def feed(self, **body):
        reply = self.send(**body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def close(self):
        return self.client.delete(self.url)


def assert_same_steps(answers, whole):
    steps = [step for answer in answers for step in answer["steps"]]
    assert [step["token"] for step in steps] == [step["token"] for step in whole["steps"]]
    for step, expected in zip(steps, whole["steps"], strict=True):
        for got, other in zip(step["predictions"], expected["predictions"], strict=True):
            assert got["probability"] == pytest.approx(other["probability"], abs=1e-5)
    assert answers[-1]["position"] == whole["position"] == len(steps)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_pieces_of_a_text_equal_the_whole(client, size):
    whole = Stream(client, "generation").feed(text=TEXT, n_best=3)
    assert len(whole["steps"]) == len(TEXT)
    stream = Stream(client, "generation")
    pieces = [TEXT[start : start + size] for start in range(0, len(TEXT), size)]
    assert_same_steps([stream.feed(text=piece, n_best=3) for piece in pieces], whole)


def test_outputs_are_those_of_a_session(client, runs):
    answer = Stream(client, "generation").feed(text=TEXT, n_best=20)
    predictor = runs["generation"].predictor
    session = Session.of(predictor.model, "a")
    tokenizer = predictor.task.tokenizer
    logits = session.feed({"a": tokenizer.encode([TEXT])[0]})["a"]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for step, expected in zip(answer["steps"], probabilities, strict=True):
        best = np.argsort(-expected)[:20]
        given = [prediction["probability"] for prediction in step["predictions"]]
        np.testing.assert_allclose(given, expected[best], atol=1e-5)
        assert step["predictions"][0]["label"] == tokenizer.pieces(best[:1])[0]


@pytest.mark.parametrize("model", ["tagging", "classification"])
def test_words_and_classes_as_they_come(client, model):
    words = TEXT.split()
    pieces = [{"text": f"{word} "} for word in words]
    if model == "tagging":
        pieces = [{"tokens": [word]} for word in words]
    stream, whole = Stream(client, model), Stream(client, model)
    everything = {"tokens": words} if model == "tagging" else {"text": " ".join(words) + " "}
    steps = whole.feed(**everything)
    assert_same_steps([stream.feed(**piece) for piece in pieces], steps)
    labels = {info["name"]: info["labels"] for info in client.get("/models").json()}[model]
    assert {step["predictions"][0]["label"] for step in steps["steps"]} <= set(labels)


def test_values_of_a_series_are_forecast_as_they_come(client, runs):
    values = [float(value) for value in next(iter(Co2().records("test")))["y"][:120]]
    whole = Stream(client, "forecasting").feed(values=values, horizon=3, levels=[80])
    stream = Stream(client, "forecasting")
    short = stream.feed(values=values[:1], horizon=3)
    assert short["forecasts"] == []
    assert short["detail"]
    for start in range(1, 120, 17):
        last = stream.feed(values=values[start : start + 17], horizon=3, levels=[80])
    assert last["position"] == 120
    [row], [expected] = last["forecasts"], whole["forecasts"]
    np.testing.assert_allclose(row["prediction"], expected["prediction"], rtol=1e-5)
    assert row["ds"] == [121, 122, 123]
    assert set(row["quantiles"]) == set(expected["quantiles"]) != set()


def test_two_sessions_do_not_mix(client):
    texts = [TEXT, TEXT[::-1]]
    wholes = [Stream(client, "generation").feed(text=text) for text in texts]
    streams = [Stream(client, "generation") for _ in texts]
    answers = [[], []]
    for start in range(0, len(TEXT), 4):
        for number, text in enumerate(texts):
            answers[number].append(streams[number].feed(text=text[start : start + 4]))
    for pieces, whole in zip(answers, wholes, strict=True):
        assert_same_steps(pieces, whole)


def test_a_piece_that_is_refused_changes_nothing(client):
    whole = Stream(client, "generation").feed(text=TEXT)
    stream = Stream(client, "generation")
    first = stream.feed(text=TEXT[:10])
    for body, status, named in (
        ({}, 422, "one of text, tokens and values"),
        ({"text": "a", "values": [1]}, 422, "one of"),
        ({"text": "a", "n_best": 10**6}, 422, "n_best"),
        ({"values": [1.0]}, 400, "forecast"),
        ({"tokens": ["a"]}, 400, "give text"),
        ({"text": "a" * 1001}, 400, "1,000 tokens"),
        ({"text": "a" * 200_000}, 422, "100,000"),
    ):
        reply = stream.send(**body)
        assert reply.status_code == status
        assert named in reply.json()["detail"]
    assert stream.feed(text="")["steps"] == []
    assert_same_steps([first, stream.feed(text=TEXT[10:])], whole)


def test_a_model_that_reads_its_whole_input_says_so(client, runs):
    for _ in range(2):
        reply = client.post("/models/translation/sessions")
        assert reply.status_code == 400
        assert "reads its whole input before it predicts" in reply.json()["detail"]
    table = runs["translation"].sessions
    assert table.ids == []
    assert len(table.ended) == 1  # until the next one


def test_a_closed_session_is_unknown_and_its_state_is_removed(client, runs):
    stream = Stream(client, "generation")
    stream.feed(text="abc")
    session = stream.url.rpartition("/")[2]
    assert len(session) >= 22
    sources = runs["generation"].streams._session
    assert session in sources.sources
    assert stream.close().status_code == 204
    assert stream.close().status_code == stream.send(text="a").status_code == 404
    Stream(client, "generation")
    assert session not in sources.sources
    assert client.post("/models/generation/sessions/a/feed", json={"text": "a"}).status_code == 404


def test_sessions_expire_and_are_limited(run_folders):
    limits = replace(LIMITS, sessions=2, session_timeout=0.5)
    run = ServedRun(run_folders["generation"], limits)
    app = create_app({"text": run}, limits)
    with TestClient(app, raise_server_exceptions=False, client=LOCAL) as client:
        first, second = Stream(client, "text"), Stream(client, "text")
        first.feed(text="a")  # compiles the step
        end = time.monotonic() + 0.7
        reply = client.post("/models/text/sessions")
        while time.monotonic() < end:
            first.feed(text="a")
            time.sleep(0.02)
        if reply.status_code == 429:  # unless the first piece took long enough for one to expire
            assert int(reply.headers["Retry-After"]) >= 1
            assert "2 are open" in reply.json()["detail"]
        assert second.send(text="a").status_code == 404
        assert first.feed(text="a")["position"] > 2
        Stream(client, "text")
        assert client.post("/models/text/sessions").status_code == 429
        time.sleep(0.6)
        Stream(client, "text")
        assert first.send(text="a").status_code == 404


@pytest.mark.parametrize("name", ["generation", "classification"])
def test_sessions_end_when_their_model_is_reloaded(name, runs):
    """Those of a classifier, which takes the new weights, too."""
    app = create_app({"text": ServedRun(runs[name].folder, LIMITS)}, LIMITS)
    with TestClient(app, raise_server_exceptions=False, client=LOCAL) as client:
        stream = Stream(client, "text")
        whole = stream.feed(text=TEXT)
        assert client.post("/models/text/reload").status_code == 200
        for reply in (stream.send(text="a"), stream.close()):
            assert reply.status_code == 410
            assert "reloaded" in reply.json()["detail"]
        assert_same_steps([Stream(client, "text").feed(text=TEXT)], whole)
