"""Profiles some training steps, for TensorBoard and as a table of where a step's time goes.

xprof's `framework_op_stats` sums the time of all threads, also of the input pipeline, and knows no
share of a step; it would also bring 55 packages (90 MB).
"""

import logging
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seq2seq.training.profiler_trace import (
    OVERHEAD,
    STEP,
    WAITING,
    Trace,
    intervals,
    read_trace,
)

log = logging.getLogger(__name__)

WARM_UP_STEPS = 10
TRACED_STEPS = 10
TOP = 15

IDLE = "idle: no thread at work"
BETWEEN = "between steps: Python"
OTHER = "everything else"

_GROUPS = {
    "recurrent loops": r"(^|/)while(_\d+)?/|:Seq2seq(Lstm|Gru)\w*$",
    "loss": r"(^|/)loss/|CrossEntropy|:Seq2seqLogit\w*$",
    "dropout": r"dropout\w*/|:Seq2seqDropout\w*$",
    "optimizer": r":(Seq2seq(Adam|Clip|Merged)|Resource(Sparse)?Apply)\w*$",
    "matrix products": r":\w*(MatMul|Einsum)\w*$|:Seq2seqDense\w*$",
    "attention": r":Seq2seqDotAttention\w*$",
    "embedding lookups": r"embedding\w*/.*:\w*Gather\w*$|:UnsortedSegmentSum$|:Seq2seqRows$",
}
"""Groups and the pattern of their ops, as `name:Type`; the first pattern that matches counts."""


class StepProfile(keras.callbacks.Callback):
    """Traces some steps of the first epoch, and reports where their time goes.

    Steps 10 to 20 are traced; where the epoch is shorter, at most its second half. TensorBoard
    opens the folder. The table is logged and written to the folder's `step.txt`.

    Args:
        folder: Folder of the trace and the table.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.done = self.tracing = False
        self.step: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Chooses the steps."""
        steps = self.params["steps"] - self.params["first_step"]
        self.first = min(WARM_UP_STEPS, steps // 2)
        self.last = min(self.first + TRACED_STEPS, steps) - 1

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the trace, and marks the step in it."""
        if batch == self.first and not self.done:
            tf.profiler.experimental.start(str(self.folder))
            self.tracing = True
        if self.tracing:
            self.step = tf.profiler.experimental.Trace(STEP, step_num=batch, _r=1)
            self.step.__enter__()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends the trace after its last step, and reports."""
        if not self.tracing:
            return
        float((logs or {})["loss"])  # waits for a GPU that still runs the step
        self.step.__exit__(None, None, None)
        if batch == self.last:
            self.close()
            self.done = True
            self._report()

    def close(self) -> None:
        """Ends the trace, also after an error."""
        if self.tracing:
            self.tracing = False
            tf.profiler.experimental.stop()

    def _report(self) -> None:
        times = step_times(read_trace(self.folder), self.model.optimizer.name)
        text = as_text(times, os.cpu_count() or 1)
        path = self.folder / "step.txt"
        path.write_text(text, encoding="utf-8")
        log.info(
            "profile of a training step, also in %s (tensorboard --logdir %s shows more):\n%s",
            path,
            self.folder,
            text,
        )


class TimeShare(NamedTuple):
    """Time of a group or an op in each step, also as a share of the step (0 to 1)."""

    name: str
    milliseconds: float
    share: float


class StepTimes(NamedTuple):
    """Where a step's time goes."""

    steps: int  # number of traced steps
    milliseconds: float  # from the start of a step to the start of the next
    threads: float  # mean number of busy threads
    groups: list[TimeShare]  # the longest first; they add up to the step
    ops: list[TimeShare]  # those with most time by themselves, the longest first


def step_times(trace: Trace, optimizer: str) -> StepTimes:
    """Adds up the time of each group and op.

    Where several threads are busy, each interval is divided equally between their activities. So
    the times add up to the step, and an op that runs beside others is charged for its part alone.
    The names of the optimizer's ops begin with its name.
    """
    times: dict[str, float] = defaultdict(float)
    busy = 0
    for length, active in intervals(trace):
        work = [activity for activity in active if activity != STEP]
        for activity in work or [IDLE if active else BETWEEN]:
            times[activity] += length / max(len(work), 1)
        busy += length * len(work)
    total = sum(times.values())
    steps = len(trace.steps)

    def longest_first(times: dict[str, float]) -> list[TimeShare]:
        items = sorted(times.items(), key=lambda item: -item[1])
        return [TimeShare(name, time / steps / 1e9, time / total) for name, time in items]

    groups: dict[str, float] = defaultdict(float)
    for activity, picoseconds in times.items():
        groups[group_of(activity, optimizer)] += picoseconds
    ops = {activity: time for activity, time in times.items() if _is_op(activity)}
    return StepTimes(
        steps, total / steps / 1e9, busy / total, longest_first(groups), longest_first(ops)[:TOP]
    )


def _is_op(activity: str) -> bool:
    return activity not in (WAITING, OVERHEAD, IDLE, BETWEEN)


def group_of(activity: str, optimizer: str) -> str:
    """Returns the group of an op, given as `name:Type`; other activities are their own group."""
    if not _is_op(activity):
        return activity
    if re.search(rf"(^|/){re.escape(optimizer)}/", activity):
        return "optimizer"
    return next((name for name, form in _GROUPS.items() if re.search(form, activity)), OTHER)


def as_text(times: StepTimes, cores: int) -> str:
    """Formats the table for a log and a text file."""
    head = (
        f"{times.milliseconds:.1f} ms a step, measured over {times.steps} steps under the "
        f"profiler; {times.threads:.1f} threads at work on {cores} cores"
    )
    groups = _lines("where the time goes", times.groups)
    ops = _lines(f"the {len(times.ops)} ops that take most", times.ops)
    return "\n".join([head, "", *groups, "", *ops]) + "\n"


def _lines(title: str, rows: list[TimeShare]) -> list[str]:
    lines = [f"{row.milliseconds:11.2f}  {row.share:7.1%}  {row.name}" for row in rows]
    return [f"{'ms a step':>11}  {'share':>7}  {title}", *lines]
