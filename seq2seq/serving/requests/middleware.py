"""What happens to every request: size of the body, token, log line, metrics."""

import hmac
import json
import logging
import random
import time
import traceback
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("seq2seq.serving")

PUBLIC = ("/health", "/ready", "/")
"""What needs no token, beside the files of the page."""

PAGE_FILES = "/page/"

ID_BITS = 48
"""Of a request's id; from a generator in this process, since a system call waits for the GIL."""

FOREIGN = (b"cross-site", b"same-site")
"""What browsers say of requests from pages of other servers."""


class Metrics:
    """The Prometheus metrics of a server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["route", "status"]
        self.requests = Counter("seq2seq_requests", "Requests.", labels, registry=self.registry)
        self.seconds = Histogram(
            "seq2seq_request_seconds", "Time of requests.", ["route"], registry=self.registry
        )


class RequestMiddleware:
    """Limits bodies, checks the token, logs one JSON line a request, and counts it.

    The log has no text of users. An unexpected error is answered by 500 without its message; the
    log has its type and where it was raised.

    Args:
        app: The application.
        metrics: Where requests are counted.
        max_body: The maximum bytes of a body.
        token: The bearer token that clients need; None for no token.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, max_body: int, token: str | None) -> None:
        self.app, self.metrics, self.max_body, self.token = app, metrics, max_body, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, is_started = time.perf_counter(), 500, False
        line: dict[str, Any] = {"id": f"{random.getrandbits(ID_BITS):012x}"}

        async def send_and_note(message: Message) -> None:
            nonlocal status, is_started
            if message["type"] == "http.response.start":
                status, is_started = message["status"], True
            await send(message)

        try:
            if (refusal := self._refusal(scope)) is not None:
                await refusal(scope, receive, send_and_note)
            else:
                await self._answer(scope, receive, send_and_note)
        except Exception as error:
            line["error"] = type(error).__name__
            frames = traceback.extract_tb(error.__traceback__)
            line["stack"] = [f"{frame.filename}:{frame.lineno}" for frame in frames[-5:]]
            text = f"An unexpected error; the server's log has it under the id {line['id']}."
            if not is_started:
                await JSONResponse({"detail": text}, 500)(scope, receive, send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            seconds = time.perf_counter() - began
            line |= {"method": scope["method"], "route": route, "status": status}
            line["milliseconds"] = round(1000 * seconds, 1)
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            log.info(json.dumps(line))

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        path = scope["path"]
        is_public = path in PUBLIC or path.startswith(PAGE_FILES)
        if self.token is not None and not is_public:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
                challenge = {"WWW-Authenticate": "Bearer"}
                return JSONResponse({"detail": "A bearer token is needed."}, 401, challenge)
        is_foreign = headers.get(b"sec-fetch-site") in FOREIGN
        if self.token is None and is_foreign and scope["method"] == "POST":
            text = "Web pages of other servers may not use this one."
            return JSONResponse({"detail": text}, 403)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.max_body:
            return self._too_large()
        return None

    def _too_large(self) -> JSONResponse:
        text = f"body: may have {self.max_body:,} bytes; send several requests."
        return JSONResponse({"detail": text}, 413)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the whole body, which may come in chunks without a length, and answers."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > self.max_body:
                await self._too_large()(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        messages = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self.app(scope, replay, send)
