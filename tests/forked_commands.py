"""The commands `seq2seq` and `python -c` in forks of one process that has imported all libraries.

A command then starts within milliseconds instead of ten seconds. TensorFlow is imported in the
server, but runs no operation there: it starts its threads in the forks.

    python tests/forked_commands.py server SOCKET
    python tests/forked_commands.py client SOCKET seq2seq|python ARGUMENTS...

The client hands its arguments, folder, environment and standard streams to the server, and ends
with the exit code of the command. Where it is killed, so is the command. Not for tests of what
happens at the start, of signals, or of equality between processes: hash seeds are the same here.
"""

import atexit
import io
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

STREAMS = (0, 1, 2)
POLL = 0.01
"""The seconds between two looks at a command."""
START = 300
"""The seconds that the server may take to start."""
LIBRARIES = (
    "matplotlib.pyplot",
    "mlflow",
    "pandas",
    "sacrebleu",
    "seq2seq.data.embedded.cldr_dates",
    "seq2seq.experiment",
    "seq2seq.inference.predictor",
    "seq2seq.launch",
    "seq2seq.report",
    "seq2seq.tasks.classification",
    "seq2seq.tasks.forecasting",
    "seq2seq.tasks.generation",
    "seq2seq.tasks.tagging",
    "seq2seq.tasks.translation",
    "seq2seq.tracking.mlflow_tracker",
    "sklearn.metrics",
    "sqlalchemy",
)


def forked_seq2seq():
    """Returns the path of a program `seq2seq` that runs its command in a fork."""
    return _programs() / "seq2seq" / "seq2seq"


def forked_python():
    """Returns the path of a program `python` that runs the code of `-c` in a fork."""
    return _programs() / "python" / "python"


@cache
def _programs():
    """Returns the folder of both programs, whose server starts here, and ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="seq2seq-forks-"))
    atexit.register(shutil.rmtree, folder)
    address = folder / "socket"
    this = f'"{sys.executable}" -SE "{Path(__file__).resolve()}"'
    for name in ("seq2seq", "python"):
        program = folder / name / name  # apart, so that PATH may have one alone
        program.parent.mkdir()
        line = f'exec {this} client "{address}" {name} "$@"'
        program.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        program.chmod(0o755)
    command = [sys.executable, __file__, "server", str(address)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    server = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    end = time.monotonic() + START
    while not address.exists():
        assert server.poll() is None, "the server does not start"
        assert time.monotonic() < end, "the server does not start"
        time.sleep(POLL)
    return folder


def serve(address):
    """Runs commands in forks until stdin ends."""
    import gc

    from seq2seq.commands._start_tensorflow import start_tensorflow

    start_tensorflow()
    for name in LIBRARIES:
        import_module(name)
    gc.freeze()  # so that forks do not copy the pages of all libraries to look for garbage
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen()
    os.rename(f"{address}.new", address)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(client)
        client.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _answer(client):
    """Runs the command of a client, and sends the code that it ends with."""
    _, streams, _, _ = socket.recv_fds(client, 1, len(STREAMS))
    request = json.loads(client.makefile().readline())
    child = os.fork()
    if child == 0:
        client.close()
        _run(request, streams)
    for stream in streams:
        os.close(stream)
    status = 0, 0
    while not status[0]:
        if select.select([client], [], [], POLL)[0]:  # it was killed
            os.kill(child, signal.SIGKILL)
            os._exit(1)
        status = os.waitpid(child, os.WNOHANG)
    client.sendall(f"{os.waitstatus_to_exitcode(status[1])}\n".encode())
    os._exit(0)


def _run(request, streams):
    for number, stream in zip(STREAMS, streams, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    # The server's own streams may be of another kind, such as files for a pipe.
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            buffer(io.FileIO(number, mode, closefd=False)), "utf-8", line_buffering=True
        )
        for number, mode, buffer in (
            (0, "r", io.BufferedReader),
            (1, "w", io.BufferedWriter),
            (2, "w", io.BufferedWriter),
        )
    )
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # which remembers the server's
    if request["program"] == "python":
        assert request["arguments"][0] == "-c"
        code, sys.argv = request["arguments"][1], request["arguments"][1:]
        exec(code, {"__name__": "__main__"})
        sys.exit()
    sys.argv = ["seq2seq", *request["arguments"]]
    from seq2seq.cli import main

    main()


def ask(address, program, arguments):
    """Has the server run a command; returns its exit code."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    socket.send_fds(server, [b"\0"], STREAMS)
    request = {
        "program": program,
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
    server.sendall(json.dumps(request).encode() + b"\n")
    code = int(server.makefile().readline())
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    kind, place, *more = sys.argv[1:]
    if kind == "client":
        sys.exit(ask(place, more[0], more[1:]))
    serve(place)
