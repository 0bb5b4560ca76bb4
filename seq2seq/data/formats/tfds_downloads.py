"""Makes downloads of TensorFlow Datasets fail at once where there is no network."""

import contextlib
import functools
import io
import logging
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader

from seq2seq.errors import UserError

log = logging.getLogger(__name__)

CONNECTION_SECONDS, ANSWER_SECONDS = 5.0, 10.0
"""Time limits for connecting to one address of a host, and for all, name resolution included."""

_PORTS = {"http": 80, "https": 443, "ftp": 21}


@contextlib.contextmanager
def quick_failure(advice: str) -> Iterator[None]:
    """Checks whether a host can be reached before TFDS downloads from it, and logs the address.

    By itself, TFDS tries ten times, which takes minutes. Its own output is suppressed.

    Args:
        advice: What to do without a network, as the end of a message.

    Raises:
        UserError: If a host cannot be reached.
    """
    open_url = downloader._open_url

    def checked(url: str, **options: Any) -> Any:
        parts = urlsplit(url)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if proxy and not urllib.request.proxy_bypass(str(parts.hostname)):
            parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
        host, port = str(parts.hostname), parts.port or _PORTS.get(parts.scheme, 443)
        if problem := unreachable(host, port):
            raise UserError(f"the host {host} cannot be reached ({problem}) for {url}. {advice}")
        log.info("downloading %s", url)
        return open_url(url, **options)

    downloader._open_url = checked
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
        downloader._open_url = open_url


@functools.cache
def unreachable(host: str, port: int) -> str:
    """Returns why no connection to a host can be made; empty if one can."""
    problems = ["no answer"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), CONNECTION_SECONDS).close()
            problems.append("")
        except OSError as error:
            problems.append(error.strerror or str(error) or type(error).__name__)

    # Name resolution has no time limit of its own.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    return problems[-1]
