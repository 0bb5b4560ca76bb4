"""The style of all figures, and writing them to files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.files import atomic_file

TEXT_COLOUR, LINE_COLOUR, REST_COLOUR = "#3b424a", "#c9ced4", "#9aa7b4"
COLOURS = ("#3b6fb6", "#d1495b", "#3a8f63", "#c98a1b", "#7a5195", "#4aa3b5", "#8c6d5a", "#6b7280")
"""Distinguishable with colour blindness, too: they differ in lightness."""


@contextmanager
def figure_style() -> Iterator[None]:
    """Sets the style, for a `with` block or as the decorator `@figure_style()`.

    Figures are drawn and saved with it, because Matplotlib creates some texts only when it saves.
    """
    with style.context(Path(__file__).with_name("style.mplstyle")):
        yield


def style_axes(
    axes: Axes,
    grid: Literal["x", "y", "both"] = "y",
    hide: Sequence[str] = ("top", "right", "left"),
) -> None:
    """Adds a grid to axes and hides some of their spines."""
    axes.grid(axis=grid)
    axes.spines[list(hide)].set_visible(False)


def save_figure(figure: Figure, path: Path, dots_per_inch: int = 150, heading: str = "") -> None:
    """Writes a figure as a PNG, atomically; several processes may write the same file.

    `heading`, such as the name of the run and the split, is written above the figure.
    """
    if heading:
        with figure_style():
            figure.suptitle(heading, x=0.01, ha="left", fontsize=9, fontweight="normal")
    with atomic_file(path) as temporary, figure_style():
        figure.savefig(temporary, format="png", dpi=dots_per_inch, facecolor="white")
