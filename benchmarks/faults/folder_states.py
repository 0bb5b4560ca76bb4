"""The content of a folder after each call of a process, and after a loss of power at each."""

import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.shim import SYNCS, WRITES, Call

FOLDER = None
"""The content of a folder in a state."""

Content = bytes | None


@dataclass(frozen=True)
class State:
    """The files below a folder.

    Attributes:
        contents: The content of each file and folder, by its path below the folder.
        numbers: A number of each file and folder that it keeps when it is renamed.
    """

    contents: Mapping[str, Content]
    numbers: Mapping[str, int] = field(default_factory=dict)

    def key(self) -> str:
        """Returns a digest of the content; logs count only as present."""
        digest = hashlib.sha256()
        for path, content in sorted(self.contents.items()):
            shown = b"" if content is FOLDER or path.endswith(".log") else content
            digest.update(f"{path}\0{content is FOLDER}\0{len(shown)}\0".encode() + shown)
        return digest.hexdigest()

    def restore(self, folder: Path) -> None:
        """Replaces the content of a folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path, content in sorted(self.contents.items()):
            if content is FOLDER:
                (folder / path).mkdir(parents=True, exist_ok=True)
            else:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)


class Observer:
    """Reads the content of a folder, again and again; unchanged files are not read again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[int, tuple[tuple[int, ...], bytes]] = {}
        self._numbers: dict[int, int] = {}
        self._next = itertools.count()

    def state(self) -> State:
        """Returns the content now."""
        contents: dict[str, Content] = {}
        inodes: dict[str, int] = {}
        for place, folders, names in os.walk(self.folder):
            for name in (*folders, *names):
                path = os.path.join(place, name)
                status = os.stat(path, follow_symlinks=False)
                below = os.path.relpath(path, self.folder)
                inodes[below] = status.st_ino
                contents[below] = FOLDER if name in folders else self._content(path, status)
        # The number of an inode that has gone is given to another file.
        present = set(inodes.values())
        self._numbers = {inode: n for inode, n in self._numbers.items() if inode in present}
        for inode in present - set(self._numbers):
            self._numbers[inode] = next(self._next)
        return State(contents, {path: self._numbers[inode] for path, inode in inodes.items()})

    def _content(self, path: str, status: os.stat_result) -> bytes:
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        known = self._read.get(status.st_ino)
        if known is None or known[0] != stamp:
            known = (stamp, Path(path).read_bytes())
            self._read[status.st_ino] = known
        return known[1]


class Durable:
    """What is on the disk for sure: what was synced.

    The content of a file is that of its last fsync, empty if there was none. The names in a folder
    are those of its last fsync; its own name, and its ancestors', are synced with it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        self._root = -1

    def after(self, call: Call, state: State) -> None:
        """Notes a call; `state` is that after it."""
        if call.name not in SYNCS or call.result < 0:
            return
        path = os.path.relpath(call.path, self.folder)
        if path == ".":
            self._sync_folder(path, state)
        elif path in state.contents:
            content = state.contents[path]
            if content is FOLDER:
                self._sync_folder(path, state)
            else:
                self._contents[state.numbers[path]] = content

    def _sync_folder(self, path: str, state: State) -> None:
        self._names[self._number(path, state)] = {
            os.path.basename(each): (number, state.contents[each] is FOLDER)
            for each, number in state.numbers.items()
            if (os.path.dirname(each) or ".") == path
        }
        while path != ".":
            name, number = os.path.basename(path), self._number(path, state)
            path = os.path.dirname(path) or "."
            self._names.setdefault(self._number(path, state), {})[name] = (number, True)

    def _number(self, path: str, state: State) -> int:
        return self._root if path == "." else state.numbers[path]

    def with_names(self, state: State) -> State:
        """Returns the state after a loss of power if all names, but no unsynced bytes, are kept."""
        return State(
            {
                path: FOLDER if content is FOLDER else self._contents.get(state.numbers[path], b"")
                for path, content in state.contents.items()
            }
        )

    def without_names(self) -> State:
        """Returns the state after a loss of power if all unsynced names are lost, too."""
        return State(dict(self._below(self._root, "")))

    def _below(self, number: int, prefix: str) -> Iterator[tuple[str, Content]]:
        for name, (each, is_folder) in self._names.get(number, {}).items():
            if is_folder:
                yield f"{prefix}{name}", FOLDER
                yield from self._below(each, f"{prefix}{name}/")
            else:
                yield f"{prefix}{name}", self._contents.get(each, b"")


@dataclass(frozen=True)
class Crash:
    """A state that a crash can leave.

    Attributes:
        fault: `kill`, `torn`, `power_loss` (unsynced bytes are lost) or `power_loss_names` (so are
            unsynced names).
        call: The call after which, or within which, the process ended.
        state: What it left.
    """

    fault: str
    call: Call
    state: State


class CrashRecorder:
    """Collects the states that a crash could have left after each call of a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._observer = Observer(folder)
        self._before = self._observer.state()
        self._durable = Durable(folder)

    def after(self, call: Call) -> list[Crash]:
        """Returns the states of a call that was done just now."""
        before, now = self._before, self._observer.state()
        self._before = now
        self._durable.after(call, now)
        crashes = [
            Crash("kill", call, now),
            Crash("power_loss", call, self._durable.with_names(now)),
            Crash("power_loss_names", call, self._durable.without_names()),
        ]
        if call.name in WRITES and call.result > 1:
            crashes.append(Crash("torn", call, self._torn(call, before, now)))
        return crashes

    def _torn(self, call: Call, before: State, now: State) -> State:
        """Returns the state after half of the bytes of a write."""
        path = os.path.relpath(call.path, self.folder)
        new = now.contents.get(path)
        if new is None:
            return now
        old = before.contents.get(path) or b""
        half = call.offset + call.result // 2
        return State({**now.contents, path: new[:half] + old[half:]})
