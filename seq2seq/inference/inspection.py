"""`seq2seq inspect`: writes states and gates of recurrent layers as arrays and figures."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.formats.by_ending import ending_of
from seq2seq.data.formats.json_lines import read_objects
from seq2seq.data.formats.text_files import read_lines
from seq2seq.errors import UserError
from seq2seq.files import atomic_file, write_text
from seq2seq.inference.input_files import announce_terminal, input_path, read_inputs
from seq2seq.inference.predictor import Predictor
from seq2seq.models.base import ensemble_of
from seq2seq.plots.figure import save_figure
from seq2seq.plots.states import Method, most_varying, plane, state_map, variation
from seq2seq.progress import step
from seq2seq.tasks.generation import Generation
from seq2seq.tasks.states import InputStates, input_states, memory_states, state_figures
from seq2seq.terminal import standard_output
from seq2seq.trust import Trust

PRINTED_UNITS = 5
MAXIMUM_COLOURS = 50
MINIMUM_POINTS = 3
TITLES = {"pca": "PCA", "tsne": "t-SNE"}


def inspect(
    run_folder: Path, source: str, output: Path, target: str | None = None, trust: Trust = ()
) -> None:
    """Writes states and figures of each input, and prints the units that vary most.

    Args:
        run_folder: The run folder.
        source: A text; or a file, see `read_inputs`; `-` reads lines from stdin.
        output: The folder to write to. Each input has a folder in it, named by its number, with
            `states.npz` and figures.
        target: The decoder's input, for a translation model.
        trust: Further modules and classes that the run's config may name.

    Raises:
        UserError: If the run or the input cannot be used, or the folder cannot be written.
    """
    predictor = Predictor.load(run_folder, trust=trust)
    [model] = ensemble_of(predictor.model)
    for number, value in enumerate(_inputs(predictor, source), start=1):
        folder = output / str(number)
        try:
            with step(f"inspecting input {number}"):
                states = input_states(predictor.task, model, value, target)
                _write(states, folder)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error})") from error
        stream = standard_output()
        print(f"{states.source} -> {states.prediction}", file=stream)
        for layer, fields in states.by_layer().items():
            print(f"  {layer}: {_most_varying_units(memory_states(fields))}", file=stream)
        print(f"  {folder}", file=stream)


def inspect_map(
    run_folder: Path, source: str, output: Path, method: Method, trust: Trust = ()
) -> None:
    """Plots the final states of inputs as points coloured by label or prediction.

    Args:
        run_folder: The run folder.
        source: A file of inputs, see `read_inputs`. Points are coloured by the second column of a
            TSV file or the key `label` of JSONL; without these by prediction, except those of a
            language model, and at most `MAXIMUM_COLOURS` different ones.
        output: The folder for `map_METHOD.png`, and `map_METHOD.tsv` with the points.
        method: See `plane`.
        trust: Further modules and classes that the run's config may name.

    Raises:
        UserError: If the run or the input cannot be used, or the folder cannot be written.
    """
    predictor = Predictor.load(run_folder, trust=trust)
    inputs = list(_inputs(predictor, source))
    if len(inputs) < MINIMUM_POINTS:
        raise UserError(f"--map: needs at least {MINIMUM_POINTS} inputs, got {len(inputs)}.")
    with step("encoding the inputs"):
        states = _last_layer(predictor.features(inputs))
    labels = _labels(source, len(inputs))
    if labels is None and not isinstance(predictor.task, Generation):
        with step("predicting their labels"):
            labels = [str(row["prediction"]) for row in predictor(inputs)]
    with step(f"computing the {TITLES[method]}"):
        points = plane(states, method)
    colours = labels if labels and len(set(labels)) <= MAXIMUM_COLOURS else None
    figure = state_map(points, colours, f"{TITLES[method]} of {len(inputs)} inputs")
    texts = [x if isinstance(x, str) else str(next(iter(x.values()))) for x in inputs]
    try:
        save_figure(figure, output / f"map_{method}.png")
        _write_points(output / f"map_{method}.tsv", points, labels, texts)
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error})") from error
    print(output / f"map_{method}.png")


def _inputs(predictor: Predictor, source: str) -> Iterator[Any]:
    """Yields the inputs of a file; a source that is not a file is itself the input."""
    if source != "-" and not os.path.exists(source):  # `Path.exists` fails for long texts
        return iter([source])
    announce_terminal(source)
    return (item.value for item in read_inputs(input_path(source), predictor.task))


def _write(states: InputStates, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokens = {f"{part}/tokens": np.array(values) for part, values in states.tokens.items()}
    with atomic_file(folder / "states.npz") as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **tokens, **states.arrays)
    for name, figure in state_figures(states).items():
        save_figure(figure, folder / f"{name}.png")


def _most_varying_units(states: np.ndarray) -> str:
    amounts, units = variation(states), most_varying(states, PRINTED_UNITS)
    return f"units that vary most: {', '.join(f'{u} ({amounts[u]:.2f})' for u in units)}"


def _last_layer(features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the last layer's final hidden states, of all texts and directions concatenated."""
    hidden = [name for name in features if name.endswith(".h")]
    last = max(name.split(".")[-3] for name in hidden)  # such as layer_1
    return np.concatenate([features[name] for name in hidden if f".{last}." in name], axis=1)


def _labels(source: str, count: int) -> list[str] | None:
    """Returns the labels in the file of the inputs; None if it has none."""
    path = Path(source)
    ending = ending_of(path)
    if ending == "jsonl":
        labels = [str(values["label"]) for _, values in read_objects(path) if "label" in values]
    elif ending == "tsv":
        rows = [line.split("\t") for line in read_lines(path)]
        labels = [row[1] for row in rows if len(row) > 1]
    else:
        return None
    if labels and len(labels) != count:
        raise UserError(
            f"{source}: {len(labels)} of {count} inputs have a label; label all of them, or none."
        )
    return labels or None


def _write_points(
    path: Path, points: np.ndarray, labels: Sequence[str] | None, texts: Sequence[str]
) -> None:
    rows = [
        f"{x:.6g}\t{y:.6g}\t{label}\t{text}\n"
        for (x, y), label, text in zip(points, labels or [""] * len(texts), texts, strict=True)
    ]
    write_text(path, "x\ty\tlabel\tinput\n" + "".join(rows))
