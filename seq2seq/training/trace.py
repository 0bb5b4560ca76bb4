"""What each thread did at each time, from a trace that TensorFlow's profiler wrote."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.errors import UserError

STEP = "train"
"""The event of one training step; TensorBoard finds the steps by this name."""

WAITING = "waiting for data"
OVERHEAD = "op overhead"
"""What a thread does between two ops: choosing the next one, and handing out results."""

_REGION = "region"


class Span(NamedTuple):
    """Some time in which a thread does one thing.

    Attributes:
        start: When it begins, in picoseconds since the trace began.
        end: When it ends.
        what: An op as `name:Type`, `WAITING` or `OVERHEAD`.
    """

    start: int
    end: int
    what: str


class Trace(NamedTuple):
    """The traced steps.

    Attributes:
        steps: Start and end of each step, in picoseconds.
        threads: The spans of each thread, in order, without overlap.
    """

    steps: list[tuple[int, int]]
    threads: list[list[Span]]


def read_trace(folder: Path) -> Trace:
    """Reads the newest trace below a folder.

    Args:
        folder: What `tf.profiler.experimental.start` was given.

    Raises:
        UserError: If there is no trace of a training step.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    files = sorted(folder.glob("plugins/profile/*/*.xplane.pb"))
    space = xplane_pb2.XSpace()
    if files:
        space.ParseFromString(files[-1].read_bytes())
    host = next((plane for plane in space.planes if plane.name == "/host:CPU"), None)
    trace = _parsed(host) if host is not None else Trace([], [])
    if not trace.steps:
        raise UserError(f"{folder}: holds no trace of a training step")
    return trace


class _Event(NamedTuple):
    start: int
    end: int
    name: str
    stats: Mapping[str, int]


def _events(plane: Any, line: Any) -> list[_Event]:
    """Returns the events of a thread; an event comes before those inside it."""
    names = {key: metadata.name for key, metadata in plane.event_metadata.items()}
    stat_names = {key: metadata.name for key, metadata in plane.stat_metadata.items()}
    base = line.timestamp_ns * 1000
    events = [
        _Event(
            base + event.offset_ps,
            base + event.offset_ps + event.duration_ps,
            names[event.metadata_id],
            {stat_names[s.metadata_id]: s.uint64_value or s.int64_value for s in event.stats},
        )
        for event in line.events
    ]
    return sorted(events, key=lambda event: (event.start, -event.end))


def _parsed(plane: Any) -> Trace:
    # The threads of tf.data make the next batches beside the step, and are no part of it.
    lines = [_events(plane, line) for line in plane.lines if not line.name.startswith("tf_data")]
    steps = sorted((e.start, e.end) for events in lines for e in events if e.name == STEP)
    spans: list[list[Span]] = []
    origins: dict[str, str] = {}
    for events in lines:
        thread: list[Span] = []
        _flatten(_with_regions(events), thread, origins)
        spans.append(thread)
    return Trace(steps, [[_resolved(span, origins) for span in thread] for thread in spans])


def _with_regions(events: list[_Event]) -> list[_Event]:
    """Adds an event for each piece of work that a thread took over from another one."""
    regions, begun = [], None
    for event in events:
        if event.name == "ThreadpoolListener::StartRegion":
            begun = event
        elif event.name == "ThreadpoolListener::StopRegion" and begun is not None:
            name = f"{_REGION} {begun.stats.get('_c')}"
            regions.append(_Event(begun.start, event.end, name, {}))
            begun = None
    return sorted([*events, *regions], key=lambda event: (event.start, -event.end))


def _what(event: _Event) -> str | None:
    """Returns what an event is about; None where it is a detail of the event around it."""
    name = event.name
    if name == WAITING or name.startswith(_REGION):
        return name
    if name == "ExecutorState::Process":
        return OVERHEAD
    head, colon, kind = name.rpartition(":")
    is_op = colon and kind.isidentifier() and not head.endswith((":", " "))
    return name.removeprefix("StatefulPartitionedCall/") if is_op else None


def _flatten(events: list[_Event], spans: list[Span], origins: dict[str, str]) -> None:
    """Parts a thread's time by its innermost events.

    Args:
        events: Those of one thread, an event before those inside it.
        spans: Where the thread's spans are added.
        origins: Where it is added which work hands a region to another thread.
    """
    open_events: list[tuple[int, str]] = []  # ends, and what they are about
    since = 0

    def close_until(time: int) -> None:
        nonlocal since
        while open_events and open_events[-1][0] <= time:
            end, what = open_events.pop()
            if end > since:
                spans.append(Span(since, end, what))
                since = end
        if open_events and time > since:
            spans.append(Span(since, time, open_events[-1][1]))
        since = max(since, time)

    for event in events:
        what = _what(event)
        hands_out = event.name == "ThreadpoolListener::Record"
        if what is None and not hands_out:
            continue
        close_until(event.start)
        if what is not None:
            open_events.append((event.end, what))
        elif open_events:
            origins[f"{_REGION} {event.stats.get('_p')}"] = open_events[-1][1]
    close_until(max((end for end, _ in open_events), default=since))


def _resolved(span: Span, origins: Mapping[str, str]) -> Span:
    """Names the op that a region was split off from, over any number of hands."""
    what = span.what
    while what in origins:
        what = origins[what]
    return span._replace(what=OVERHEAD if what.startswith(_REGION) else what)


def moments(trace: Trace) -> Iterator[tuple[int, list[str]]]:
    """Yields how long (in picoseconds) the threads did what, over all traced steps.

    `STEP` is among it wherever a step is running.
    """
    begin, end = trace.steps[0][0], trace.steps[-1][1]
    changes: list[tuple[int, bool, str]] = []
    for thread in [[Span(*step, STEP) for step in trace.steps], *trace.threads]:
        for span in thread:
            start, stop = max(span.start, begin), min(span.end, end)
            if start < stop:
                changes += [(start, True, span.what), (stop, False, span.what)]
    active: list[str] = []
    now = begin
    for time, starts, what in sorted(changes):
        if time > now:
            yield time - now, active
            now = time
        if starts:
            active.append(what)
        else:
            active.remove(what)
