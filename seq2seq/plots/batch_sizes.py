"""The figure of speed and memory over the size of batches."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from seq2seq.plots.figure import COLOURS, figure_style, style_axes


@figure_style()
def batch_size_figure(
    sizes: Sequence[int], speeds: Sequence[float], memory: Sequence[float]
) -> Figure:
    """Draws the speed and the memory of a training over the size of its batches.

    Args:
        sizes: The sizes, ascending.
        speeds: Labels a second with each.
        memory: GiB with each.

    Raises:
        ValueError: If there is no size.
    """
    if not sizes:
        raise ValueError("There is no size to draw.")
    figure = Figure(figsize=(7, 4), layout="constrained")
    panels = zip(
        figure.subplots(1, 2),
        (("Speed", "labels a second", speeds), ("Memory", "GiB", memory)),
        strict=True,
    )
    for colour, (axes, (title, label, values)) in zip(COLOURS, panels, strict=False):
        axes.plot(sizes, values, color=colour, marker="o", linewidth=2)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.set_ylim(0, 1.1 * max(values))
        axes.set_title(title)
        axes.set_xlabel("batching.batch_size")
        axes.set_ylabel(label)
        style_axes(axes, grid="both")
    return figure
