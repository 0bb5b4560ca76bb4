"""What a measurement leaves behind: JSON that says where and when, and a plot."""

import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from seq2seq.ops.processor import describe_instructions
from seq2seq.plots.figure import save_figure
from seq2seq.tracking.environment import describe_environment, own_git_state

# What decides how fast matrices are multiplied.
PROCESSOR_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_tile")
MOST_LOAD = 0.3
"""Results of a machine that was busier are not to be trusted."""


def load_before() -> float:
    """Returns how many processes were running in the last minute, and warns if it is too many.

    Programs that share a core slow each other down several times over: each waits for its threads.
    """
    load = os.getloadavg()[0]
    if load >= MOST_LOAD:
        print(f"warning: this machine is busy (load {load:.2f}): do not trust", file=sys.stderr)
    return load


def about_machine(**more: Any) -> dict[str, Any]:
    """Returns where and when something was measured, and whatever else is given."""
    return {
        "date": date.today().isoformat(),
        "machine": describe_environment()["machine"],
        "processor_flags": processor_flags(Path("/proc/cpuinfo")),
        "kernels": describe_instructions(),
        "commit": own_git_state(),
        **more,
    }


def processor_flags(path: Path) -> list[str]:
    """Returns which of the instruction sets that matter a processor has."""
    if not path.exists():
        return []
    found = set(path.read_text(encoding="utf-8").split())
    return [flag for flag in PROCESSOR_FLAGS if flag in found]


def write(stem: Path, content: dict[str, Any], figure: Figure | None = None) -> None:
    """Writes `stem.json` and, where there is a figure, `stem.png`."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(
        json.dumps(_rounded(content), indent=1) + "\n", encoding="utf-8"
    )
    if figure is not None:
        save_figure(figure, stem.with_suffix(".png"), dots_per_inch=110)


def _rounded(value: Any) -> Any:
    """Returns the same structure with five significant digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
