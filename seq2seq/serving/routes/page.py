"""Further routes, which the page uses: streamed continuations, states, series from CSV."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from seq2seq.errors import UserError
from seq2seq.inference.forecast import series_of_csv
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.continuation import Continuation
from seq2seq.serving.models.served_run import ServedRun
from seq2seq.serving.models.states_answer import states_answer
from seq2seq.serving.requests.bodies import GenerateBody, SeriesBody, StatesBody
from seq2seq.serving.requests.error_responses import QUEUED, errors
from seq2seq.serving.requests.input_checks import check_at_most, check_length
from seq2seq.serving.requests.waiting import result_of
from seq2seq.tasks.forecasting import Forecasting

EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


def add_page_routes(app: FastAPI, run_of: Callable[[str], ServedRun], limits: Limits) -> None:
    """Adds the routes; `run_of` returns a run by its name."""

    @app.post(
        "/models/{model}/generate",
        response_class=StreamingResponse,
        responses={**EVENT_STREAM, **errors(*QUEUED)},
    )
    async def generate(model: str, body: GenerateBody, request: Request) -> StreamingResponse:
        """Continues a text, and sends it as it is generated, as server-sent events.

        Events have a part of the text as `{"text": "..."}`; the last one is named `end`, or
        `error` with `{"detail": "..."}`.
        """
        run = run_of(model)
        check_at_most("length", body.length, limits.length)
        check_length("prompt", body.prompt, limits.characters)
        continuation = Continuation(run, body, limits.timeout)
        [part] = await result_of(run.call(continuation.next_part), request, limits.timeout)
        return StreamingResponse(
            continuation.events(part),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    @app.post("/models/{model}/states", responses=errors(*QUEUED))
    async def states(model: str, body: StatesBody, request: Request) -> dict[str, Any]:
        """Returns hidden and cell states and gates of each recurrent layer, at each token."""
        run = run_of(model)
        is_series = isinstance(run.predictor.task, Forecasting)
        limit = limits.characters if is_series else limits.observed
        check_length("input", body.input, limit)
        future = run.call(lambda: states_answer(run, body.input, body.units))
        [answer] = await result_of(future, request, limits.timeout)
        return {"model": model, **answer}

    @app.post("/models/{model}/series", responses=errors(400, 404, 422))
    async def series(model: str, body: SeriesBody) -> dict[str, Any]:
        """Reads series from CSV, and returns them as `inputs` to predict from."""
        run = run_of(model)
        task = run.predictor.task
        if not isinstance(task, Forecasting):
            raise UserError(f"series: has no meaning for {type(task).__name__} runs.")
        check_length("csv", body.csv, limits.characters)
        records = await asyncio.to_thread(series_of_csv, task, body.csv)
        return {"model": model, "inputs": [_plain(record) for record in records]}


def _plain(value: Any) -> Any:
    """Returns a record of a series as values of JSON."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
