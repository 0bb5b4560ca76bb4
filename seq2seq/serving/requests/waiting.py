"""Waits for the result of a request while its client does."""

import asyncio
from concurrent.futures import Future
from typing import Any

from fastapi import HTTPException, Request


async def result_of(future: "Future[list[Any]]", request: Request, timeout: float) -> list[Any]:
    """Waits for the results; a client that goes away, or too much time, frees the place."""
    answer = asyncio.wrap_future(future)  # to cancel it cancels the future in the queue
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        either: set[asyncio.Future[Any]] = {answer, gone}
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if gone.done():
            raise HTTPException(499, "The client has closed the connection.")
        raise HTTPException(503, f"The request took longer than {timeout:g} seconds.")
    finally:
        answer.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
