"""`seq2seq inspect`: what a run's recurrent layers do while they read, as arrays and pictures."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.formats.json_lines import read_objects
from seq2seq.data.formats.text_files import read_lines
from seq2seq.errors import UserError
from seq2seq.files import whole_file, write_text
from seq2seq.inference.files import input_texts, standing_for
from seq2seq.inference.predictor import Predictor
from seq2seq.inference.records import read_records
from seq2seq.models.base import ensemble_of
from seq2seq.plots.files import save_figure
from seq2seq.plots.state_map import Method, plane, state_map
from seq2seq.plots.states import most_reacting, reaction
from seq2seq.tasks.generation import Generation
from seq2seq.tasks.states import InputStates, input_states, memory_states, state_figures
from seq2seq.terminal import standard_output
from seq2seq.trust import Trust

NAMED_UNITS = 5
MOST_COLOURS = 50
LEAST_OF_A_MAP = 3
TITLES = {"pca": "PCA", "tsne": "t-SNE"}


def inspect(
    run_folder: Path, given: str, output: Path, target: str | None = None, trust: Trust = ()
) -> None:
    """Writes states and pictures of each input, and says which units react most.

    Args:
        run_folder: A run folder.
        given: A text; or a file, as for `predict_file`; `-` reads lines from stdin.
        output: The folder to write to: for each input a folder, named by its number, with
            `states.npz` and pictures.
        target: For a translation: what the decoder reads.
        trust: Modules and classes of one's own that the run's config may name.

    Raises:
        UserError: If the run or the input cannot be used, or the folder cannot be written.
    """
    predictor = Predictor.load(run_folder, trust=trust)
    [model] = ensemble_of(predictor.model)
    for number, one in enumerate(_inputs(predictor, given), start=1):
        found = input_states(predictor.task, model, one, target)
        folder = output / str(number)
        try:
            _write(found, folder)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error})") from error
        stream = standard_output()
        print(f"{found.row['source']} -> {found.row['prediction']}", file=stream)
        for layer, fields in found.by_layer().items():
            print(f"  {layer}: {_named_units(memory_states(fields))}", file=stream)
        print(f"  {folder}", file=stream)


def inspect_map(
    run_folder: Path, given: str, output: Path, method: Method, trust: Trust = ()
) -> None:
    """Draws the states that inputs end in, as points coloured by label or prediction.

    Args:
        run_folder: A run folder.
        given: A file of inputs, as for `predict_file`; the second column of a TSV file, or the key
            `label` of JSONL, colours the points. Without these, predictions do, if they are few;
            what a language model goes on with does not.
        output: The folder for `map_METHOD.png`, and `map_METHOD.tsv` with the points.
        method: See `plane`.
        trust: Modules and classes of one's own that the run's config may name.

    Raises:
        UserError: If the run or the input cannot be used, or the folder cannot be written.
    """
    predictor = Predictor.load(run_folder, trust=trust)
    inputs = list(_inputs(predictor, given))
    if len(inputs) < LEAST_OF_A_MAP:
        raise UserError(f"--map: needs at least {LEAST_OF_A_MAP} inputs, got {len(inputs)}.")
    states = _last_layer(predictor.features(inputs))
    labels = _labels(given, len(inputs))
    if labels is None and not isinstance(predictor.task, Generation):
        labels = [str(row["prediction"]) for row in predictor(inputs)]
    points = plane(states, method)
    few = labels is not None and len(set(labels)) <= MOST_COLOURS
    figure = state_map(points, labels if few else None, f"{TITLES[method]} of {len(inputs)} inputs")
    texts = [one if isinstance(one, str) else str(next(iter(one.values()))) for one in inputs]
    try:
        save_figure(figure, output / f"map_{method}.png")
        _write_points(output / f"map_{method}.tsv", points, labels, texts)
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error})") from error
    print(output / f"map_{method}.png")


def _inputs(predictor: Predictor, given: str) -> Iterator[Any]:
    """Yields what is predicted from: the lines of a file, if there is one, or the text itself."""
    if given != "-" and not os.path.exists(given):  # also where it is too long to be a path
        return iter([given])
    if fields := predictor.task.input_fields:
        return iter(read_records(standing_for(given), fields))
    return iter(input_texts(given))


def _write(found: InputStates, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokens = {f"{part}/tokens": np.array(each) for part, each in found.tokens.items()}
    with whole_file(folder / "states.npz") as aside:
        np.savez_compressed(aside, allow_pickle=False, **tokens, **found.arrays)
    for name, figure in state_figures(found).items():
        save_figure(figure, folder / f"{name}.png")


def _named_units(states: np.ndarray) -> str:
    amounts = reaction(states)
    units = ", ".join(
        f"{unit} ({amounts[unit]:.2f})" for unit in most_reacting(states, NAMED_UNITS)
    )
    return f"units that react most: {units}"


def _last_layer(features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the last hidden states of the last layer, of all texts and directions together."""
    hidden = [name for name in features if name.endswith(".h")]
    last = max(name.split(".")[-3] for name in hidden)  # such as layer_1
    return np.concatenate([features[name] for name in hidden if f".{last}." in name], axis=1)


def _labels(given: str, count: int) -> list[str] | None:
    """Returns the labels that stand beside the inputs, if any do."""
    path = standing_for(given)
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if ending == "jsonl":
        labels = [str(values["label"]) for _, values in read_objects(path) if "label" in values]
    elif ending == "tsv":
        rows = [line.split("\t") for line in read_lines(path)]
        labels = [row[1] for row in rows if len(row) > 1]
    else:
        return None
    if labels and len(labels) != count:
        raise UserError(f"{given}: {len(labels)} of {count} inputs have a label; give all or none.")
    return labels or None


def _write_points(
    path: Path, points: np.ndarray, labels: Sequence[str] | None, texts: Sequence[str]
) -> None:
    rows = [
        f"{x:.6g}\t{y:.6g}\t{label}\t{text}\n"
        for (x, y), label, text in zip(points, labels or [""] * len(texts), texts, strict=True)
    ]
    write_text(path, "x\ty\tlabel\tinput\n" + "".join(rows))
