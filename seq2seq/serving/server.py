"""Runs the server until a signal asks it to stop."""

import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import uvicorn

from seq2seq.errors import Stopped
from seq2seq.progress import step
from seq2seq.serving.app import create_app
from seq2seq.serving.limits import Limits
from seq2seq.serving.served_run import ServedRun
from seq2seq.trust import Trust


def serve(
    folders: Mapping[str, Path],
    host: str,
    port: int,
    limits: Limits,
    token: str | None = None,
    trust: Trust = (),
) -> None:
    """Serves runs; on SIGTERM or Ctrl-C finishes the requests that it has, and raises `Stopped`.

    Args:
        folders: The run folders by the names of their models.
        host: The address to listen on.
        port: The port.
        limits: What the server does at once, and for one request.
        token: The bearer token that clients need; None for no token.
        trust: Further modules and classes that the runs' configs may name.
    """
    with step("loading the models"):
        runs = {name: ServedRun(folder, limits, trust) for name, folder in folders.items()}
    log = logging.getLogger("seq2seq.serving")
    log.handlers, log.propagate = [logging.StreamHandler(sys.stderr)], False
    log.setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _stop)  # uvicorn drains first, then raises the signal again
    uvicorn.run(
        create_app(runs, limits, token),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=int(limits.drain),
    )


def _stop(number: int, _: FrameType | None) -> None:
    raise Stopped(exit_code=128 + number)
