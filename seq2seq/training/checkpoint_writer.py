"""Writes checkpoints in the background, and removes the older ones."""

import logging
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from seq2seq.errors import UserError
from seq2seq.run_folder import CheckpointKind, checkpoint_path, checkpoint_paths
from seq2seq.training.weights_file import WeightsBuffer, write_weights

log = logging.getLogger(__name__)


class CheckpointWriter:
    """Writes checkpoints in a thread, one at a time and in order, while the training goes on.

    A checkpoint that cannot be written, for example on a full disk, is logged, kept in memory, and
    written again before the next one. Older ones are removed after a newer one is on the disk.

    Args:
        folder: The folder of the checkpoints.
        keep: How many of the last checkpoints stay.
        is_on: Whether this process writes; False if another one does.
    """

    def __init__(self, folder: Path, keep: int, is_on: bool = True) -> None:
        self.folder, self.keep, self.is_on = folder, keep, is_on
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._pending: Future[None] | None = None
        self._unwritten: dict[CheckpointKind, tuple[Path, WeightsBuffer]] = {}
        self._reason: OSError | None = None

    def write(
        self,
        kind: CheckpointKind,
        step: int,
        content: WeightsBuffer,
        best_steps: Collection[int] = (),
        last_steps: Collection[int] = (),
    ) -> None:
        """Writes a checkpoint, after the one before it.

        Args:
            kind: `last`, of which the newest stay, or `best`.
            step: The number of training steps so far.
            content: See `checkpoint_content`.
            best_steps: With `last`, the steps of the best checkpoints that stay.
            last_steps: With `last`, steps of last checkpoints that stay though they are older.
        """
        self._wait()
        path = checkpoint_path(self.folder, kind, step)
        kept = {checkpoint_path(self.folder, "best", each) for each in best_steps}
        kept |= {checkpoint_path(self.folder, "last", each) for each in last_steps}
        self._pending = self._thread.submit(self._write, kind, path, content, kept)

    def finish(self) -> None:
        """Waits for the last checkpoint, and tries to write what could not be written.

        Raises:
            UserError: If a checkpoint still cannot be written.
        """
        self._wait()
        self._write_unwritten()
        if self._unwritten:
            names = " and ".join(str(path) for path, _ in self._unwritten.values())
            raise UserError(
                f"{names}: cannot write the checkpoint ({self._reason}). Make room; the "
                "checkpoints before are untouched, and the training can be resumed from them."
            )

    def close(self) -> None:
        """Ends the thread, after the write that it is at."""
        self._thread.shutdown(wait=True)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _write(
        self, kind: CheckpointKind, path: Path, content: WeightsBuffer, kept: set[Path]
    ) -> None:
        self._unwritten.pop(kind, None)  # so that the order is that of the steps
        self._unwritten[kind] = (path, content)
        if not self._write_unwritten():
            log.warning(
                "%s: cannot write the checkpoint (%s). The training goes on, and the checkpoints "
                "before stay; make room.",
                path,
                self._reason,
            )
            return
        for old in self._superseded(kept) if kind == "last" else []:
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s: cannot be removed (%s)", old, error)

    def _write_unwritten(self) -> bool:
        """Writes what is in memory, and returns whether nothing is left."""
        for kind, (path, content) in list(self._unwritten.items()):
            try:
                write_weights(path, content)
            except OSError as error:
                self._reason = error
                return False  # a last checkpoint never stands without the best one before it
            del self._unwritten[kind]
        return True

    def _superseded(self, kept: set[Path]) -> list[Path]:
        last = checkpoint_paths(self.folder, "last")[self.keep :]
        best = checkpoint_paths(self.folder, "best")
        return [path for path in [*last, *best] if path not in kept]
