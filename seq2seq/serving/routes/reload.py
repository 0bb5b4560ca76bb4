"""The route that reloads a model."""

import ipaddress
from collections.abc import Callable

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from seq2seq.serving.models.served_model import ReloadError, ServedModel
from seq2seq.serving.requests.error_responses import errors


class Reloaded(BaseModel):
    """The version that is served now, and the one before."""

    model: str
    version: str
    previous: str


def add_reload_route(app: FastAPI, model_of: Callable[[str], ServedModel], has_token: bool) -> None:
    """Adds the route; without a token, it is for clients on this machine only."""
    app.add_exception_handler(ReloadError, _conflict)

    @app.post("/models/{model}/reload", responses=errors(404, 409, 422))
    async def reload(model: str, request: Request) -> Reloaded:
        """Loads a model anew, and serves it in place of the old one.

        An alias of a registered model is resolved again. The old one answers the requests that it
        has. If the new one cannot be loaded, the old one stays.
        """
        if not has_token:
            _check_local(request)
        served = model_of(model)
        previous = served.run.version
        await served.reload()
        return Reloaded(model=model, version=served.run.version, previous=previous)


def _check_local(request: Request) -> None:
    """Refuses clients on other machines."""
    host = request.client.host if request.client else ""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise HTTPException(
            403, "reload: is for clients on the server's machine, unless the server has a token."
        )


async def _conflict(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 409)
