"""Runs the server until a signal asks it to stop."""

import logging
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import uvicorn

from seq2seq.errors import Stopped, UserError
from seq2seq.garbage_collection import existing_objects_frozen
from seq2seq.progress import step
from seq2seq.serving.app import create_app
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.served_run import ServedRun
from seq2seq.serving.models.sources import Source
from seq2seq.trust import Trust

BACKLOG = 2048
"""Connections that may wait to be accepted; uvicorn's own number."""


def serve(
    sources: Mapping[str, Source | Path],
    host: str,
    port: int,
    limits: Limits,
    token: str | None = None,
    trust: Trust = (),
) -> None:
    """Serves runs; on SIGTERM or Ctrl-C finishes the requests that it has, and raises `Stopped`.

    Args:
        sources: The run folders, or where they come from, by the names of their models.
        host: The address to listen on.
        port: The port.
        limits: What the server does at once, and for one request.
        token: The bearer token that clients need; None for no token.
        trust: Further modules and classes that the runs' configs may name.

    Raises:
        Stopped: After a signal.
        UserError: If the address cannot be used, or a run cannot be loaded.
    """
    listener = _bound_socket(host, port)
    with step("loading the models"):
        runs = {name: ServedRun(source, limits, trust) for name, source in sources.items()}
    log = logging.getLogger("seq2seq.serving")
    log.handlers, log.propagate = [logging.StreamHandler(sys.stderr)], False
    log.setLevel(logging.INFO)
    config = uvicorn.Config(
        create_app(runs, limits, token, host),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=int(limits.drain),
    )
    signal.signal(signal.SIGTERM, _stop)  # uvicorn drains first, then raises the signal again
    listener.listen(BACKLOG)
    address, port = listener.getsockname()[:2]
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    log.info("serving %s at http://%s", ", ".join(runs), place)
    with existing_objects_frozen():  # no request waits for a look through all of TensorFlow
        uvicorn.Server(config).run(sockets=[listener])


def _bound_socket(host: str, port: int) -> socket.socket:
    """Returns a socket that has the address; it refuses connections until the server listens."""
    if not 0 <= port <= 65535:  # getaddrinfo takes the rest of a division
        raise UserError(f"--port {port}: must be 0 (any free one) to 65535.")
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # Without the protocol, asyncio leaves Nagle's algorithm on, and answers wait 40 ms.
        family, kind, protocol, _, address = addresses[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise UserError(
            f"--host {host} --port {port}: cannot be used: {error.strerror}."
        ) from error
    return listener


def _stop(number: int, _: FrameType | None) -> None:
    raise Stopped(exit_code=128 + number)
