"""Dynamic batching: requests of many clients as one batch."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil
from typing import Any

Results = list[Any]


class QueueFullError(Exception):
    """The queue has no room; `retry_after` is when it probably has, in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("The server is busy; try again later.")
        self.retry_after = retry_after


@dataclass
class Job:
    """The inputs of one request, with one future result for each."""

    inputs: Sequence[Any]
    options: object
    length: int
    alone: bool = False
    future: "Future[Results]" = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


class Batcher:
    """Joins the inputs of waiting requests with the same options, and runs them as one batch.

    Each batch has the request that waits longest, and those nearest in length to it. One thread
    runs all batches. If a batch fails, each of its requests runs alone, so that one faulty input
    fails its own request only. The future of a request can be cancelled while it waits.

    Args:
        run: Returns one result an input, from inputs and options.
        latency: The maximum seconds that a request waits for others, while no batch runs.
        batch_size: The maximum number of inputs in a batch; a larger request is one of its own.
        capacity: The maximum number of waiting inputs.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Any], Any], Results],
        latency: float,
        batch_size: int,
        capacity: int,
    ) -> None:
        self._run, self._latency = run, latency
        self._batch_size, self._capacity = batch_size, capacity
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._is_open = True
        self._seconds_per_input = 0.01
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def submit(
        self, inputs: Sequence[Any], options: object, length: int, alone: bool = False
    ) -> "Future[Results]":
        """Queues the inputs of a request.

        Args:
            inputs: The inputs.
            options: How they are run; a batch has the same ones.
            length: The length of the longest input.
            alone: Whether the request is a batch of its own, which waits for no others.

        Raises:
            QueueFullError: If too many inputs wait.
        """
        job = Job(inputs, options, length, alone)
        with self._changed:
            waiting = self.waiting
            if waiting + len(inputs) > self._capacity or not self._is_open:
                raise QueueFullError(max(1, ceil(waiting * self._seconds_per_input)))
            self._jobs.append(job)
            self._changed.notify()
        return job.future

    @property
    def waiting(self) -> int:
        """The number of inputs that wait; cancelled ones do not count."""
        with self._changed:
            return sum(len(job.inputs) for job in self._jobs if not job.future.cancelled())

    def close(self) -> None:
        """Runs what waits, and ends the thread."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            running = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if running:
                self._run_batch(running)

    def _next_batch(self) -> list[Job]:
        """Waits for a batch, and takes it from the queue; empty once closed."""
        with self._changed:
            while True:
                self._jobs = deque(job for job in self._jobs if not job.future.cancelled())
                if not self._jobs:
                    if not self._is_open:
                        return []
                    self._changed.wait()
                    continue
                batch = self._best_batch()
                remaining = self._jobs[0].arrived + self._latency - time.monotonic()
                size = sum(len(job.inputs) for job in batch)
                is_full = size >= self._batch_size or batch[0].alone
                if remaining <= 0 or is_full or not self._is_open:
                    taken = set(map(id, batch))
                    self._jobs = deque(job for job in self._jobs if id(job) not in taken)
                    return batch
                self._changed.wait(remaining)

    def _best_batch(self) -> list[Job]:
        """Returns the oldest job, and compatible ones nearest in length."""
        first = self._jobs[0]
        if first.alone:
            return [first]
        others = [
            job
            for job in self._jobs
            if job.options == first.options and job is not first and not job.alone
        ]
        batch, size = [first], len(first.inputs)
        for job in sorted(others, key=lambda job: abs(job.length - first.length)):
            if size + len(job.inputs) <= self._batch_size:
                batch.append(job)
                size += len(job.inputs)
        return batch

    def _run_batch(self, jobs: Sequence[Job]) -> None:
        inputs = [value for job in jobs for value in job.inputs]
        began = time.monotonic()
        try:
            results = self._run(inputs, jobs[0].options)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:
                self._run_batch([job])
            return
        self._seconds_per_input = (time.monotonic() - began) / len(inputs)
        start = 0
        for job in jobs:
            end = start + len(job.inputs)
            job.future.set_result(results[start:end])
            start = end
