"""`seq2seq predict --features`: what the encoder makes of texts, for use elsewhere."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.config import nearest
from seq2seq.data.formats.conll import in_columns
from seq2seq.data.records import Record, chunks
from seq2seq.errors import UserError
from seq2seq.files import whole_file
from seq2seq.inference.columns import column_records
from seq2seq.inference.files import input_texts, standing_for
from seq2seq.inference.predictor import Predictor
from seq2seq.inference.records import read_records
from seq2seq.trust import Trust

CHUNK = 64
"""Batches read before they are encoded: sorted by length together."""


def predict_features(
    run_folder: Path, source: str, names: str, target: str, batch_size: int, trust: Trust = ()
) -> None:
    """Encodes a file, and says on stderr what was written.

    Args:
        run_folder: A run folder.
        source: As for `predict_file`; or sentences in columns, told by its ending.
        names: See `write_features`.
        target: See `write_features`.
        batch_size: How many inputs are encoded at once.
        trust: Modules and classes of one's own that the run's config may name.

    Raises:
        UserError: If the model, the input or the output cannot be used.
    """
    writer_for(Path(target))
    inputs = input_texts(source)
    predictor = Predictor.load(run_folder, trust=trust)
    if fields := predictor.task.input_fields:
        inputs = read_records(standing_for(source), fields)
    elif in_columns(source):
        inputs = column_records(predictor, Path(source))
    widths = write_features(predictor, inputs, names, target, batch_size)
    told = ", ".join(f"{name} ({width})" for name, width in widths.items())
    print(f"{target}: {told}", file=sys.stderr)


def write_features(
    predictor: Predictor, inputs: Iterable[Any], names: str, target: str, batch_size: int
) -> dict[str, int]:
    """Encodes inputs and writes their vectors, one row an input, in order.

    The file's ending tells its format: `.npy` holds one float32 matrix `(inputs, width)`, the
    vectors side by side; `.npz` a matrix for each name; `.parquet` a column for each name, beside
    the text.

    Args:
        predictor: The run.
        inputs: Texts or records.
        names: Which vectors, such as `source.layer_0.forward.h,source.layer_0.backward.h`; `all`
            for all.
        target: The file.
        batch_size: How many inputs are encoded at once.

    Returns:
        The width of each vector, in their order.

    Raises:
        UserError: If the run has no encoder, a name is unknown, or the file cannot be written.
    """
    path = Path(target)
    write = writer_for(path)
    texts: list[str] = []
    parts: list[dict[str, np.ndarray]] = []
    for chunk in chunks(inputs, CHUNK * batch_size):
        found = predictor.features(chunk, batch_size)
        parts.append({name: found[name] for name in chosen(names, list(found))})
        texts += map(_text_of, chunk)
    if not parts:
        raise UserError("--features: there is nothing to encode; the input is empty.")
    vectors = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    try:
        with whole_file(path) as aside:
            write(aside, texts, vectors)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error})") from error
    return {name: values.shape[1] for name, values in vectors.items()}


def _text_of(given: str | Record) -> str:
    """Returns an input's text: a record's first field, its tokens with blanks between them."""
    value = given if isinstance(given, str) else next(iter(given.values()))
    return value if isinstance(value, str) else " ".join(value)


def chosen(names: str, known: Sequence[str]) -> list[str]:
    """Returns the names that are asked for.

    Raises:
        UserError: If there is no such vector.
    """
    if names == "all":
        return list(known)
    asked = names.split(",")
    for name in asked:
        if name not in known:
            raise UserError(
                f"--features {name}: no such vector{nearest(name, list(known))}. There are "
                f"{', '.join(known)}."
            )
    return asked


Writer = Callable[[Path, Sequence[str], dict[str, np.ndarray]], None]


def writer_for(path: Path) -> Writer:
    """Returns what writes a file of this name.

    Raises:
        UserError: If its ending is not known, or there is no such folder.
    """
    if path.suffix not in WRITERS:
        raise UserError(
            f"-o {path}: --features writes a file whose name ends in {', '.join(WRITERS)}."
        )
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.absolute().parent}; make it first.")
    return WRITERS[path.suffix]


def _write_npy(path: Path, texts: Sequence[str], vectors: dict[str, np.ndarray]) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.concatenate(list(vectors.values()), axis=1))


def _write_npz(path: Path, texts: Sequence[str], vectors: dict[str, np.ndarray]) -> None:
    with path.open("wb") as stream:
        np.savez(stream, **vectors)  # type: ignore[arg-type]


def _write_parquet(path: Path, texts: Sequence[str], vectors: dict[str, np.ndarray]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {
        name: pyarrow.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
        for name, values in vectors.items()
    }
    parquet.write_table(pyarrow.table({"source": pyarrow.array(texts), **columns}), path)


WRITERS: dict[str, Writer] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".parquet": _write_parquet,
}
