"""The figure of a learning rate range test."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from seq2seq.plots.figure import COLOURS, REST_COLOUR, figure_style, style_axes


@figure_style()
def range_test_figure(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggested: float | None,
) -> Figure:
    """Draws the loss, and its moving average, over the learning rate, on a logarithmic axis.

    Raises:
        ValueError: If there is no step.
    """
    if not rates:
        raise ValueError("There is no step to draw.")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color=REST_COLOUR, linewidth=1, label="loss of a step")
    axes.plot(rates, smoothed, color=COLOURS[0], linewidth=2, label="moving average")
    if suggested is not None:
        label = f"falls fastest: {suggested:.1e}"
        axes.axvline(suggested, color=COLOURS[1], linestyle="--", label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title("Learning rate range test")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.legend()
    style_axes(axes, grid="both")
    return figure
