"""The routes of sessions: streams that are read piece by piece."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from seq2seq.serving.limits import Limits
from seq2seq.serving.models.served_model import ServedModel
from seq2seq.serving.models.session_table import EndedSessionError, UnknownSessionError
from seq2seq.serving.requests.bodies import FeedBody
from seq2seq.serving.requests.error_responses import QUEUED, errors
from seq2seq.serving.requests.input_checks import check_at_most, check_length
from seq2seq.serving.requests.waiting import result_of


class Opened(BaseModel):
    """The id of a session."""

    model: str
    session: str


class LabelProbability(BaseModel):
    """A label, class or next token with its probability."""

    label: str
    probability: float


class StepOutput(BaseModel):
    """A token, and what is predicted after it: the most probable first."""

    token: str
    predictions: list[LabelProbability]


class Fed(BaseModel):
    """The outputs of a piece.

    Attributes:
        position: The tokens, or steps of a series, that the session has read.
        steps: Of each token of the piece.
        forecasts: Of a series, what follows; rows as of `predict`.
        detail: Why there is no forecast yet.
    """

    model: str
    session: str
    position: int
    steps: list[StepOutput] = []
    forecasts: list[dict[str, Any]] = []
    detail: str | None = None


def add_session_routes(
    app: FastAPI, model_of: Callable[[str], ServedModel], limits: Limits
) -> None:
    """Adds the routes."""
    app.add_exception_handler(UnknownSessionError, _unknown)
    app.add_exception_handler(EndedSessionError, _ended)

    @app.post("/models/{model}/sessions", status_code=201, responses=errors(*QUEUED))
    async def open_session(model: str, request: Request) -> Opened:
        """Opens a session: a stream whose state the server keeps from piece to piece."""
        run = model_of(model).run
        session = run.sessions.create()
        try:
            with run.sessions.use(session):
                await result_of(run.call(run.open_streams), request, limits.timeout)
        except BaseException:
            run.sessions.discard(session)
            raise
        return Opened(model=model, session=session)

    @app.post("/models/{model}/sessions/{session}/feed", responses=errors(*QUEUED, 410))
    async def feed(model: str, session: str, body: FeedBody, request: Request) -> Fed:
        """Continues a session with a piece, and returns its outputs.

        The outputs of pieces are those of the same tokens in one piece. A piece that is refused
        does not change the state.
        """
        served = model_of(model)
        check_at_most("n_best", body.n_best, limits.hypotheses)
        check_at_most("horizon", body.horizon, limits.horizon)
        for name in ("text", "tokens", "values"):
            check_length(name, getattr(body, name) or "", limits.characters)
        run = served.run_of_session(session)
        with run.sessions.use(session) as entry:
            future = run.call(lambda: run.feed(session, entry, body))
            [answer] = await result_of(future, request, limits.timeout)
        return Fed(model=model, session=session, **answer)

    @app.delete(
        "/models/{model}/sessions/{session}",
        status_code=204,
        responses=errors(404, 410, 422),
    )
    async def close_session(model: str, session: str) -> Response:
        """Closes a session, and removes its state."""
        model_of(model).run_of_session(session).sessions.close(session)
        return Response(status_code=204)


async def _unknown(_: Request, __: Exception) -> JSONResponse:
    text = "session: there is no such session; it was closed, or was not used for too long."
    return JSONResponse({"detail": text}, 404)


async def _ended(_: Request, __: Exception) -> JSONResponse:
    text = "session: has ended, since its model was reloaded; open another one."
    return JSONResponse({"detail": text}, 410)
