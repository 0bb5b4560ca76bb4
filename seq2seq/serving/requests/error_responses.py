"""The errors that routes declare in their OpenAPI."""

from typing import Any

from pydantic import BaseModel


class ErrorAnswer(BaseModel):
    """What is wrong."""

    detail: str


DESCRIPTIONS = {
    400: "The body is no JSON, or an input or an option does not suit the model.",
    401: "The bearer token is missing or wrong.",
    403: "The client may not do this.",
    404: "There is no such model or session.",
    409: "The model could not be reloaded; the one before is served.",
    410: "The session ended, since its model was reloaded.",
    413: "The body is too large.",
    422: "A field is missing, unknown, of another type, or beyond a limit.",
    429: "The server is busy.",
    499: "The client has closed the connection.",
    500: "An unexpected error.",
    503: "The request took too long.",
}

RETRY_AFTER = {
    "Retry-After": {
        "description": "After how many seconds to try again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}

EVERYWHERE = (401, 403, 413, 500)
"""What the middleware may answer to any request."""

QUEUED = (400, 404, 422, 429, 499, 503)
"""What a request may get that waits for the thread of a model."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the declaration of errors, in FastAPI's form."""
    declared: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": DESCRIPTIONS[status]} for status in statuses
    }
    if 429 in declared:
        declared[429]["headers"] = RETRY_AFTER
    return declared
