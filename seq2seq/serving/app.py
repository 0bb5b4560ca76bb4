"""The HTTP interface of served runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from seq2seq.errors import UserError
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.batcher import QueueFullError
from seq2seq.serving.models.model_info import ModelInfo
from seq2seq.serving.models.served_model import ServedModel
from seq2seq.serving.models.served_run import BatchOptions, ServedRun
from seq2seq.serving.requests.bodies import PredictBody, ScoreBody
from seq2seq.serving.requests.error_responses import EVERYWHERE, QUEUED, errors
from seq2seq.serving.requests.input_checks import check_inputs, check_options, length_of
from seq2seq.serving.requests.middleware import Metrics, RequestMiddleware
from seq2seq.serving.requests.waiting import result_of
from seq2seq.serving.routes.page import add_page_routes
from seq2seq.serving.routes.reload import add_reload_route
from seq2seq.serving.routes.sessions import add_session_routes
from seq2seq.serving.routes.static_files import add_static_files
from seq2seq.version import version

LOOPBACK = ("127.0.0.1", "localhost")


def create_app(
    runs: Mapping[str, ServedRun], limits: Limits, token: str | None = None, host: str = ""
) -> FastAPI:
    """Returns the application of some runs.

    Args:
        runs: The runs by name; their threads end with the application.
        limits: What one request may do.
        token: The bearer token that clients need; None for no token.
        host: The address it is served at; on loopback, requests for other hosts are refused, which
            a web page could make whose name was bound to that address (DNS rebinding).
    """
    models = {name: ServedModel(name, run, limits) for name, run in runs.items()}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        followed = [asyncio.create_task(m.follow()) for m in models.values() if limits.reload]
        yield
        for task in followed:
            task.cancel()
        for model in models.values():
            await model.close()

    # The pages of FastAPI's documentation load scripts from the internet.
    app = FastAPI(
        title="seq2seq",
        version=version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=errors(*EVERYWHERE),
    )
    metrics = Metrics()
    if host in LOOPBACK:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)
    app.add_middleware(RequestMiddleware, metrics=metrics, max_body=limits.body, token=token)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(QueueFullError, _busy)
    app.add_exception_handler(UserError, _user_error)
    _add_status_routes(app, metrics)
    add_static_files(app)

    def model_of(name: str) -> ServedModel:
        if name not in models:
            raise HTTPException(404, f"model: no such model; there are {', '.join(models)}.")
        return models[name]

    def run_of(name: str) -> ServedRun:
        return model_of(name).run

    _add_model_routes(app, models, run_of, limits)
    add_page_routes(app, run_of, limits)
    add_session_routes(app, model_of, limits)
    add_reload_route(app, model_of, has_token=token is not None)
    return app


def _add_model_routes(
    app: FastAPI,
    models: Mapping[str, ServedModel],
    run_of: Callable[[str], ServedRun],
    limits: Limits,
) -> None:
    @app.post("/models/{model}/predict", responses=errors(*QUEUED))
    async def predict(model: str, body: PredictBody, request: Request) -> dict[str, Any]:
        """Predicts for each input; `predictions` has the rows of `seq2seq predict`."""
        run = run_of(model)
        check_options(body, limits)
        check_inputs("inputs", body.inputs, limits)
        rows = await _answer(run, body.inputs, run.options(body.request()), request, limits)
        return {"model": model, "predictions": [row for group in rows for row in group]}

    @app.post("/models/{model}/score", responses=errors(*QUEUED))
    async def score(model: str, body: ScoreBody, request: Request) -> dict[str, Any]:
        """Returns the log-probabilities of given targets."""
        pairs = [pair.model_dump() for pair in body.pairs]
        check_inputs("pairs", pairs, limits)
        options = BatchOptions(None, body.alignments)
        rows = await _answer(run_of(model), pairs, options, request, limits)
        return {"model": model, "scores": [row for group in rows for row in group]}

    @app.get("/models")
    async def list_models() -> list[ModelInfo]:
        """Lists the models with their tasks, inputs and options."""
        return [model.info for model in models.values()]


def _add_status_routes(app: FastAPI, metrics: Metrics) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Answers while the process lives."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        """Answers while requests are accepted: from when all models are loaded, until a stop."""
        return {"status": "ready"}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """Returns metrics for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _answer(
    run: ServedRun, inputs: Sequence[Any], options: BatchOptions, request: Request, limits: Limits
) -> list[Any]:
    future = run.submit(inputs, options, max(map(length_of, inputs)))
    return await result_of(future, request, limits.timeout)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse({"detail": "body: is not valid JSON."}, 400)
    if first["type"] == "value_error":
        return JSONResponse({"detail": f"body: {first['ctx']['error']}."}, 422)
    if list(first["loc"]) == ["body"]:
        text = "body: must be a JSON object, sent with Content-Type: application/json."
        return JSONResponse({"detail": text}, 422)
    place = [str(part) for part in first["loc"] if part != "body"]
    return JSONResponse({"detail": f"{'.'.join(place)}: {first['msg']}"}, 422)


async def _busy(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QueueFullError)
    return JSONResponse({"detail": str(error)}, 429, {"Retry-After": str(error.retry_after)})


async def _user_error(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 400)
