"""`seq2seq predict --features`: writes the encoder's vectors of texts."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from seq2seq.data.records import Record, chunks
from seq2seq.errors import UserError
from seq2seq.files import atomic_file
from seq2seq.inference.input_files import input_path, read_inputs
from seq2seq.inference.predict import CHUNK
from seq2seq.inference.predictor import Predictor
from seq2seq.nearest_name import nearest
from seq2seq.progress import step
from seq2seq.trust import Trust


def predict_features(
    run_folder: Path, source: str, names: str, target: str, batch_size: int, trust: Trust = ()
) -> None:
    """Encodes the inputs of a file, and prints the names and widths of the vectors on stderr.

    The ending of the output decides its format: `.npy` holds one float32 matrix `(inputs, width)`
    of all vectors concatenated; `.npz` one matrix for each name; `.parquet` one column for each
    name, and the column `source`.

    Args:
        run_folder: The run folder.
        source: The file, see `read_inputs`; `-` reads lines from stdin.
        names: Names such as `source.layer_0.forward.h,source.layer_0.backward.h`, or `all`.
        target: The file to write.
        batch_size: How many inputs are encoded at once.
        trust: Further modules and classes that the run's config may name.

    Raises:
        UserError: If the run has no encoder, a name is unknown, or a file cannot be used.
    """
    write = _writer_for(Path(target))
    path = input_path(source)
    predictor = Predictor.load(run_folder, trust=trust)
    inputs = (
        item.value
        for item in read_inputs(path, predictor.task)
        if item.sentence is None or item.sentence.words
    )
    texts: list[str] = []
    parts: list[dict[str, np.ndarray]] = []
    for chunk in chunks(inputs, CHUNK * batch_size):
        with step(f"encoding, {len(texts):,} done" if texts else "encoding"):
            features = predictor.features(chunk, batch_size)
        parts.append({name: features[name] for name in _selected_names(names, list(features))})
        texts += map(_text_of, chunk)
    if not parts:
        raise UserError("--features: there is nothing to encode, the input is empty.")
    vectors = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    try:
        with atomic_file(Path(target)) as temporary:
            write(temporary, texts, vectors)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error})") from error
    widths = ", ".join(f"{name} ({values.shape[1]})" for name, values in vectors.items())
    print(f"{target}: {widths}", file=sys.stderr)


def _text_of(item: str | Record) -> str:
    """Returns an input's text: a record's first field, tokens joined by blanks."""
    value = item if isinstance(item, str) else next(iter(item.values()))
    return value if isinstance(value, str) else " ".join(value)


def _selected_names(names: str, known: Sequence[str]) -> list[str]:
    """Returns the comma-separated names of vectors, or raises UserError for an unknown name."""
    if names == "all":
        return list(known)
    selected = names.split(",")
    for name in selected:
        if name not in known:
            raise UserError(
                f"--features {name}: no such vector{nearest(name, known)}. There are "
                f"{', '.join(known)}."
            )
    return selected


Writer = Callable[[Path, Sequence[str], dict[str, np.ndarray]], None]


def _writer_for(path: Path) -> Writer:
    """Returns the function that writes files of this ending, if the folder exists."""
    if path.suffix not in WRITERS:
        raise UserError(
            f"-o {path}: --features writes a file whose name ends in {', '.join(WRITERS)}."
        )
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.absolute().parent}; make it first.")
    return WRITERS[path.suffix]


def _write_npy(path: Path, texts: Sequence[str], vectors: dict[str, np.ndarray]) -> None:
    np.save(path, np.concatenate(list(vectors.values()), axis=1))


def _write_npz(path: Path, texts: Sequence[str], vectors: dict[str, np.ndarray]) -> None:
    np.savez(path, **vectors)  # type: ignore[arg-type]


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
