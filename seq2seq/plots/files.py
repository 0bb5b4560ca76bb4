"""Figures as files."""

from pathlib import Path

from matplotlib.figure import Figure

from seq2seq.files import whole_file
from seq2seq.plots.fonts import plain_texts


def save_figure(figure: Figure, path: Path, dots_per_inch: int = 150) -> None:
    """Writes a figure as a PNG, whole or not at all; several processes may write the same one.

    Args:
        figure: The figure.
        path: The file, ending in `.png`. Missing folders are made.
        dots_per_inch: How fine the picture is.
    """
    with whole_file(path) as aside, plain_texts():
        figure.savefig(aside, format="png", dpi=dots_per_inch, facecolor="white")
