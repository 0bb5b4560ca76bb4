"""A model that a server offers under a name, whose run can be replaced while it is served."""

import asyncio
import gc
import json
import logging
import time
import traceback
from collections import deque

from seq2seq.errors import UserError
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.batcher import QueueFullError
from seq2seq.serving.models.model_info import model_info
from seq2seq.serving.models.served_run import ServedRun
from seq2seq.serving.models.session_table import EndedSessionError
from seq2seq.serving.models.sources import RegisteredSource

log = logging.getLogger("seq2seq.serving")

MAXIMUM_DOUBLINGS = 6
"""Of the time until a version that could not be loaded is tried again."""


class ReloadError(Exception):
    """A run could not be replaced; the one before is served."""


class ServedModel:
    """A name, and the run that answers its requests.

    All methods are for the thread of the event loop, which starts each request: so a request gets
    the run before or the one after a reload, and either answers it.

    Args:
        name: The name of the model in the routes.
        run: Its run at first.
        limits: The server's.
    """

    def __init__(self, name: str, run: ServedRun, limits: Limits) -> None:
        self.name, self.run, self._limits = name, run, limits
        self.info = model_info(name, run, limits)
        self._lock = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._ended_sessions: deque[str] = deque(maxlen=limits.sessions)

    async def reload(self) -> None:
        """Loads the run anew beside the old one, and replaces it.

        Where it differs in its weights alone, the old one takes them: its graphs are compiled, and
        TensorFlow frees no graph that has a loop. Otherwise the old one answers the requests that
        it has, and is released.

        Raises:
            ReloadError: If there is no such run, or it is damaged, or of another task.
        """
        async with self._lock:
            await self._replace()

    def run_of_session(self, session: str) -> ServedRun:
        """Returns the run that may know a session.

        Raises:
            EndedSessionError: If the session ended with a run before.
        """
        if session in self._ended_sessions:
            raise EndedSessionError
        return self.run

    async def follow(self) -> None:
        """Reloads a registered model each time that its address means another version.

        A version that could not be loaded is tried again after twice the time, and so on.
        """
        refused, failures, retry = "", 0, 0.0
        while isinstance(self.run.source, RegisteredSource):
            await asyncio.sleep(self._limits.reload)
            try:
                version = await asyncio.to_thread(self.run.source.version)
                is_early = version == refused and time.monotonic() < retry
                if version == self.run.version or is_early:
                    continue
                failures = failures + 1 if version == refused else 1
                wait = self._limits.reload * 2 ** min(failures, MAXIMUM_DOUBLINGS)
                refused, retry = version, time.monotonic() + wait
                await self.reload()
                refused = ""
            except (UserError, ReloadError) as error:
                self._note(error=str(error))
            except Exception as error:
                self._note(error=type(error).__name__, stack=_frames(error))

    async def close(self) -> None:
        """Answers what waits, and ends the threads."""
        await asyncio.to_thread(self.run.batcher.close)
        await asyncio.gather(*self._retiring)

    async def _replace(self) -> None:
        before = self.run
        try:
            after = await asyncio.to_thread(ServedRun, before.source, self._limits, before.trust)
        except UserError as error:
            raise ReloadError(str(error)) from error
        except Exception as error:
            self._note(error=type(error).__name__, stack=_frames(error))
            text = f"{self.name}: could not be loaded ({type(error).__name__})."
            raise ReloadError(text) from error
        if after.task != before.task:
            await asyncio.to_thread(after.batcher.close)
            raise ReloadError(f"{self.name}: is of the task {after.task}, not {before.task}.")
        previous, released = before.version, after
        if not (before.can_take_weights(after) and await self._take_weights(before, after)):
            await asyncio.to_thread(after.warm_up, before)
            self.run, released = after, before
            self._ended_sessions.extend(before.sessions.ids)
        self.info = model_info(self.name, self.run, self._limits)
        self._note(version=self.run.version, previous=previous)
        task = asyncio.create_task(_release(released, self._limits.drain))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _take_weights(self, run: ServedRun, other: ServedRun) -> bool:
        """Replaces the weights of a run between two of its batches, unless its queue is full."""
        try:
            [ended] = await asyncio.wrap_future(run.call(lambda: run.take_weights(other)))
        except QueueFullError:
            return False
        for session in ended:
            run.sessions.discard(session)
        self._ended_sessions.extend(ended)
        return True

    def _note(self, **values: object) -> None:
        log.info(json.dumps({"reload": self.name, **values}))


async def _release(run: ServedRun, drain: float) -> None:
    """Ends a run, and frees its memory."""
    await run.retire(drain)
    del run
    await asyncio.sleep(0)
    gc.unfreeze()  # what was loaded at the start is frozen, see `serve`
    gc.collect()  # models and their graphs are in reference cycles


def _frames(error: Exception) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno}" for frame in frames[-5:]]
