import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.tracking.background import BackgroundSender


@given(
    batches=st.lists(st.lists(st.integers(), max_size=7), max_size=7),
    failures=st.lists(st.booleans(), max_size=7),
)
@settings(max_examples=30, deadline=None)
def test_everything_arrives_once_and_in_order(batches, failures):
    received, errors = [], []
    failures = iter(failures)

    def send(batch):
        assert len(batch) <= 3
        if next(failures, False):
            raise ConnectionError("not now")
        received.extend(batch)

    sender = BackgroundSender(
        send, errors.append, interval=0.001, interval_after_failure=0.001, batch_size=3
    )
    for batch in batches:
        sender.put(batch)
    unsent = sender.close(timeout=5)
    everything = [item for batch in batches for item in batch]
    assert received == everything[: len(everything) - unsent]
    assert unsent == 0 or errors


def test_the_producer_does_not_wait_for_the_receiver():
    go_on, went_on = threading.Event(), []
    sender = BackgroundSender(lambda batch: went_on.append(go_on.wait(60)), print, interval=0.001)
    for number in range(10_000):
        sender.put([number])
    go_on.set()  # the receiver has waited for this, and not the producer for it
    assert sender.close(timeout=5) == 0
    assert all(went_on)


def test_a_receiver_that_hangs_is_left_behind():
    go_on = threading.Event()
    sender = BackgroundSender(lambda batch: go_on.wait(10), print)
    sender.put([1, 2])
    assert sender.close(timeout=0.1) == 2
    go_on.set()
