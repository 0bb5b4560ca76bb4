"""Precision by recall: what a threshold on the probability buys."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve

from seq2seq.plots.fonts import plain_text

TEXT_COLOUR, LINE_COLOUR, REST_COLOUR = "#3b424a", "#c9ced4", "#9aa7b4"
MAX_NAMED = 8


@plain_text
def precision_recall_figure(
    references: np.ndarray, probabilities: np.ndarray, labels: Sequence[str], title: str = ""
) -> Figure:
    """Draws one curve a class, and names the classes with their average precision.

    Where there are many classes, those of the lowest average precision are named.

    Example:
        >>> figure = precision_recall_figure(np.eye(2), np.eye(2), ["no", "yes"])
        >>> save_figure(figure, Path("plots/precision_recall.png"))

    Args:
        references: 1 where a row has a class, else 0, `(rows, classes)`.
        probabilities: `(rows, classes)`.
        labels: The names of the classes.
        title: What stands above.

    Returns:
        The figure. It knows nothing of pyplot, so it needs no closing.

    Raises:
        ValueError: If no row has a class.
    """
    present = np.flatnonzero(references.sum(axis=0)).tolist()
    if not present:
        raise ValueError("references: there is nothing to draw, no row has a class")
    precision = {
        number: average_precision_score(references[:, number], probabilities[:, number])
        for number in present
    }
    worst_first = sorted(present, key=lambda number: precision[number])
    named = worst_first[:MAX_NAMED]
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for number in worst_first[::-1]:
        exact, found, _ = precision_recall_curve(references[:, number], probabilities[:, number])
        style: dict[str, Any] = {
            "label": f"{labels[number]}  {precision[number]:.3f}",
            "linewidth": 1.6,
        }
        if number not in named:
            style = {"color": REST_COLOUR, "linewidth": 0.8, "alpha": 0.6}
        axes.plot(found, exact, drawstyle="steps-post", **style)
    axes.set_xlabel("recall", fontsize=9, color=TEXT_COLOUR)
    axes.set_ylabel("precision", fontsize=9, color=TEXT_COLOUR)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.grid(color=LINE_COLOUR, linewidth=0.6, alpha=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(LINE_COLOUR)
    axes.tick_params(colors=TEXT_COLOUR, labelsize=8.5, length=0)
    axes.legend(title="average precision", fontsize=8, title_fontsize=8, frameon=False)
    if title:
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=TEXT_COLOUR)
    return figure
