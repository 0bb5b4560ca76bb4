"""A plain table of where a training step's time goes."""

import re
from collections import defaultdict
from typing import NamedTuple

from seq2seq.training.trace import OVERHEAD, STEP, WAITING, Trace, moments

TOP = 15

IDLE = "idle: no thread at work"
BETWEEN = "between steps: Python"
ELSE = "everything else"

_GROUPS = {
    "recurrent loops": r"(^|/)while(_\d+)?/|:Seq2seq(Lstm|Gru)\w*$",
    "loss": r"(^|/)loss/|CrossEntropy|:Seq2seqLogit\w*$",
    "dropout": r"dropout\w*/|:Seq2seqDropout\w*$",
    "optimizer": r":(Seq2seq(Adam|Clip|Merged)|Resource(Sparse)?Apply)\w*$",
    "matrix products": r":\w*(MatMul|Einsum)\w*$|:Seq2seqDense\w*$",
    "attention": r":Seq2seqDotAttention\w*$",
    "embedding lookups": r"embedding\w*/.*:\w*Gather\w*$|:UnsortedSegmentSum$|:Seq2seqRows$",
}
"""Group to what the ops of it look like, as `name:Type`; the first that fits is it."""


class Part(NamedTuple):
    """What some group or op takes.

    Attributes:
        name: The group or op.
        milliseconds: Time a step.
        share: The same as a share of the step, 0 to 1.
    """

    name: str
    milliseconds: float
    share: float


class StepTimes(NamedTuple):
    """Where a step's time goes.

    Attributes:
        steps: How many steps were traced.
        milliseconds: Time a step, from the start of one to the start of the next.
        threads: How many threads were at work, on average.
        groups: What the step is made of, the longest first; together the whole step.
        ops: The ops that take most time by themselves, the longest first.
    """

    steps: int
    milliseconds: float
    threads: float
    groups: list[Part]
    ops: list[Part]


def step_times(trace: Trace, optimizer: str) -> StepTimes:
    """Adds up what takes a step's time.

    Where several threads are at work, each moment counts in equal parts for what they do. So the
    parts add up to the step, and an op that runs beside others is charged for its part alone.

    Args:
        trace: The traced steps.
        optimizer: The optimizer's name, which its ops' names begin with.
    """
    spent: dict[str, float] = defaultdict(float)
    busy = 0
    for length, active in moments(trace):
        work = [what for what in active if what != STEP]
        for what in work or [IDLE if active else BETWEEN]:
            spent[what] += length / max(len(work), 1)
        busy += length * len(work)
    total = sum(spent.values())
    steps = len(trace.steps)

    def parts(times: dict[str, float]) -> list[Part]:
        longest_first = sorted(times.items(), key=lambda item: -item[1])
        return [Part(name, time / steps / 1e9, time / total) for name, time in longest_first]

    groups: dict[str, float] = defaultdict(float)
    for what, picoseconds in spent.items():
        groups[group_of(what, optimizer)] += picoseconds
    ops = {what: time for what, time in spent.items() if _is_op(what)}
    return StepTimes(
        steps,
        total / steps / 1e9,
        busy / total,
        parts(groups),
        parts(ops)[:TOP],
    )


def _is_op(what: str) -> bool:
    return what not in (WAITING, OVERHEAD, IDLE, BETWEEN)


def group_of(what: str, optimizer: str) -> str:
    """Returns the group of an op, given as `name:Type`, or what else a thread did."""
    if not _is_op(what):
        return what
    if re.search(rf"(^|/){re.escape(optimizer)}/", what):
        return "optimizer"
    return next((name for name, form in _GROUPS.items() if re.search(form, what)), ELSE)


def as_text(times: StepTimes, cores: int) -> str:
    """Formats the table for a log and a text file."""
    head = (
        f"{times.milliseconds:.1f} ms a step, measured over {times.steps} steps under the "
        f"profiler; {times.threads:.1f} threads at work on {cores} cores"
    )
    groups = _lines("where the time goes", times.groups)
    ops = _lines(f"the {len(times.ops)} ops that take most", times.ops)
    return "\n".join([head, "", *groups, "", *ops]) + "\n"


def _lines(title: str, parts: list[Part]) -> list[str]:
    rows = [f"{p.milliseconds:11.2f}  {p.share:7.1%}  {p.name}" for p in parts]
    return [f"{'ms a step':>11}  {'share':>7}  {title}", *rows]
