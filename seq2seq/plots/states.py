"""Figures of states: heat maps over the tokens of one input, and maps of many inputs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.plots.figure import COLOURS, LINE_COLOUR, REST_COLOUR, figure_style
from seq2seq.plots.fonts import drawable, fonts_for

MAX_UNITS, MAX_LINES = 32, 6
"""How many units a heat map shows, and how many units are drawn as lines."""

TOKEN, UNIT, LINES_HEIGHT, LETTER = 0.26, 0.075, 1.8, 0.09  # inches
MARGIN, MIN_WIDTH, MAX_WIDTH = 1.4, 5.0, 40.0
MAX_TOKENS = 300
"""How many tokens are labelled; of more, every second, third, ... is."""

Method = Literal["pca", "tsne"]
MAX_LABELS = 20
MARKERS = ("o", "^", "s", "D")


def variation(states: np.ndarray) -> np.ndarray:
    """Returns the standard deviation of each unit, `(units,)`, over states `(steps, units)`."""
    return np.asarray(states, float).std(axis=0)


def most_varying(states: np.ndarray, count: int) -> np.ndarray:
    """Returns the indices of the units that vary most, in descending order."""
    return np.argsort(-variation(states), kind="stable")[:count]


@figure_style()
def state_figure(
    fields: Mapping[str, np.ndarray], tokens: Sequence[str], states: np.ndarray, title: str
) -> Figure:
    """Draws a heat map, units x tokens, of each field, above lines of the units that vary most.

    Of many units, the heat maps show those whose states vary most, ordered by index.

    Args:
        fields: Name to values `(steps, units)`; from 0 to 1 where the name ends in `gate`.
        tokens: The label of each step.
        states: `(steps, units)`, drawn as lines.
        title: The title of the figure.

    Raises:
        ValueError: If fields and tokens do not fit.
    """
    for name, values in fields.items():
        if values.shape != (len(tokens), states.shape[1]):
            raise ValueError(f"{name}: {values.shape} does not fit {len(tokens)} tokens")
    units = np.sort(most_varying(states, MAX_UNITS))
    families = fonts_for(*tokens, title)
    labels = drawable(tokens, families)
    heights = [max(UNIT * len(units), 1.5)] * len(fields) + [LINES_HEIGHT]
    height = sum(heights) + LETTER * max(map(len, labels)) + MARGIN
    width = np.clip(TOKEN * len(tokens) + MARGIN, MIN_WIDTH, MAX_WIDTH)
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for axes, (name, values) in zip(panels, fields.items(), strict=False):
        _draw_heat_map(figure, axes, name, values[:, units].T, units)
    _draw_lines(panels[-1], states)
    every = slice(None, None, 1 + (len(labels) - 1) // MAX_TOKENS)
    positions = range(len(labels))[every]
    panels[-1].set_xticks(positions, labels[every], rotation=90, fontsize=9, fontfamily=families)
    panels[-1].set_xlabel("token")
    figure.suptitle(title, x=0.01, ha="left", fontfamily=families)
    return figure


def _draw_heat_map(
    figure: Figure, axes: Axes, name: str, values: np.ndarray, units: np.ndarray
) -> None:
    """Draws values `(units, steps)`."""
    is_gate = name.endswith("gate")
    limit = 1.0 if is_gate else max(1.0, float(np.abs(values).max()))
    image = axes.imshow(
        values, cmap="Blues" if is_gate else "RdBu_r", vmin=0 if is_gate else -limit, vmax=limit,
        aspect="auto", interpolation="nearest",
    )  # fmt: skip
    axes.set_title(name.replace("_", " "), fontsize=9.5, fontweight="normal")
    every = 1 + (len(units) - 1) // 16
    axes.set_yticks(range(0, len(units), every), units[::every], fontsize=6.5)
    axes.set_ylabel("unit", fontsize=8.5)
    bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.05, aspect=20)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label("gate" if is_gate else "state", fontsize=8.5)
    bar.ax.tick_params(labelsize=7)


def _draw_lines(axes: Axes, states: np.ndarray) -> None:
    """Draws the units that vary most, of states `(steps, units)`."""
    for unit, colour in zip(most_varying(states, MAX_LINES), COLOURS, strict=False):
        axes.plot(
            states[:, unit], color=colour, linewidth=1.6, label=f"unit {unit}",
            marker="o", markersize=3,
        )  # fmt: skip
    axes.set_ylabel("state", fontsize=8.5)
    axes.axhline(0, color=LINE_COLOUR, linewidth=0.8, zorder=0)
    axes.legend(
        ncols=MAX_LINES // 2, fontsize=7.5, loc="lower left",
        bbox_to_anchor=(0, 1), borderaxespad=0, title="units that vary most", alignment="left",
        title_fontsize=9.5,
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7.5)


def plane(states: np.ndarray, method: Method) -> np.ndarray:
    """Projects states `(inputs, units)` of at least 3 inputs to `(inputs, 2)`, deterministically.

    `pca` finds the directions of the largest variance; `tsne` keeps neighbours together (van der
    Maaten & Hinton, 2008, https://jmlr.org/papers/v9/vandermaaten08a.html).
    """
    if method == "pca":
        from sklearn.decomposition import PCA

        points = PCA(min(2, states.shape[1]), svd_solver="full").fit_transform(states)
        return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(states) - 1) / 3)
    tsne = TSNE(init="pca", perplexity=perplexity, random_state=0)
    return tsne.fit_transform(states - states.mean(axis=0))


@figure_style()
def state_map(points: np.ndarray, labels: Sequence[str] | None, title: str) -> Figure:
    """Draws inputs as points `(inputs, 2)`, see `plane`, with a colour for each frequent label."""
    labels = [""] * len(points) if labels is None else list(labels)
    frequent = sorted(label for label, _ in Counter(sorted(labels)).most_common(MAX_LABELS))
    families = fonts_for(*frequent, title)
    names = drawable(frequent, families)
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    axes = figure.add_subplot()
    others = np.array([label not in frequent for label in labels])
    if others.any():
        x, y = points[others].T
        axes.scatter(x, y, s=9, color=REST_COLOUR, label="(others)", linewidths=0)
    for number, (label, name) in enumerate(zip(frequent, names, strict=True)):
        x, y = points[[other == label for other in labels]].T
        axes.scatter(
            x, y, s=14, alpha=0.8, linewidths=0, label=name,
            color=COLOURS[number % len(COLOURS)], marker=MARKERS[number // len(COLOURS)],
        )  # fmt: skip
    if len(set(labels)) > 1:
        axes.legend(
            loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0.2,
            prop={"family": families, "size": 8.5}, markerscale=1.5,
        )  # fmt: skip
    axes.set_title(title, fontfamily=families)
    axes.set_xlabel("first dimension")
    axes.set_ylabel("second dimension")
    axes.set_xticks([])
    axes.set_yticks([])
    return figure
