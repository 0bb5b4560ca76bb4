"""The metrics of a run on disk, so that a tracked run has each step once, also after a kill."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"
"""The file of a run folder with all metrics that were logged in training."""


class Point(NamedTuple):
    """A value of a metric."""

    name: str
    value: float
    milliseconds: int
    """When it was logged, since 1970."""
    step: int


class LoggedMetrics:
    """Appends metrics to a file before they are sent, and drops those that it has already.

    A resumed training logs the steps since its checkpoint a second time, with the same values.

    Args:
        path: The file.
        resume: Whether to keep what it holds.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self.points = list(_read(path)) if resume else []
        self._seen = {(point.name, point.step) for point in self.points}
        self._warned = False
        self._append("", "a" if resume else "w")

    def add(self, metrics: Mapping[str, float], step: int, now: int) -> list[Point]:
        """Returns the metrics that are new, after they were written."""
        new = {name: value for name, value in metrics.items() if (name, step) not in self._seen}
        if new:
            self._seen.update((name, step) for name in new)
            line = json.dumps({"step": step, "milliseconds": now, "metrics": new})
            self._append(f"{line}\n", "a")
        return [Point(name, value, now, step) for name, value in new.items()]

    def _append(self, line: str, mode: str) -> None:
        """Writes a line; a full disk must not end the training."""
        try:
            with self.path.open(mode, encoding="utf-8") as file:
                if mode == "a" and not line:
                    file.write("\n")  # the end of a line that a kill has cut
                file.write(line)
        except OSError as error:
            if not self._warned:
                log.warning("%s: cannot be written (%s)", self.path, error)
            self._warned = True


def _read(path: Path) -> Iterator[Point]:
    """Yields the metrics of a file, without lines that a kill has cut."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            content: dict[str, Any] = json.loads(line)
            step, now = int(content["step"]), int(content["milliseconds"])
            values = {str(name): float(value) for name, value in content["metrics"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        for name, value in values.items():
            yield Point(name, value, now, step)
