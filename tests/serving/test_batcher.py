"""Requests are joined into batches, and do not disturb each other."""

import threading
import time

import pytest

from seq2seq.serving.models.batcher import Batcher, QueueFullError


class Recorder:
    """Doubles numbers, records its batches, and waits at the first until released."""

    def __init__(self):
        self.batches, self.released, self.started = [], threading.Event(), threading.Event()

    def __call__(self, inputs, options):
        self.started.set()
        self.released.wait(10)
        self.batches.append((list(inputs), options))
        if "bad" in inputs:
            raise ValueError("bad")
        return [2 * value for value in inputs]


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def batcher(recorder):
    batcher = Batcher(recorder, latency=0.0, batch_size=4, capacity=6)
    first = batcher.submit([0], "first", 1)  # while it runs, the others wait
    assert recorder.started.wait(10)
    yield batcher
    recorder.released.set()
    batcher.close()
    assert first.result(0) == [0]


def test_batches_have_the_oldest_request_and_those_nearest_in_length(batcher, recorder):
    lengths = {1: 10, 2: 90, 3: 11, 4: 95, 5: 12}
    futures = [batcher.submit([value], "a", length) for value, length in lengths.items()]
    other = batcher.submit([7], "b", 10)
    recorder.released.set()
    assert [future.result(10) for future in futures] == [[2], [4], [6], [8], [10]]
    assert other.result(10) == [14]
    assert recorder.batches[1:] == [([1, 3, 5, 2], "a"), ([4], "a"), ([7], "b")]


def test_a_faulty_request_fails_alone(batcher, recorder):
    good, bad = batcher.submit([1, 2], "a", 1), batcher.submit(["bad"], "a", 1)
    recorder.released.set()
    assert good.result(10) == [2, 4]
    with pytest.raises(ValueError, match="bad"):
        bad.result(10)


def test_a_full_queue_refuses_and_a_cancelled_request_frees_its_place(batcher, recorder):
    waiting = [batcher.submit([1, 2], "a", 1) for _ in range(3)]
    with pytest.raises(QueueFullError) as refused:
        batcher.submit([1], "a", 1)
    assert refused.value.retry_after >= 1
    assert waiting[1].cancel()
    batcher.submit([5, 6], "a", 1)
    recorder.released.set()
    assert waiting[0].result(10) == waiting[2].result(10) == [2, 4]
    batcher.close()
    assert sum(len(inputs) for inputs, _ in recorder.batches) == 7


def test_a_request_waits_for_others_only_for_the_latency():
    recorder = Recorder()
    recorder.released.set()
    batcher = Batcher(recorder, latency=0.3, batch_size=4, capacity=6)
    began = time.monotonic()
    first, second = batcher.submit([1], "a", 1), batcher.submit([2], "a", 1)
    assert first.result(10) + second.result(10) == [2, 4]
    assert 0.25 < time.monotonic() - began < 5
    assert recorder.batches == [([1, 2], "a")]
    batcher.close()


def test_a_request_that_is_alone_shares_no_batch_and_waits_for_none(batcher, recorder):
    alone = batcher.submit([1], "a", 1, alone=True)
    others = [batcher.submit([value], "a", 1) for value in (2, 3)]
    last = batcher.submit([4], "a", 1, alone=True)
    recorder.released.set()
    assert [f.result(10) for f in (alone, *others, last)] == [[2], [4], [6], [8]]
    assert recorder.batches[1:] == [([1], "a"), ([2, 3], "a"), ([4], "a")]
    waiting = Batcher(recorder, latency=20.0, batch_size=4, capacity=6)
    assert waiting.submit([1], "a", 1, alone=True).result(5) == [2]
    waiting.close()
