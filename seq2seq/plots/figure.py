"""The common style of all figures, and writing them to files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.files import whole_file
from seq2seq.plots.fonts import literal_text

TEXT_COLOUR, LINE_COLOUR = "#3b424a", "#c9ced4"
LABEL: dict[str, Any] = {"fontsize": 9, "color": TEXT_COLOUR}
TITLE: dict[str, Any] = {"loc": "left", "fontweight": "bold", "color": TEXT_COLOUR}


def style_axes(
    axes: Axes,
    grid: Literal["x", "y", "both"] = "y",
    hide: Sequence[str] = ("top", "right", "left"),
) -> None:
    """Gives axes a light grid, no tick marks, and only those spines that are not hidden."""
    axes.grid(axis=grid, color=LINE_COLOUR, linewidth=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_color(LINE_COLOUR)
    axes.spines[list(hide)].set_visible(False)
    axes.tick_params(colors=TEXT_COLOUR, labelsize=8.5, length=0)


def save_figure(figure: Figure, path: Path, dots_per_inch: int = 150) -> None:
    """Writes a figure as a PNG, atomically; several processes may write the same file."""
    with whole_file(path) as temporary, literal_text():
        figure.savefig(temporary, format="png", dpi=dots_per_inch, facecolor="white")
