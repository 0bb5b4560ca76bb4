"""Where served models come from: run folders, and registered models whose alias can move."""

import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from seq2seq.files import CHECKSUMS
from seq2seq.tasks.model_folder import model_folder

DIGITS = 12
"""Of the version of a run folder."""


class Source(ABC):
    """Where a model is loaded from, when the server starts and when the model is reloaded."""

    @abstractmethod
    def version(self) -> str:
        """Returns the version that would be loaded now.

        Raises:
            UserError: If there is no such model.
        """

    @abstractmethod
    def files(self, version: str) -> AbstractContextManager[Path]:
        """Returns a context with the run folder of a version, for as long as it is loaded."""


class FolderSource(Source):
    """A run folder; its version is a hash of the files of its model.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def version(self) -> str:
        """Returns the start of a hash; empty if the run has no checksums."""
        try:
            content = (model_folder(self.folder) / CHECKSUMS).read_bytes()
        except FileNotFoundError:
            return ""
        return hashlib.sha256(content).hexdigest()[:DIGITS]

    @contextmanager
    def files(self, version: str) -> Iterator[Path]:
        """Yields the run folder."""
        yield self.folder


class RegisteredSource(Source):
    """A model of MLflow's registry; its version is `models:/NAME/NUMBER`.

    Args:
        address: `models:/NAME@ALIAS`, `models:/NAME/NUMBER`, or `models:/NAME` for the newest.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def version(self) -> str:
        """Resolves the address."""
        from seq2seq.tracking.logged_models import Registry

        return Registry().fixed_address(self.address)

    @contextmanager
    def files(self, version: str) -> Iterator[Path]:
        """Yields a folder that the version is downloaded to."""
        from seq2seq.tracking.logged_models import Registry

        with tempfile.TemporaryDirectory(prefix="seq2seq-model-") as folder:
            yield Registry().download(version, Path(folder))
