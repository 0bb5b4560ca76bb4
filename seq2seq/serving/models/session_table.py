"""The sessions that are open: their ids, and when they end."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil

from seq2seq.serving.limits import Limits
from seq2seq.serving.models.batcher import QueueFullError

ID_BYTES = 18


class UnknownSessionError(Exception):
    """No such session is open."""


class EndedSessionError(Exception):
    """A session has ended, since its model was reloaded."""


class TooManySessionsError(QueueFullError):
    """The server has no room for another session."""

    def __init__(self, limit: int, retry_after: int) -> None:
        super().__init__(retry_after)
        self.args = (f"sessions: {limit:,} are open; close one, or try again later.",)


@dataclass
class OpenSession:
    """When a session was used last, how many requests use it, and the steps that it has read."""

    used: float = field(default_factory=time.monotonic)
    requests: int = 0
    position: int = 0


class SessionTable:
    """The open sessions of a run.

    A session ends when its client closes it, or when no request has used it for some time. Its
    state is then in `ended` until the thread that predicts removes it.

    Args:
        limits: The server's.

    Attributes:
        ended: The sessions whose state is to be removed.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[str, OpenSession] = {}
        self.ended: list[str] = []

    def __contains__(self, session: str) -> bool:
        return session in self._open

    @property
    def ids(self) -> list[str]:
        """The open sessions."""
        return list(self._open)

    def create(self) -> str:
        """Returns the id of a new session, which cannot be guessed.

        Raises:
            TooManySessionsError: If as many are open as there may be.
        """
        self._expire()
        if len(self._open) >= self._limits.sessions:
            oldest = min(session.used for session in self._open.values())
            seconds = oldest + self._limits.session_timeout - time.monotonic()
            raise TooManySessionsError(self._limits.sessions, max(1, ceil(seconds)))
        session = secrets.token_urlsafe(ID_BYTES)
        self._open[session] = OpenSession()
        return session

    @contextmanager
    def use(self, session: str) -> Iterator[OpenSession]:
        """Keeps a session open during a request.

        Raises:
            UnknownSessionError: If it is not open.
        """
        self._expire()
        if session not in self._open:
            raise UnknownSessionError
        entry = self._open[session]
        entry.requests += 1
        try:
            yield entry
        finally:
            entry.requests -= 1
            entry.used = time.monotonic()

    def close(self, session: str) -> None:
        """Ends a session; raises as `use`."""
        self._expire()
        if session not in self._open:
            raise UnknownSessionError
        self.discard(session)

    def discard(self, session: str) -> None:
        """Ends a session, if it is open."""
        if self._open.pop(session, None) is not None:
            self.ended.append(session)

    def _expire(self) -> None:
        before = time.monotonic() - self._limits.session_timeout
        for session, entry in list(self._open.items()):
            if entry.used < before and not entry.requests:
                self.discard(session)
