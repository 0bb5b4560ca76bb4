"""States and gates over the tokens of one input."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.plots.curves import LINE_COLOUR, TEXT_COLOUR
from seq2seq.plots.fonts import FIRST_CHOICE, fonts_for, plain_text, readable

UNITS, LINES = 32, 6
"""How many units a heat map shows at most, and how many have a line of their own."""

SIGNED, SHARES = "RdBu_r", "Blues"
LINE_COLOURS = ("#d1495b", "#2e6f9e", "#3f8f5b", "#d98b2b", "#7b5ea7", "#5f6b76")
# Inches.
TOKEN, UNIT, LINES_HEIGHT, LETTER = 0.26, 0.075, 1.8, 0.09
MARGIN, LEAST_WIDTH, LARGEST_WIDTH = 1.4, 5.0, 40.0
MOST_TOKENS = 300
"""How many tokens are named at most; of more, every second, third, ... is."""


def reaction(states: np.ndarray) -> np.ndarray:
    """Returns how much each unit reacts to its input: its standard deviation over the steps.

    Args:
        states: `(steps, units)`.

    Returns:
        `(units,)`.
    """
    return np.asarray(states, float).std(axis=0)


def most_reacting(states: np.ndarray, count: int) -> np.ndarray:
    """Returns the numbers of the units that react most, the first one most."""
    return np.argsort(-reaction(states), kind="stable")[:count]


@plain_text
def state_figure(
    fields: Mapping[str, np.ndarray], tokens: Sequence[str], reacting: np.ndarray, title: str
) -> Figure:
    """Draws a heat map, units x tokens, of each field, above lines of the units that react most.

    Of many units those are shown that react most, in the order of their numbers.

    Args:
        fields: Name to values `(steps, units)`; from 0 to 1 for what is named a gate.
        tokens: What stands below the steps, in any script.
        reacting: The states `(steps, units)` that the lines show, and that say which units react
            most, see `reaction`.
        title: What stands above all.

    Raises:
        ValueError: If fields and tokens do not fit.
    """
    for name, values in fields.items():
        if values.shape != (len(tokens), reacting.shape[1]):
            raise ValueError(f"{name}: {values.shape} does not fit {len(tokens)} tokens")
    units = np.sort(most_reacting(reacting, UNITS))
    families = [FIRST_CHOICE, *fonts_for("".join(tokens))]
    labels = [readable(token, families) for token in tokens]
    heights = [max(UNIT * len(units), 1.5)] * len(fields) + [LINES_HEIGHT]
    height = sum(heights) + LETTER * max(map(len, labels)) + MARGIN
    width = np.clip(TOKEN * len(tokens) + MARGIN, LEAST_WIDTH, LARGEST_WIDTH)
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for axes, (name, values) in zip(panels, fields.items(), strict=False):
        _draw_heat_map(figure, axes, name, values[:, units].T, units)
    _draw_lines(panels[-1], reacting)
    style = {"fontfamily": families, "color": TEXT_COLOUR, "parse_math": False}
    named = slice(None, None, 1 + (len(labels) - 1) // MOST_TOKENS)
    places = range(len(labels))[named]
    panels[-1].set_xticks(places, labels[named], rotation=90, fontsize=9, **style)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", **style)
    return figure


def _draw_heat_map(
    figure: Figure, axes: Axes, name: str, values: np.ndarray, units: np.ndarray
) -> None:
    """Draws values `(units, steps)`."""
    is_share = name.endswith("gate")
    largest = 1.0 if is_share else max(1.0, float(np.abs(values).max()))
    image = axes.imshow(
        values,
        cmap=SHARES if is_share else SIGNED,
        vmin=0 if is_share else -largest,
        vmax=largest,
        aspect="auto",
        interpolation="nearest",
    )
    axes.set_title(name.replace("_", " "), loc="left", fontsize=9.5, color=TEXT_COLOUR)
    every = 1 + (len(units) - 1) // 16
    axes.set_yticks(range(0, len(units), every), units[::every], fontsize=6.5, color=TEXT_COLOUR)
    axes.set_ylabel("unit", fontsize=8.5, color=TEXT_COLOUR)
    axes.tick_params(length=0)
    axes.spines[:].set_color(LINE_COLOUR)
    bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05, aspect=20)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(colors=TEXT_COLOUR, labelsize=7, length=0)


def _draw_lines(axes: Axes, values: np.ndarray) -> None:
    """Draws the units that react most, of values `(steps, units)`."""
    for unit, colour in zip(most_reacting(values, LINES), LINE_COLOURS, strict=False):
        axes.plot(
            values[:, unit], color=colour, linewidth=1.6, label=f"unit {unit}",
            marker="o", markersize=3,
        )  # fmt: skip
    axes.set_ylabel("state", fontsize=8.5, color=TEXT_COLOUR)
    axes.axhline(0, color=LINE_COLOUR, linewidth=0.8, zorder=0)
    axes.legend(
        ncols=LINES // 2, fontsize=7.5, labelcolor=TEXT_COLOUR, frameon=False, loc="lower left",
        bbox_to_anchor=(0, 1), borderaxespad=0, title="units that react most", alignment="left",
        title_fontsize=9.5,
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(LINE_COLOUR)
    axes.tick_params(colors=TEXT_COLOUR, labelsize=7.5, length=0)
