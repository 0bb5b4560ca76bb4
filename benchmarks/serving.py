"""How fast a served run answers, beside the same run without a server.

    python -m benchmarks.serving outputs/translation/cldr_dates/2026-11-22_09-00-00

Sends the sources of the run's test split, one a request, to `seq2seq serve` and then to `mlflow
models serve` of the same model, on a loopback port. Clients keep their connection; they share the
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

Item = TypeVar("Item")
Send = Callable[[Item], None]


def main() -> None:
    """Measures and prints a table; `--json` writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each row of the table")
    parser.add_argument("--latency", type=float, default=0.0, help="of seq2seq serve")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
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
                for clients in options.clients:
                    row = load(connect, sources, clients, options.seconds)
                    measured[f"{name}, {clients} client{'s' * (clients > 1)}"] = row
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
    starts = range(0, len(sources) - batch_size + 1, batch_size)
    batches = [sources[start : start + batch_size] for start in starts]

    def send(batch: list[str]) -> None:
        predictor(batch)

    row = load(lambda: send, batches, 1, seconds)
    return {**row, "per_second": row["per_second"] * batch_size}


def logged(run: Path, row: dict[str, Any], store: str, folder: Path) -> str:
    """Logs and registers a run's model; its address."""
    tracker = MlflowTracker(store, system_metrics=False)
    tracker.start(folder, {}, {})
    tracker.log_model(run / "model", row["source"], row, 0)
    tracker.finish()
    version = Registry(store).register(tracker.run_id, "served")
    return f"models:/served/{version}"


def client(port: int, route: str) -> Send[str]:
    """A client with a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(text: str) -> None:
        body = json.dumps({"inputs": [text]})
        connection.request("POST", route, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        content = reply.read()
        if reply.status != 200:
            raise SystemExit(f"the server answers {reply.status}: {content.decode()}")
        assert len(json.loads(content)["predictions"]) == 1

    return send


def load(
    connect: Callable[[], Send[Item]], items: Sequence[Item], clients: int, seconds: float
) -> dict[str, float]:
    """Sends items from several threads, for some time; each waits for its answer.

    Returns:
        `per_second`, `p50` and `p99` (milliseconds), `requests`.
    """
    warm = connect()
    for item in items[:WARM_UP]:
        warm(item)
    began = time.perf_counter()

    def times(number: int) -> list[float]:
        send, milliseconds, turn = connect(), [], number
        while (start := time.perf_counter()) < began + seconds:
            send(items[turn % len(items)])
            milliseconds.append(1000 * (time.perf_counter() - start))
            turn += clients
        return milliseconds

    with ThreadPoolExecutor(clients) as pool:
        measured = sorted(chain.from_iterable(pool.map(times, range(clients))))
    took = time.perf_counter() - began
    return {
        "per_second": len(measured) / took,
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
