"""Figures of states: which units are shown, and where the points of a map lie."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from sklearn.decomposition import PCA

from seq2seq.plots.states import (
    MAX_LABELS,
    MAX_UNITS,
    most_varying,
    plane,
    state_figure,
    state_map,
    variation,
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_units_are_ranked_by_their_variation():
    states = np.zeros((4, 5))
    states[:, 3] = [0, 4, 0, 4]
    states[:, 1] = [1, 2, 1, 2]
    states[:, 0] = 9  # large, but the same all along
    np.testing.assert_allclose(variation(states), [0, 0.5, 0, 2, 0])
    assert most_varying(states, 2).tolist() == [3, 1]


def test_heat_maps_show_the_units_that_vary_most_over_the_tokens():
    tokens = ["7", "▁", "août", "日"]
    states = normal(4, MAX_UNITS + 8)
    states[:, 5] = 0.0
    gates = 1 / (1 + np.exp(-normal(4, MAX_UNITS + 8, seed=1)))
    figure = state_figure({"cell": states, "input_gate": gates}, tokens, states, "encoder")
    cell, gate, lines, *_ = figure.axes
    expected = np.sort(np.argsort(-states.std(axis=0))[:MAX_UNITS])
    np.testing.assert_allclose(cell.images[0].get_array(), states[:, expected].T)
    np.testing.assert_allclose(gate.images[0].get_array(), gates[:, expected].T)
    assert gate.images[0].get_clim() == (0, 1)
    assert 5 not in expected
    best = np.argmax(states.std(axis=0))
    np.testing.assert_allclose(lines.lines[0].get_ydata(), states[:, best])
    FigureCanvasAgg(figure).draw()
    assert [label.get_text() for label in lines.get_xticklabels()][:3] == tokens[:3]


def test_a_long_text_has_a_picture_of_some_size():
    states = normal(900, 3)
    figure = state_figure({"hidden": states}, ["a"] * 900, states, "encoder")
    assert figure.get_figwidth() <= 40
    assert figure.axes[1].get_xticks().tolist() == list(range(0, 900, 3))


def test_states_that_do_not_fit_the_tokens():
    with pytest.raises(ValueError, match="2 tokens"):
        state_figure({"cell": normal(3, 4)}, ["a", "b"], normal(3, 4), "encoder")


def test_pca_is_that_of_scikit_learn():
    states = normal(40, 6) * [5, 3, 1, 1, 1, 1]
    points, expected = plane(states, "pca"), PCA(2).fit_transform(states)
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-8)


def test_tsne_keeps_neighbours_together():
    states = np.concatenate([normal(15, 6), normal(15, 6, seed=1) + 50])
    points = plane(states, "tsne")
    distances = np.linalg.norm(points[:, None] - points, axis=-1) + 1e9 * np.eye(30)
    nearest = distances.argmin(axis=1)
    assert ((nearest < 15) == (np.arange(30) < 15)).all()
    np.testing.assert_array_equal(plane(states, "tsne"), points)


def test_rare_labels_of_a_map_are_grey():
    labels = [str(n) for n in range(MAX_LABELS)] * 2 + ["rare", "rarer"]
    figure = state_map(normal(len(labels), 2), labels, "dates")
    [legend] = [axes.get_legend() for axes in figure.axes]
    names = [text.get_text() for text in legend.get_texts()]
    assert names[0] == "(others)"
    assert sorted(names[1:]) == sorted(set(labels) - {"rare", "rarer"})
    sizes = [len(points.get_offsets()) for points in figure.axes[0].collections]
    assert sizes == [2] + [2] * MAX_LABELS


def test_a_map_without_labels_has_no_legend():
    figure = state_map(normal(9, 2), None, "dates")
    assert figure.axes[0].get_legend() is None
    assert len(figure.axes[0].collections[0].get_offsets()) == 9
