"""Reliability: whether what is predicted with 80 % is right in 80 % of the cases."""

import numpy as np
from matplotlib.figure import Figure

from seq2seq.plots.fonts import plain_text

COLOUR, TEXT_COLOUR, LINE_COLOUR = "#5b7fa6", "#3b424a", "#c9ced4"
BINS = 15


@plain_text
def reliability_figure(
    probabilities: np.ndarray, outcomes: np.ndarray, bins: int = BINS, title: str = ""
) -> Figure:
    """Draws the share of what came true by the probability it was given, and how many there were.

    Example:
        >>> figure = reliability_figure(np.array([0.9, 0.6]), np.array([1, 0]))
        >>> save_figure(figure, Path("plots/reliability.png"))

    Args:
        probabilities: `(decisions,)`, from 0 to 1.
        outcomes: 1 where it came true, else 0, `(decisions,)`.
        bins: How many bins of equal width.
        title: What stands above.

    Returns:
        The figure. It knows nothing of pyplot, so it needs no closing.

    Raises:
        ValueError: If there are no decisions.
    """
    if not len(probabilities):
        raise ValueError("probabilities: there is nothing to draw")
    edges = np.linspace(0, 1, bins + 1)
    counts, _ = np.histogram(probabilities, edges)
    true, _ = np.histogram(probabilities, edges, weights=outcomes)
    meant, _ = np.histogram(probabilities, edges, weights=probabilities)
    used = counts > 0
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=LINE_COLOUR, linewidth=1.2)
    upper.plot(meant[used] / counts[used], true[used] / counts[used], "o-", color=COLOUR)
    upper.set_ylabel("share that is right", fontsize=9, color=TEXT_COLOUR)
    upper.set_ylim(0, 1.02)
    lower.bar(edges[:-1], counts, width=1 / bins, align="edge", color=COLOUR, edgecolor="white")
    lower.set_ylabel("count", fontsize=9, color=TEXT_COLOUR)
    lower.set_xlabel("predicted probability", fontsize=9, color=TEXT_COLOUR)
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        axes.grid(color=LINE_COLOUR, linewidth=0.6, alpha=0.5)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(LINE_COLOUR)
        axes.tick_params(colors=TEXT_COLOUR, labelsize=8.5, length=0)
    if title:
        upper.set_title(title, loc="left", fontsize=12, fontweight="bold", color=TEXT_COLOUR)
    return figure
