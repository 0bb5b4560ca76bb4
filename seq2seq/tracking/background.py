"""Sends items from a background thread, so that their producer never waits.

MLflow's asynchronous logging drops a batch that fails instead of sending it again, sends from ten
threads in no order, and at the end waits for a server that hangs without a limit.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class BackgroundSender(Generic[Item]):
    """A queue of items and a thread that sends them in batches.

    A batch that fails stays at the head of the queue and is sent again later, so that a receiver
    that recovers gets every item, in order.

    Example:
        >>> received = []
        >>> sender = BackgroundSender(received.extend, on_failure=print, interval=0.1)
        >>> sender.put([1, 2, 3])
        >>> sender.close(timeout=5)
        0
        >>> received
        [1, 2, 3]

    Args:
        send: Sends one batch; raises if the batch did not arrive.
        on_failure: Called with each error that `send` raises.
        interval: Seconds between two batches.
        interval_after_failure: The same after a batch that failed.
        batch_size: The maximum number of items in a batch.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], None],
        on_failure: Callable[[Exception], None],
        interval: float = 2.0,
        interval_after_failure: float = 30.0,
        batch_size: int = 1000,
    ) -> None:
        self._send = send
        self._on_failure = on_failure
        self._interval = interval
        self._interval_after_failure = interval_after_failure
        self._batch_size = batch_size
        self._queue: deque[Item] = deque()
        self._closing = threading.Event()
        # A daemon, because a receiver that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="background-sender", daemon=True)
        self._thread.start()

    def put(self, items: Iterable[Item]) -> None:
        """Queues items and returns at once."""
        self._queue.extend(items)

    def close(self, timeout: float) -> int:
        """Sends the remaining items and ends the thread, within `timeout` seconds.

        Returns:
            The number of items that could not be sent.
        """
        self._closing.set()
        self._thread.join(timeout)
        return len(self._queue)

    def _run(self) -> None:
        interval = self._interval
        while not self._closing.wait(interval):
            interval = self._interval if self._send_queue() else self._interval_after_failure
        self._send_queue()

    def _send_queue(self) -> bool:
        """Sends until the queue is empty (true) or a batch fails (false)."""
        # Only this thread removes items, so at least `size` of them stay available.
        while size := min(len(self._queue), self._batch_size):
            batch = [self._queue[position] for position in range(size)]
            try:
                self._send(batch)
            except Exception as error:
                self._on_failure(error)
                return False
            for _ in range(size):
                self._queue.popleft()
        return True
