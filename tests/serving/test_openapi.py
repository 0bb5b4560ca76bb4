"""Requests that schemathesis makes from `/openapi.json` get the answers that it declares."""

import json

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from seq2seq.serving.app import create_app
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.served_run import ServedRun
from tests.serving.conftest import TASKS

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
LIMITS = Limits(length=20, horizon=20, hypotheses=3, sessions=5)
SETTINGS = settings(
    max_examples=10,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def app(run_folders):
    runs = {name: ServedRun(path, LIMITS) for name, path in run_folders.items()}
    return create_app(runs, LIMITS)


@pytest.fixture(scope="module")
def schema(app):
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("task", TASKS)
def test_answers_are_as_declared(app, schema, task, mode):
    client = TestClient(app)
    reply = client.post(f"/models/{task}/sessions")
    session = reply.json().get("session", "none")  # of a translation there is none

    def check(case):
        if "model" in case.path_parameters:
            case.path_parameters["model"] = task
        if "session" in case.path_parameters and case.method != "DELETE":
            case.path_parameters["session"] = session
        case.validate_response(case.call(), checks=CHECKS)

    for result in schema.get_all_operations():
        operation = result.ok()
        if mode == GenerationMode.POSITIVE or operation.body:
            SETTINGS(given(operation.as_strategy(generation_mode=mode))(check))()
    client.delete(f"/models/{task}/sessions/{session}")


def test_each_route_declares_its_errors(schema):
    paths = json.loads(json.dumps(schema.raw_schema))["paths"]
    predict = paths["/models/{model}/predict"]["post"]["responses"]
    assert {"200", "400", "401", "404", "413", "422", "429", "499", "503"} <= set(predict)
    assert "409" in paths["/models/{model}/reload"]["post"]["responses"]
    for route in paths.values():
        for operation in route.values():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    [content] = answer["content"].values()
                    assert content["schema"]["$ref"].endswith("/ErrorAnswer")
