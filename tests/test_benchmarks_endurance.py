"""Growth of memory, files and threads: the slopes, and a short training that is measured."""

import sys

import numpy as np
import pytest

from benchmarks.endurance import measured, slopes_of, table
from benchmarks.plots import endurance_plot

GROWING = """
import time
kept = []
for number in range(40):
    kept.append(bytearray(2**20))
    time.sleep(0.05)
"""


def test_a_slope_is_that_of_the_settled_part():
    seconds = list(np.linspace(0.0, 100.0, 201))
    growing = [1000 + 5 * max(second, 20) for second in seconds]  # 500 MiB in the whole time
    measures = {"seconds": seconds, "memory_mib": growing, "files": [7.0] * 201,
                "threads": [4.0] * 201}  # fmt: skip
    slopes = slopes_of(measures, count=50_000)
    assert slopes["memory_mib"] == pytest.approx(10.0)  # 500 MiB in 50,000
    assert slopes["files"] == pytest.approx(0, abs=1e-9)
    assert slopes["memory_mib_error"] == pytest.approx(0, abs=1e-6)
    text = table({"training": slopes}, {"training": measures})
    assert "| training | memory_mib | 1,250 | +10.0000 ± 0.0000 |" in text
    figure = endurance_plot({"training": measures}, {"training": 50_000})
    assert len(figure.axes) == 3


def test_a_process_is_measured_from_outside():
    measures = measured([sys.executable, "-c", GROWING])
    memory = measures["memory_mib"]
    assert memory[-1] > memory[0] + 10
    assert all(files >= 3 for files in measures["files"])
    with pytest.raises(RuntimeError, match="no such thing"):
        measured([sys.executable, "-c", "raise SystemExit('no such thing')"])
