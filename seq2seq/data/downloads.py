"""Downloads the data sets of recipes that have a public address, and checks them."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from omegaconf import OmegaConf

from seq2seq.errors import UserError
from seq2seq.files import UNFINISHED, atomic_file, write_text
from seq2seq.private_api import tfds_url_opener
from seq2seq.yaml_files import load

ANSWER_SECONDS = 30
"""How long a server may be silent."""

SUMS = "SHA256SUMS"
"""The file with the checksums of a downloaded data set, as `sha256sum --check` reads it."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set, see `downloads.yaml`."""

    path: str
    address: str
    size: int
    sha256: str | None
    encoding: str = "utf-8"
    complete_lines: bool = False

    @property
    def is_converted(self) -> bool:
        """Whether the file differs from that at the address."""
        return self.encoding != "utf-8" or self.complete_lines

    def converted(self, content: bytes) -> bytes:
        """Returns the content in UTF-8, without an incomplete last line where one is expected."""
        if self.complete_lines:
            content = content[: content.rfind(b"\n") + 1]
        return content.decode(self.encoding).encode() if self.encoding != "utf-8" else content


@dataclass(frozen=True)
class DataSet:
    """A data set that can be downloaded, see `downloads.yaml`."""

    name: str
    title: str
    address: str
    licence: str
    recipes: tuple[str, ...]
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


@cache
def data_sets() -> dict[str, DataSet]:
    """Returns the data sets that can be downloaded, by name."""
    content = OmegaConf.to_container(load(Path(__file__).with_suffix(".yaml")))
    return {
        name: _data_set(name, dict(values))
        for name, values in cast(dict[str, dict[str, Any]], content).items()
    }


def _data_set(name: str, values: dict[str, Any]) -> DataSet:
    files = []
    for path, settings in values.pop("files").items():
        remote_name = settings.pop("from", Path(path).name)
        files.append(RemoteFile(path, f"{values['address']}/{remote_name}", **settings))
    return DataSet(name, **{**values, "recipes": tuple(values["recipes"])}, files=tuple(files))


def data_directory() -> Path:
    """Returns the folder under which recipes look for their data."""
    return Path(os.environ.get("SEQ2SEQ_DATA", "../shared/data"))


def download_advice(directory: Path) -> str:
    """Returns what to do where the data of a folder are missing."""
    try:
        name = directory.absolute().relative_to(data_directory().absolute()).parts[0]
    except (ValueError, IndexError):
        name = ""
    if name in data_sets():
        return (
            f"`seq2seq download {name}` gets the data; or set data.directory, or the variable "
            "SEQ2SEQ_DATA."
        )
    return "Set data.directory, or the variable SEQ2SEQ_DATA that its default is built on."


def download(
    data_set: DataSet, directory: Path, report: Callable[[str], object] = lambda line: None
) -> Path:
    """Downloads the files of a data set that are not there, each of them whole or not at all.

    Args:
        data_set: The data set.
        directory: The folder in which the data set gets a folder of its name.
        report: Called with a line about each file.

    Returns:
        The folder of the data set.

    Raises:
        UserError: If a file cannot be downloaded or written, or is not the one that was published.
    """
    folder = directory / data_set.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=UNFINISHED, dir=folder) as temporary:
            for file in data_set.files:
                report(f"{file.path}: {_fetch(file, folder / file.path, Path(temporary))}")
        sums = (f"{_sha256((folder / f.path).read_bytes())}  {f.path}\n" for f in data_set.files)
        write_text(folder / SUMS, "".join(sums))
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}). Make "
            "room or give access, or name another folder: --directory FOLDER"
        ) from error
    finally:
        with suppress(OSError):  # it is not empty
            folder.rmdir()
    return folder


def _fetch(file: RemoteFile, target: Path, temporary: Path) -> str:
    """Downloads a file that is not there; returns what was done."""
    if target.exists():
        if file.sha256 and not file.is_converted and _sha256(target.read_bytes()) != file.sha256:
            raise UserError(
                f"{target}: is not the published file (its SHA-256 differs). Move it away to "
                "download it, or name another folder: --directory FOLDER"
            )
        return "is there already"
    content = _content(file.address, temporary)
    digest = _sha256(content)
    if file.sha256 not in (None, digest):
        raise UserError(
            f"{file.address}: is not the file that was published: its SHA-256 is {digest}, not "
            f"{file.sha256}. Try again; if it stays so, the file has changed, report it"
        )
    with atomic_file(target) as path:
        path.write_bytes(file.converted(content))
    size = f"{len(content):,} bytes"
    if file.sha256 is None:
        return f"{size}, not verified: no checksum of it is known; its SHA-256 is {digest}"
    return f"{size}, SHA-256 verified"


def _content(address: str, temporary: Path) -> bytes:
    """Downloads a file with TFDS."""
    import tensorflow_datasets as tfds

    from seq2seq.data.formats.tfds_downloads import quick_failure

    sums = temporary / "checksums.tsv"
    sums.touch()
    manager = tfds.download.DownloadManager(
        download_dir=temporary,
        register_checksums=True,  # computed, and compared here with those that are known
        register_checksums_path=sums,
    )
    advice = "Check the network, or put the files of this data set where the recipe looks."
    try:
        with _stopped_on_error(), quick_failure(advice):
            return Path(manager.download(address)).read_bytes()
    except (OSError, tfds.download.DownloadError) as error:  # requests' errors are OSErrors
        if isinstance(error, OSError) and error.strerror:  # of the disk
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"{address}: cannot be downloaded ({reason}). Try again later") from error


@contextmanager
def _stopped_on_error() -> Iterator[None]:
    """Ends the threads in which TFDS downloads, if the block ends by an error or by Ctrl-C."""
    stopped = threading.Event()

    def stoppable(open_url: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def open_stoppable(url: str, **options: Any) -> Iterator[tuple[Any, Iterator[bytes]]]:
            with open_url(url, timeout=ANSWER_SECONDS, **options) as (response, blocks):
                yield response, _until(stopped, blocks)

        return open_stoppable

    with tfds_url_opener(stoppable):
        try:
            yield
        except BaseException:
            stopped.set()
            raise


def _until(stopped: threading.Event, blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        if stopped.is_set():
            raise InterruptedError("the download was stopped")
        yield block


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
