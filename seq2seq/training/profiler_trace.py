"""Reads the traces of TensorFlow's profiler: what each thread did, and when."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.errors import UserError

STEP = "train"
"""The event of one training step; TensorBoard finds the steps by this name."""

WAITING = "waiting for data"
OVERHEAD = "op overhead"
"""The executor's work between two ops: choosing the next one, and passing on results."""

_REGION = "region"


class Span(NamedTuple):
    """A time in which a thread does one thing, in picoseconds since the trace began."""

    start: int
    end: int
    activity: str  # an op as `name:Type`, `WAITING` or `OVERHEAD`


class Trace(NamedTuple):
    """The traced steps."""

    steps: list[tuple[int, int]]  # start and end of each, in picoseconds
    threads: list[list[Span]]  # in order, without overlap


def read_trace(folder: Path) -> Trace:
    """Reads the newest trace in a folder; raises a `UserError` if it has no training step."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    files = sorted(folder.glob("plugins/profile/*/*.xplane.pb"))
    space = xplane_pb2.XSpace()
    if files:
        space.ParseFromString(files[-1].read_bytes())
    host = next((plane for plane in space.planes if plane.name == "/host:CPU"), None)
    trace = _parse(host) if host is not None else Trace([], [])
    if not trace.steps:
        raise UserError(f"{folder}: holds no trace of a training step")
    return trace


class _Event(NamedTuple):
    start: int
    end: int
    name: str
    stats: Mapping[str, int]


def _sorted(events: list[_Event]) -> list[_Event]:
    """Sorts events by time; an event comes before those inside it."""
    return sorted(events, key=lambda event: (event.start, -event.end))


def _events(plane: Any, line: Any) -> list[_Event]:
    """Returns the events of a thread, and one for each region of work it got from another."""
    names = {key: metadata.name for key, metadata in plane.event_metadata.items()}
    stat_names = {key: metadata.name for key, metadata in plane.stat_metadata.items()}
    base = line.timestamp_ns * 1000
    events = _sorted(
        [
            _Event(
                base + event.offset_ps,
                base + event.offset_ps + event.duration_ps,
                names[event.metadata_id],
                {stat_names[s.metadata_id]: s.uint64_value or s.int64_value for s in event.stats},
            )
            for event in line.events
        ]
    )
    regions, begin = [], None
    for event in events:
        if event.name == "ThreadpoolListener::StartRegion":
            begin = event
        elif event.name == "ThreadpoolListener::StopRegion" and begin is not None:
            name = f"{_REGION} {begin.stats.get('_c')}"
            regions.append(_Event(begin.start, event.end, name, {}))
            begin = None
    return _sorted([*events, *regions])


def _parse(plane: Any) -> Trace:
    # The threads of tf.data prepare the next batches beside the step, and are not part of it.
    threads = [_events(plane, line) for line in plane.lines if not line.name.startswith("tf_data")]
    steps = sorted((e.start, e.end) for events in threads for e in events if e.name == STEP)
    origins: dict[str, str] = {}
    spans = [_flatten(events, origins) for events in threads]
    return Trace(steps, [[_resolve(span, origins) for span in thread] for thread in spans])


def _activity(event: _Event) -> str | None:
    """Returns the activity of an event; None for a detail of the event around it."""
    name = event.name
    if name == WAITING or name.startswith(_REGION):
        return name
    if name == "ExecutorState::Process":
        return OVERHEAD
    head, colon, kind = name.rpartition(":")
    is_op = colon and kind.isidentifier() and not head.endswith((":", " "))
    return name.removeprefix("StatefulPartitionedCall/") if is_op else None


def _flatten(events: list[_Event], origins: dict[str, str]) -> list[Span]:
    """Splits a thread's time by its innermost events, and adds the origins of regions.

    Origins are the activities that hand a region of work to another thread.
    """
    spans: list[Span] = []
    stack: list[tuple[int, str]] = []  # ends and activities of the open events
    now = 0

    def close_until(time: int) -> None:
        nonlocal now
        while stack and stack[-1][0] <= time:
            end, activity = stack.pop()
            if end > now:
                spans.append(Span(now, end, activity))
                now = end
        if stack and time > now:
            spans.append(Span(now, time, stack[-1][1]))
        now = max(now, time)

    for event in events:
        activity = _activity(event)
        starts_region = event.name == "ThreadpoolListener::Record"
        if activity is None and not starts_region:
            continue
        close_until(event.start)
        if activity is not None:
            stack.append((event.end, activity))
        elif stack:
            origins[f"{_REGION} {event.stats.get('_p')}"] = stack[-1][1]
    close_until(max((end for end, _ in stack), default=now))
    return spans


def _resolve(span: Span, origins: Mapping[str, str]) -> Span:
    """Replaces a region by the op it was split off from, over any number of threads."""
    activity = span.activity
    while activity in origins:
        activity = origins[activity]
    return span._replace(activity=OVERHEAD if activity.startswith(_REGION) else activity)


def intervals(trace: Trace) -> Iterator[tuple[int, list[str]]]:
    """Yields the length (in picoseconds) and the activities of intervals of the traced steps.

    `STEP` is one of the activities wherever a step is running.
    """
    begin, end = trace.steps[0][0], trace.steps[-1][1]
    changes: list[tuple[int, bool, str]] = []
    for thread in [[Span(*step, STEP) for step in trace.steps], *trace.threads]:
        for span in thread:
            start, stop = max(span.start, begin), min(span.end, end)
            if start < stop:
                changes += [(start, True, span.activity), (stop, False, span.activity)]
    active: list[str] = []
    now = begin
    for time, starts, activity in sorted(changes):
        if time > now:
            yield time - now, active
            now = time
        if starts:
            active.append(activity)
        else:
            active.remove(activity)
