"""Starts the workers of a distributed training on this machine, and ends them together."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from seq2seq.cluster import TF_CONFIG, tf_config
from seq2seq.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

OWN_SECONDS, TERM_SECONDS = 10.0, 5.0
"""How long workers may take to end by themselves after one has failed, and then after SIGTERM."""

SHOWN_LINES = 15
"""The last lines of the output of a worker that has failed."""


class WorkerProcesses:
    """The processes of one command, each a worker; the chief, worker 0, writes to the terminal.

    Args:
        arguments: The arguments of `seq2seq`.
        workers: The number of processes.
    """

    def __init__(self, arguments: Sequence[str], workers: int) -> None:
        self.arguments, self.count = arguments, workers
        self.processes: list[subprocess.Popen[bytes]] = []
        self.outputs: list[IO[bytes]] = []

    def run(self) -> int:
        """Runs the workers until all have ended.

        A signal is passed on to all. If one fails, the others are ended.

        Returns:
            0; or the exit code of the first that failed, 128 and the number of a signal.

        Raises:
            UserError: If there are fewer GPUs than workers.
        """
        environments = worker_environments(self.count)
        with ExitStack() as stack, self._signals_passed_on():
            for environment in environments:
                output = stack.enter_context(tempfile.TemporaryFile())
                written = output if self.processes else None  # the chief's is shown
                self.outputs.append(output)
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "seq2seq", *self.arguments],
                        env={**os.environ, **environment},
                        start_new_session=True,  # or they would get Ctrl-C twice
                        stdout=written,
                        stderr=written,
                    )
                )
            try:
                return self._wait()
            finally:
                for process in self.processes:
                    process.kill()
                    process.wait()

    def _wait(self) -> int:
        """Waits for all, and returns the exit code."""
        failed: int | None = None
        while failed is None:
            codes = [process.poll() for process in self.processes]
            if codes[0] is not None and not any(codes):
                break  # without the chief, the others have nothing to do
            failed = next((number for number, code in enumerate(codes) if code), None)
            time.sleep(0.1)
        self._end_others()
        if failed is None:
            return 0
        code = self.processes[failed].returncode
        if code < 0 or code != self.processes[0].returncode:
            self._report(failed)
        return code if code > 0 else 128 - code

    def _end_others(self) -> None:
        for seconds, number in ((OWN_SECONDS, signal.SIGTERM), (TERM_SECONDS, signal.SIGKILL)):
            end = time.monotonic() + seconds
            while time.monotonic() < end and self._running():
                time.sleep(0.1)
            for process in self._running():
                process.send_signal(number)

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in self.processes if process.poll() is None]

    def _report(self, failed: int) -> None:
        """Prints how a worker has ended, and the end of its output."""
        code, output = self.processes[failed].returncode, self.outputs[failed]
        how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
        output.seek(0)
        lines = output.read().decode(errors="replace").splitlines()[-SHOWN_LINES:]
        for line in lines:
            print(f"worker {failed}: {line}", file=sys.stderr)
        print(
            f"seq2seq: error: worker {failed} of {self.count} has ended ({how}), and so the "
            "training. Start it again: it goes on from its last checkpoint",
            file=sys.stderr,
        )

    @contextmanager
    def _signals_passed_on(self) -> Iterator[None]:
        def pass_on(number: int, frame: FrameType | None) -> None:
            for process in self._running():
                process.send_signal(number)

        ignored = [each for each in SIGNALS if signal.getsignal(each) is signal.SIG_IGN]  # nohup
        before = {each: signal.signal(each, pass_on) for each in SIGNALS if each not in ignored}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def worker_environments(workers: int) -> list[dict[str, str]]:
    """Returns the variables of each worker: its place, its share of the processors, its GPU.

    Raises:
        UserError: If there are GPUs, but fewer than workers.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    threads = str(max(1, len(os.sched_getaffinity(0)) // workers))
    variables = {"SEQ2SEQ_THREADS": os.environ.get("SEQ2SEQ_THREADS", threads)}
    gpus = visible_gpus(os.environ, Path("/dev"))
    if gpus and len(gpus) < workers:
        raise UserError(
            f"--workers {workers}: there are {len(gpus)} GPUs, and each worker needs its own; "
            "CUDA_VISIBLE_DEVICES= (empty) trains on the processor"
        )
    own = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] or [{}] * workers
    return [
        {**variables, **own[index], TF_CONFIG: tf_config(addresses, index)}
        for index in range(workers)
    ]


def visible_gpus(environment: Mapping[str, str], devices: Path) -> list[str]:
    """Returns the GPUs of `CUDA_VISIBLE_DEVICES`; without it, all NVIDIA GPUs of the machine."""
    if (visible := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [gpu for gpu in visible.split(",") if gpu not in ("", "-1")]
    files = devices.glob("nvidia[0-9]*")
    return sorted((file.name.removeprefix("nvidia") for file in files), key=int)


def free_ports(count: int) -> list[int]:
    """Returns ports that are free on this machine."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
