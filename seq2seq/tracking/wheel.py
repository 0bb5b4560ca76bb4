"""Writes this package as a wheel, which logged models bring with them."""

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from seq2seq.config import folder
from seq2seq.version import DISTRIBUTION, version

DATE = (2020, 1, 1, 0, 0, 0)
"""Of all files in a wheel, so that the same code gives the same bytes."""


def write_wheel(destination: Path) -> Path:
    """Writes the code that runs, from a checkout or an installed copy, as a wheel into a folder.

    Returns:
        The wheel's path.

    Raises:
        PackageNotFoundError: If the package runs without having been installed.
    """
    installed = metadata.distribution(DISTRIBUTION)
    about = (installed.read_text("METADATA") or "").replace(
        f"\nVersion: {installed.version}\n", f"\nVersion: {version()}\n", 1
    )
    name = f"{DISTRIBUTION.replace('-', '_')}-{version()}"
    files = {
        **dict(sorted(_package_files())),
        f"{name}.dist-info/METADATA": about.encode(),
        f"{name}.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: seq2seq\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"{name}.dist-info/entry_points.txt": (
            installed.read_text("entry_points.txt") or ""
        ).encode(),
    }
    record = f"{name}.dist-info/RECORD"
    lines = [f"{path},{_digest(content)},{len(content)}" for path, content in files.items()]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    destination.mkdir(parents=True, exist_ok=True)
    wheel = destination / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, DATE), content, zipfile.ZIP_DEFLATED)
    return wheel


def _package_files() -> Iterator[tuple[str, bytes]]:
    """Yields path in the wheel and content of each file of the package, its recipes and config."""
    package = Path(__file__).parents[1]
    for top in (package, folder("conf"), folder("recipes")):
        inside = "seq2seq" if top == package else f"seq2seq/{top.name}"
        for path in sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{inside}/{path.relative_to(top).as_posix()}", path.read_bytes()


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
