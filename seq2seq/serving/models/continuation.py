"""Streams the continuation of a text as server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

from seq2seq.data.formats.json_lines import check_characters
from seq2seq.decoding.greedy import Greedy
from seq2seq.decoding.sampling import Sampling
from seq2seq.decoding.strategy import Strategy
from seq2seq.serving.models.batcher import QueueFullError
from seq2seq.serving.models.served_run import ServedRun
from seq2seq.serving.requests.bodies import GenerateBody

PART_SECONDS = 0.05
"""How long tokens are generated before requests that wait have their turn."""


class Continuation:
    """The continuation of a text, made part by part in the thread that predicts.

    Between two parts the batches of other requests run. Nothing more is generated once no part is
    requested.

    Args:
        run: A run that generates text.
        body: The request.
        timeout: The maximum seconds to wait for a part.

    Raises:
        UserError: If the run does not generate text, or the prompt cannot be encoded.
    """

    def __init__(self, run: ServedRun, body: GenerateBody, timeout: float) -> None:
        for text in (body.prompt, *body.stop):
            check_characters(text, "prompt and stop")
        self.run, self._timeout = run, timeout
        self._pieces: Iterator[list[str]] = run.generator.stream(
            [body.prompt], strategy_of(body), body.stop
        )
        run.continuations.add(self)

    def next_part(self) -> tuple[str, bool]:
        """Returns the next part of the text, and whether it is the last."""
        text, end = "", time.monotonic() + PART_SECONDS
        for [piece] in self._pieces:
            text += piece
            if time.monotonic() >= end:
                return text, False
        return text, True

    async def events(self, part: tuple[str, bool]) -> AsyncIterator[str]:
        """Yields the events of the text, whose first part has been made."""
        try:
            while True:
                text, is_last = part
                if text:
                    yield event({"text": text})
                if is_last:
                    break
                future = asyncio.wrap_future(self.run.call(self.next_part))
                [part] = await asyncio.wait_for(future, self._timeout)
        except QueueFullError as error:
            yield event({"detail": str(error)}, "error")
        except TimeoutError:
            detail = f"The next part took longer than {self._timeout:g} seconds."
            yield event({"detail": detail}, "error")
        except Exception:
            yield event({"detail": "An unexpected error."}, "error")
            raise
        else:
            yield event({}, "end")
        finally:
            self.run.continuations.discard(self)


def event(data: dict[str, str], name: str | None = None) -> str:
    """Returns a server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n"


def strategy_of(body: GenerateBody) -> Strategy:
    """Returns the search of a request."""
    if body.temperature == 0:
        return Greedy(maximum_length_ratio=0.0, maximum_length_extra=body.length)
    return Sampling(
        body.temperature,
        body.top_k,
        body.top_p,
        seed=body.seed,
        maximum_length_ratio=0.0,
        maximum_length_extra=body.length,
    )
