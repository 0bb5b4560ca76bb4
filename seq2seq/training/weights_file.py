"""Weights files (HDF5) with a checksum, checked before they are loaded."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras

from seq2seq.files import atomic_file

_MARKER = b"seq2seq-sha256:"
"""At the end of a file, before the checksum of all bytes before it: HDF5 ignores both."""


class WeightsBuffer(io.BytesIO):
    """A weights file in memory, which Keras and h5py accept like one on disk.

    HDF5 aborts the process when the disk is full on closing a file.
    """

    def __str__(self) -> str:
        return "memory.weights.h5"


def save_to_memory(model: keras.Model) -> WeightsBuffer:
    """Saves a model's weights, and its optimizer's if it is compiled, to memory."""
    memory = WeightsBuffer()
    model.save_weights(memory)
    return memory


def write_weights(path: Path, memory: WeightsBuffer) -> None:
    """Writes a weights file and its checksum atomically; raises an `OSError` on failure."""
    content = memory.getbuffer()
    with atomic_file(path) as aside, aside.open("wb") as file:
        file.write(content)
        file.write(_MARKER + hashlib.sha256(content).digest())


def read_weights(path: Path) -> tuple[WeightsBuffer, bool]:
    """Reads a weights file; returns also whether it has a checksum.

    Raises:
        OSError: If it cannot be read.
        ValueError: If the checksum is wrong.
    """
    content = path.read_bytes()
    content, marker, digest = content[:-47], content[-47:-32], content[-32:]
    if marker != _MARKER:
        return WeightsBuffer(content + marker + digest), False
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its checksum is wrong")
    return WeightsBuffer(content), True


def check_weights(source: Path | WeightsBuffer, max_values: int | None = None) -> None:
    """Rejects a weights file that would read other files, or exhaust the memory.

    Args:
        source: A file ending in `.weights.h5`.
        max_values: Number of values of its model, if known.

    Raises:
        ValueError: If it has links, values in other files, or far more values than the model.
        OSError: If it is damaged.
    """
    with h5py.File(source, "r") as file:
        count = sum(int(dataset.size or 0) for dataset in _datasets(file))
    if max_values is not None and count > 2 * max_values + 1000:
        raise ValueError(f"it holds {count:,} values for a model of {max_values:,}")


def _datasets(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Yields all datasets; raises a `ValueError` on links and on values in other files."""
    addresses: set[int] = set()
    pending = ["/"]
    while pending:
        name = pending.pop()
        item = file[name]
        address = h5py.h5o.get_info(item.id).addr  # type: ignore[attr-defined]
        if address in addresses:
            raise ValueError(f"{name} has two names")
        addresses.add(address)
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"{name} has its values in another file")
            yield item
        elif isinstance(item, h5py.Group):
            for member in item:
                path = f"{name.rstrip('/')}/{member}"
                if type(item.get(member, getlink=True)) is not h5py.HardLink:
                    raise ValueError(f"{path} is a link")
                pending.append(path)
