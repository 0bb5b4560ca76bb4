"""Runs commands of `seq2seq` in forks of one process that has imported all libraries.

A command then starts within milliseconds instead of ten seconds. TensorFlow is imported in the
parent, but runs no operation there: it starts its threads in the child.

`python -m benchmarks.faults.fork_server` reads requests from stdin, a JSON object a line, and
answers each with its exit code; `ForkServer` is the other side.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from seq2seq.cache import cache_directory

TIMED_OUT = -1000
"""The exit code of a command that took too long."""
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Request:
    """A command to run.

    Attributes:
        arguments: Of the command `seq2seq`.
        place: The folder that it is run in, and below which calls are counted.
        output: Prefix of the files of its stdout (`.out`) and stderr (`.err`).
        fault: A fault of `system_calls.c`.
        at: The number of the call at which it is performed.
        log: The file of the calls; empty for none.
        reply: A FIFO that each call waits for; empty for none.
        modules: A file for the names of the modules it has imported; empty for none.
        timeout: Seconds until it is killed.
    """

    arguments: Sequence[str]
    place: str
    output: str
    fault: str = "none"
    at: int = 0
    log: str = ""
    reply: str = ""
    modules: str = ""
    timeout: float = 180.0


class ForkServer:
    """Starts the server process, and runs commands in its forks.

    Args:
        library: The compiled `system_calls.c`.
        modules: A file of names of modules to import before the first fork, if it exists.
        cache: The folder of caches of the commands.
    """

    def __init__(self, library: Path, modules: Path, cache: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.faults.fork_server", str(modules)]
        variables = {
            "LD_PRELOAD": str(library),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "SEQ2SEQ_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "XDG_CACHE_HOME": str(cache),
            "SEQ2SEQ_KERNELS": os.environ.get(
                "SEQ2SEQ_KERNELS", str(cache_directory() / "kernels")
            ),
            "COLUMNS": "100",
        }
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def start(self, request: Request) -> None:
        """Starts a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(request)) + "\n")
        self._process.stdin.flush()

    def wait(self) -> int:
        """Returns the exit code of the started command: that of a shell's, or `TIMED_OUT`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the fork server has ended")
        return int(line)

    def run(self, request: Request) -> int:
        """Runs a command and returns its exit code."""
        self.start(request)
        return self.wait()

    def close(self) -> None:
        """Ends the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def fork_server(library: Path, modules: Path, cache: Path) -> Iterator[ForkServer]:
    """Starts a server, and ends it with the block."""
    server = ForkServer(library, modules, cache)
    try:
        yield server
    finally:
        server.close()


def import_modules(names: Path) -> None:
    """Imports TensorFlow as the command does, and the modules of a file."""
    with contextlib.suppress(ImportError):
        from seq2seq.commands._start_tensorflow import start_tensorflow

        start_tensorflow()
    for name in names.read_text(encoding="utf-8").split() if names.exists() else ():
        with contextlib.suppress(Exception):  # such as modules that were made at run time
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that children neither look for garbage in all libraries, nor copy their pages
    gc.set_threshold(100_000, 50, 50)


def serve() -> Request | None:
    """Answers requests until stdin ends (None); in each fork, it returns the request."""
    for line in sys.stdin:
        request = Request(**json.loads(line))
        child = os.fork()
        if child == 0:
            return request
        print(exit_code(child, request.timeout), flush=True)
    return None


def exit_code(child: int, timeout: float) -> int:
    """Waits for a child, and kills it after some seconds."""
    end = time.monotonic() + timeout
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return TIMED_OUT
        time.sleep(0.01)


def redirect(request: Request) -> None:
    """Gives the process its own stdin, stdout and stderr."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, path, mode in (
        (0, os.devnull, os.O_RDONLY),
        (1, f"{request.output}.out", flags),
        (2, f"{request.output}.err", flags),
    ):
        file = os.open(path, mode, 0o600)
        os.dup2(file, number)
        os.close(file)


def run_command(request: Request) -> None:
    """Runs the command of a request in this process."""
    from seq2seq.cli import main

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it does not outlive the server
    redirect(request)
    os.chdir(request.place)
    texts = [value.encode() for value in (request.place, request.fault, request.log, request.reply)]
    place, fault, log, reply = map(ctypes.c_char_p, texts)
    ctypes.CDLL(None).faults_begin(place, fault, ctypes.c_long(request.at), log, reply)
    sys.argv = ["seq2seq", *request.arguments]
    try:
        main()
    finally:
        if request.modules:
            names = [name for name, module in sys.modules.items() if module is not None]
            Path(request.modules).write_text("\n".join(names), encoding="utf-8")


if __name__ == "__main__":
    import_modules(Path(sys.argv[1]))
    if (its_request := serve()) is not None:
        run_command(its_request)
