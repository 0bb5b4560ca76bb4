"""Makes downloads of TensorFlow Datasets fail at once if there is no network."""

import contextlib
import functools
import io
import logging
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import tensorflow_datasets as tfds

from seq2seq.errors import UserError
from seq2seq.private_api import tfds_url_opener

log = logging.getLogger(__name__)

CONNECTION_SECONDS, ANSWER_SECONDS = 5.0, 10.0
"""Time limits for connecting to one address of a host, and to any, with name resolution."""

_PORTS = {"http": 80, "https": 443, "ftp": 21}


@contextlib.contextmanager
def quick_failure(advice: str) -> Iterator[None]:
    """Checks that a host can be reached before TFDS downloads from it, and logs the address.

    Without the check, TFDS tries ten times, which takes minutes. Its own output is suppressed.

    Args:
        advice: What to do without a network, as the end of a message.

    Raises:
        UserError: If a host cannot be reached.
    """

    def checked(open_url: Callable[..., Any]) -> Callable[..., Any]:
        def open_checked(url: str, **options: Any) -> Any:
            parts = urlsplit(url)
            proxy = urllib.request.getproxies().get(parts.scheme)
            if proxy and not urllib.request.proxy_bypass(str(parts.hostname)):
                parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
            host, port = str(parts.hostname), parts.port or _PORTS.get(parts.scheme, 443)
            if problem := unreachable(host, port):
                raise UserError(
                    f"the host {host} cannot be reached ({problem}) for {url}. {advice}"
                )
            log.info("downloading %s", url)
            return open_url(url, **options)

        return open_checked

    tfds.disable_progress_bar()
    try:
        with tfds_url_opener(checked), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()


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

    # In a thread, as name resolution has no time limit of its own.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    return problems[-1]
