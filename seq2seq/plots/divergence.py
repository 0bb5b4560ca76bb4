"""The figure of a batch on which a training has diverged."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.plots.figure import COLOURS, figure_style, style_axes

MOST_WEIGHTS = 30
"""Weights shown: those with the largest gradients."""

NOT_FINITE = "not finite"


@figure_style()
def divergence_figure(row_losses: Sequence[float], gradient_norms: Mapping[str, float]) -> Figure:
    """Draws the loss of each row of a batch, and the norm of the gradient of each weight.

    Values that are not finite have bars of full length in another colour.

    Raises:
        ValueError: If there is no row, or no weight.
    """
    if not len(row_losses) or not gradient_norms:
        raise ValueError("There is no row or no weight to draw.")
    norms = sorted(gradient_norms.items(), key=lambda item: -_order(item[1]))[:MOST_WEIGHTS]
    height = 1.2 + 0.2 * max(len(norms), 10)
    figure = Figure(figsize=(10, height), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    _bars(left, [str(number) for number in range(1, len(row_losses) + 1)], list(row_losses))
    left.set_yticks(*_few_ticks(len(row_losses)))
    left.set_title("Loss of each row")
    left.set_ylabel("row of the batch")
    _bars(right, [name for name, _ in norms], [norm for _, norm in norms])
    finite = [norm for _, norm in norms if np.isfinite(norm) and norm > 0]
    if finite and max(finite) > 100 * min(finite):
        right.set_xscale("log")
    right.set_title("Norm of the gradient of each weight")
    return figure


def _order(value: float) -> float:
    return value if np.isfinite(value) else np.inf


def _bars(axes: Axes, names: list[str], values: list[float]) -> None:
    numbers = np.array(values, float)
    is_finite = np.isfinite(numbers)
    longest = float(np.max(np.abs(numbers[is_finite]), initial=0)) or 1.0
    lengths = np.where(is_finite, numbers, longest)
    colours = [COLOURS[0] if finite else COLOURS[1] for finite in is_finite]
    axes.barh(range(len(names)), lengths, color=colours)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    style_axes(axes, grid="x")
    if not is_finite.all():
        axes.barh([0], [0], color=COLOURS[1], label=NOT_FINITE)
        axes.legend(loc="lower right")


def _few_ticks(rows: int) -> tuple[list[int], list[str]]:
    """Returns positions and numbers of at most ten rows."""
    positions = list(range(0, rows, max(1, -(-rows // 10))))
    return positions, [str(position + 1) for position in positions]
