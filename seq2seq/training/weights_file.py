"""Weights files (HDF5): written whole with a checksum, looked through before they are read."""

import hashlib
import io
from pathlib import Path

import h5py
import keras

from seq2seq.files import whole_file

_SEAL = b"seq2seq-sha256:"
"""Stands before the checksum of all bytes before it, at the end of a file: HDF5 ignores both."""


class WeightsInMemory(io.BytesIO):
    """A weights file in memory, which Keras and h5py take for one on the disk.

    HDF5 cannot close a file that has no room left on the disk, and ends the process over it.
    """

    def __str__(self) -> str:
        return "memory.weights.h5"


def weights_of(model: keras.Model) -> WeightsInMemory:
    """Returns a model's weights, with its optimizer's if it is compiled, as a file in memory."""
    memory = WeightsInMemory()
    model.save_weights(memory)
    return memory


def write_weights(path: Path, memory: WeightsInMemory) -> None:
    """Writes a weights file with its checksum, whole.

    Raises:
        OSError: If it cannot be written.
    """
    content = memory.getbuffer()
    with whole_file(path) as aside, aside.open("wb") as file:
        file.write(content)
        file.write(_SEAL + hashlib.sha256(content).digest())


def read_weights(path: Path) -> tuple[WeightsInMemory, bool]:
    """Reads a weights file, and returns also whether it has a checksum.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not as it was written.
    """
    content = path.read_bytes()
    content, seal, digest = content[:-47], content[-47:-32], content[-32:]
    if seal != _SEAL:
        return WeightsInMemory(content + seal + digest), False
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("it is not as it was written")
    return WeightsInMemory(content), True


def check_weights(source: Path | WeightsInMemory, most_values: int | None = None) -> None:
    """Refuses a weights file that would read other files, or fill the memory.

    Args:
        source: A file ending in `.weights.h5`.
        most_values: How many values the model has that it is for, if that is known.

    Raises:
        ValueError: If it holds links to elsewhere, values that stand in other files, or far more
            values than the model.
        OSError: If it is damaged.
    """
    with h5py.File(source, "r") as file:
        count = sum(_values(file, name) for name in _members(file))
    if most_values is not None and count > 2 * most_values + 1000:
        raise ValueError(f"it holds {count:,} values for a model of {most_values:,}")


def _members(file: h5py.File) -> list[str]:
    """Returns the paths of all groups and datasets, each reached by hard links alone."""
    found: list[str] = []
    seen: set[int] = set()
    waiting: list[str] = ["/"]
    while waiting:
        name = waiting.pop()
        item = file[name]
        address = h5py.h5o.get_info(item.id).addr  # type: ignore[attr-defined]
        if address in seen:
            raise ValueError(f"{name} is there twice")
        seen.add(address)
        found.append(name)
        if isinstance(item, h5py.Group):
            for member in item:
                below = f"{name.rstrip('/')}/{member}"
                if type(item.get(member, getlink=True)) is not h5py.HardLink:
                    raise ValueError(f"{below} is a link to another place")
                waiting.append(below)
    return found


def _values(file: h5py.File, name: str) -> int:
    item = file[name]
    if not isinstance(item, h5py.Dataset):
        return 0
    if item.external or item.is_virtual:
        raise ValueError(f"{name} stands in another file")
    return int(item.size or 0)
