"""States of many inputs as points of a plane: what lies close together is alike to the model."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from seq2seq.plots.curves import LINE_COLOUR, TEXT_COLOUR
from seq2seq.plots.fonts import FIRST_CHOICE, fonts_for, plain_text, readable

Method = Literal["pca", "tsne"]

MOST_LABELS = 20
OTHERS_COLOUR = "#c9ced4"
MARKERS = ("o", "^", "s", "D")


def plane(states: np.ndarray, method: Method) -> np.ndarray:
    """Returns states in two dimensions.

    Args:
        states: `(inputs, width)`, of at least 3 inputs.
        method: `pca`: the two directions in which the states vary most; `tsne`: neighbours stay
            neighbours (van der Maaten & Hinton, 2008,
            https://jmlr.org/papers/v9/vandermaaten08a.html).

    Returns:
        `(inputs, 2)`; the same each time.
    """
    centred = states - states.mean(axis=0)
    if method == "pca":
        left, values, directions = np.linalg.svd(centred, full_matrices=False)
        if len(values) < 2:
            return np.pad(left * values, ((0, 0), (0, 1)))
        # The sign of a direction is arbitrary: its largest component is positive.
        largest = np.abs(directions[:2]).argmax(axis=1)
        signs = np.sign(directions[[0, 1], largest])
        return left[:, :2] * values[:2] * signs
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(states) - 1) / 3)
    return TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(centred)


@plain_text
def state_map(points: np.ndarray, labels: Sequence[str] | None, title: str) -> Figure:
    """Draws points, coloured by their labels.

    Args:
        points: `(inputs, 2)`.
        labels: The label of each input, in any script; of many, those beyond the most frequent are
            grey. `None` draws all points in one colour.
        title: What stands above.
    """
    labels = [""] * len(points) if labels is None else list(labels)
    shown = [label for label, _ in Counter(sorted(labels)).most_common(MOST_LABELS)]
    names = sorted(shown) if len(set(labels)) > 1 else []
    families = [FIRST_CHOICE, *fonts_for("".join([*names, title]))]
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    axes = figure.add_subplot()
    others = np.array([label not in shown for label in labels])
    if others.any():
        axes.scatter(
            points[others, 0],
            points[others, 1],
            s=9,
            color=OTHERS_COLOUR,
            label="(others)",
            linewidths=0,
        )
    colours: Any = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for number, label in enumerate(names or shown):
        chosen = points[[each == label for each in labels]]
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=14,
            alpha=0.8,
            linewidths=0,
            color=colours[number % len(colours)],
            marker=MARKERS[number // len(colours)],
            label=readable(label, families),
        )
    if names:
        axes.legend(
            loc="upper left", bbox_to_anchor=(1, 1), frameon=False, borderaxespad=0.2,
            labelcolor=TEXT_COLOUR, prop={"family": families, "size": 8.5}, markerscale=1.5,
        )  # fmt: skip
    axes.set_title(
        title, loc="left", fontsize=11, fontweight="bold", color=TEXT_COLOUR,
        fontfamily=families, parse_math=False,
    )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(LINE_COLOUR)
    return figure
