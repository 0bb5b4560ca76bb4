"""How fast a served run answers, beside the same run without a server.

    python -m benchmarks.serving outputs/translation/cldr_dates/2026-11-22_09-00-00

Sends the sources of the run's test split, one or several a request, to `seq2seq serve` and then to
`mlflow models serve` of the same model, on a loopback port. Each client waits for an answer before
its next request; a last row has requests at fixed times, at 70 % of the throughput of the most
clients, and counts from when a request was due. Clients keep their connection, and share the
machine with the server.
"""

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from seq2seq.data.formats.json_lines import read_objects
from seq2seq.inference.predictor import Predictor
from seq2seq.tracking.logged_models import Registry
from seq2seq.tracking.mlflow_tracker import MlflowTracker

BATCH = 64
SECONDS = 15.0
WARM_UP = 20
PATIENCE = 300
SHARE = 0.7
"""The load of the row with fixed times, as a share of the highest throughput."""

Batch = TypeVar("Batch", bound=Sequence[str])
Send = Callable[[Batch], None]


def main() -> None:
    """Measures and prints a table; `--json` writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each row of the table")
    parser.add_argument("--latency", type=float, default=0.0, help="of seq2seq serve")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--inputs", type=int, default=1, help="of each request")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = list(read_objects(options.run / "predictions" / "test.jsonl"))
    sources = [row["source"] for _, row in rows]
    measured = {
        "the model alone, one by one": alone(options.run, sources, options.seconds, 1),
        "the model alone, batches of 64": alone(options.run, sources, options.seconds, BATCH),
    }
    with tempfile.TemporaryDirectory(prefix="seq2seq-serving-") as folder:
        store = f"sqlite:///{folder}/mlflow.db"
        servers = {
            "seq2seq serve": Served.by_seq2seq(options.run, options.latency),
            "mlflow models serve": Served.by_mlflow(
                logged(options.run, rows[0][1], store, Path(folder)), store
            ),
        }
        for name, served in servers.items():
            with server(served) as port:
                connect = partial(client, port, served.route)
                batches = batches_of(sources, options.inputs)
                for clients in options.clients:
                    row = load(connect, batches, clients, options.seconds)
                    measured[f"{name}, {clients} client{'s' * (clients > 1)}"] = row
                rate = SHARE * row["requests_per_second"]
                row = load(connect, batches, clients, options.seconds, rate)
                measured[f"{name}, {rate:.0f} requests/s"] = row
    print("| | inputs/s | p50 ms | p99 ms | requests |\n|---|---|---|---|---|")
    for name, row in measured.items():
        numbers = f"{row['per_second']:.1f} | {row['p50']:.1f} | {row['p99']:.1f}"
        print(f"| {name} | {numbers} | {row['requests']} |")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Served:
    """A way to serve a model.

    Attributes:
        command: Without the option of the port.
        route: Where predictions are asked for.
        ready: What answers once the model is loaded.
        variables: Of its environment.
    """

    command: Sequence[str]
    route: str
    ready: str
    variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def by_seq2seq(cls, run: Path, latency: float) -> "Served":
        """Returns `seq2seq serve`."""
        command = [sys.executable, "-m", "seq2seq", "serve", f"run={run}"]
        command += ["--latency", str(latency)]
        return cls(command, "/models/run/predict", "/ready")

    @classmethod
    def by_mlflow(cls, model: str, store: str) -> "Served":
        """Returns `mlflow models serve`, which looks for its own helpers on the path."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model]
        command += ["--env-manager", "local"]
        variables = {"PATH": path, "MLFLOW_TRACKING_URI": store}
        return cls(command, "/invocations", "/ping", variables)


def alone(run: Path, sources: list[str], seconds: float, batch_size: int) -> dict[str, float]:
    """Measures batches of sources in this process."""
    predictor = Predictor.load(run)

    def send(batch: list[str]) -> None:
        predictor(batch)

    return load(lambda: send, batches_of(sources, batch_size), 1, seconds)


def batches_of(sources: list[str], size: int) -> list[list[str]]:
    """Returns full batches of consecutive sources."""
    starts = range(0, len(sources) - size + 1, size)
    return [sources[start : start + size] for start in starts]


def logged(run: Path, row: dict[str, Any], store: str, folder: Path) -> str:
    """Logs and registers a run's model; its address."""
    tracker = MlflowTracker(store, system_metrics=False)
    tracker.start(folder, {}, {})
    tracker.log_model(run / "model", row["source"], row, 0)
    tracker.finish()
    version = Registry(store).register(tracker.run_id, "served")
    return f"models:/served/{version}"


def client(port: int, route: str) -> Send[list[str]]:
    """A client with a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(texts: list[str]) -> None:
        body = json.dumps({"inputs": texts})
        connection.request("POST", route, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        content = reply.read()
        if reply.status != 200:
            raise SystemExit(f"the server answers {reply.status}: {content.decode()}")
        assert len(json.loads(content)["predictions"]) == len(texts)

    return send


def load(
    connect: Callable[[], Send[Batch]],
    batches: Sequence[Batch],
    clients: int,
    seconds: float,
    rate: float | None = None,
) -> dict[str, float]:
    """Sends batches from several threads, for some time; each waits for its answer.

    Args:
        connect: Makes a client.
        batches: What is sent, in turn.
        clients: The number of threads.
        seconds: How long.
        rate: Requests a second of all clients; None for as many as are answered. Latencies then
            count from when a request was due, so that a late one is not counted as fast.

    Returns:
        `per_second` (inputs), `requests_per_second`, `p50` and `p99` (milliseconds), `requests`.
    """
    warm = connect()
    for batch in batches[:WARM_UP]:
        warm(batch)
    began = time.perf_counter()

    def times(number: int) -> list[float]:
        send, milliseconds, turn = connect(), [], number
        while (start := time.perf_counter()) < began + seconds:
            if rate is not None:
                start = began + turn / rate
                time.sleep(max(0.0, start - time.perf_counter()))
            send(batches[turn % len(batches)])
            milliseconds.append(1000 * (time.perf_counter() - start))
            turn += clients
        return milliseconds

    with ThreadPoolExecutor(clients) as pool:
        measured = sorted(chain.from_iterable(pool.map(times, range(clients))))
    took = time.perf_counter() - began
    return {
        "per_second": len(measured) * len(batches[0]) / took,
        "requests_per_second": len(measured) / took,
        "p50": statistics.median(measured),
        "p99": measured[int(0.99 * len(measured))],
        "requests": len(measured),
    }


@contextmanager
def server(served: Served) -> Iterator[int]:
    """Starts a server, and yields its port."""
    with server_process(served) as (port, _):
        yield port


@contextmanager
def server_process(served: Served) -> Iterator[tuple[int, int]]:
    """Starts a server, and yields its port and the id of its process."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*served.command, "--port", str(port)], env={**os.environ, **served.variables},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(f"http://127.0.0.1:{port}{served.ready}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(served.command)}: the server did not start")
            time.sleep(0.5)
        yield port, process.pid
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def answers(url: str) -> bool:
    """Whether a server is ready."""
    try:
        return bool(urllib.request.urlopen(url, timeout=2).status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
