"""Figures as files."""

import os
from pathlib import Path

from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path, dots_per_inch: int = 150) -> None:
    """Writes a figure as a PNG, whole or not at all; several processes may write the same one.

    Args:
        figure: The figure.
        path: The file, ending in `.png`. Missing folders are made.
        dots_per_inch: How fine the picture is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    figure.savefig(aside, format="png", dpi=dots_per_inch, facecolor="white")
    os.replace(aside, path)
