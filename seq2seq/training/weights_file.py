"""Weights files (HDF5) of strangers: looked through before anything is read from them."""

from pathlib import Path

import h5py


def check_weights_file(path: Path, most_values: int | None = None) -> None:
    """Refuses a file that would read other files, or fill the memory.

    Args:
        path: A file ending in `.weights.h5`.
        most_values: How many values the model has that it is for, if that is known.

    Raises:
        ValueError: If it holds links to elsewhere, values that stand in other files, or far more
            values than the model.
        OSError: If it is damaged.
    """
    with h5py.File(path, "r") as file:
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
