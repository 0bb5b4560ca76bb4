"""`seq2seq inspect` of a batch on which a training has diverged."""

from pathlib import Path

import numpy as np

from seq2seq.errors import UserError
from seq2seq.plots.divergence import divergence_figure
from seq2seq.plots.figure import save_figure
from seq2seq.terminal import standard_output
from seq2seq.training.diverged_batch import DivergedBatch

SHOWN_ROWS, SHOWN_WEIGHTS, SHOWN_LENGTH, SHOWN_END = 10, 10, 120, 50


def inspect_diverged_batch(path: Path, output: Path) -> None:
    """Prints a batch, its rows of the highest loss first, and draws losses and gradients.

    Args:
        path: A file of `diverged/` in a run folder.
        output: The folder for the figure.

    Raises:
        UserError: If the file cannot be used, or the folder cannot be written.
    """
    batch = DivergedBatch.load(path)
    figure = output / f"{path.stem}.png"
    try:
        drawn = divergence_figure(batch.row_losses, batch.gradient_norms)
        save_figure(drawn, figure, heading=f"step {batch.step:,}, {batch.reason}")
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error})") from error
    print("\n".join([*_lines(batch), str(figure)]), file=standard_output())


def _lines(batch: DivergedBatch) -> list[str]:
    lines = [
        f"step {batch.step:,}, epoch {batch.epoch}: {batch.reason}",
        f"loss {batch.loss:.6g}, learning rate {batch.learning_rate:g}",
        "",
        f"{'loss':>10}  {len(batch.rows)} rows, of the highest loss first",
    ]
    losses = np.array(batch.row_losses, float)
    for row in _descending(losses)[:SHOWN_ROWS]:
        lines.append(f"{losses[row]:10.4g}  {_shortened(batch.rows[row])}")
    names, norms = list(batch.gradient_norms), np.array(list(batch.gradient_norms.values()), float)
    lines += ["", f"{'norm':>10}  gradients of {len(names)} weights, the largest first"]
    for weight in _descending(norms)[:SHOWN_WEIGHTS]:
        lines.append(f"{norms[weight]:10.4g}  {names[weight]}")
    lines += ["", "arrays of the file, numpy.load:"]
    for name, array in batch.arrays.items():
        lines.append(f"  batch/{name}: {array.dtype} {tuple(array.shape)}")
    return lines


def _descending(values: np.ndarray) -> np.ndarray:
    """Returns the indices of values, the largest first; before them what is not finite."""
    return np.argsort(-np.where(np.isfinite(values), values, np.inf), kind="stable")


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    if len(text) <= SHOWN_LENGTH:
        return text
    return f"{text[: SHOWN_LENGTH - SHOWN_END - 5]} ... {text[-SHOWN_END:]}"
