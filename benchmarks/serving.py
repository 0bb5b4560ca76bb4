"""How fast a served run answers, beside the same run without a server.

    python -m benchmarks.serving outputs/translation/cldr_dates/2026-11-22_09-00-00

Logs the run's model to an MLflow store of its own, starts `mlflow models serve` on a loopback port
and sends it the sources of the run's test split, one a request. Clients keep their connection; they
share the machine with the server.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from seq2seq.data.formats.json_lines import read_objects
from seq2seq.inference.predictor import Predictor
from seq2seq.tracking.logged_models import Registry
from seq2seq.tracking.mlflow_tracker import MlflowTracker

CLIENTS = (1, 8, 32)
SECONDS = 15.0
WARM_UP = 20
PATIENCE = 300

Send = Callable[[str], None]


def main() -> None:
    """Measures and prints a table and the overhead; `--json` writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each row of the table")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = list(read_objects(options.run / "predictions" / "test.jsonl"))
    sources = [row["source"] for _, row in rows]
    measured = {"model alone": alone(options.run, sources, options.seconds)}
    with tempfile.TemporaryDirectory(prefix="seq2seq-serving-") as folder:
        store = f"sqlite:///{folder}/mlflow.db"
        with server(logged(options.run, rows[0][1], store, Path(folder)), store) as port:
            for clients in CLIENTS:
                found = load(lambda: client(port), sources, clients, options.seconds)
                measured[f"{clients} client{'s' * (clients > 1)}"] = found
    print("| | requests/s | p50 ms | p99 ms | requests |\n|---|---|---|---|---|")
    for name, row in measured.items():
        numbers = f"{row['per_second']:.1f} | {row['p50']:.1f} | {row['p99']:.1f}"
        print(f"| {name} | {numbers} | {row['requests']} |")
    added = measured["1 client"]["p50"] - measured["model alone"]["p50"]
    share = added / measured["1 client"]["p50"]
    print(f"Serving adds {added:.1f} ms to a request (p50, one client): {100 * share:.0f} % of it.")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def alone(run: Path, sources: list[str], seconds: float) -> dict[str, float]:
    """The time of one source at a time in this process."""
    predictor = Predictor.load(run)

    def send(text: str) -> None:
        predictor([text])

    return load(lambda: send, sources, 1, seconds)


def logged(run: Path, row: dict[str, Any], store: str, folder: Path) -> str:
    """Logs and registers a run's model; its address."""
    tracker = MlflowTracker(store, system_metrics=False)
    tracker.start(folder, {}, {})
    tracker.log_model(run / "model", row, 0)
    tracker.finish()
    version = Registry(store).register(tracker.run_id, "served")
    return f"models:/served/{version}"


def client(port: int) -> Send:
    """A client with a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(text: str) -> None:
        body = json.dumps({"inputs": [text]})
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        content = reply.read()
        if reply.status != 200:
            raise SystemExit(f"the server answers {reply.status}: {content.decode()}")
        assert len(json.loads(content)["predictions"]) == 1

    return send


def load(
    connect: Callable[[], Send], sources: list[str], clients: int, seconds: float
) -> dict[str, float]:
    """Sends sources from several threads, for some time; each waits for its answer.

    Returns:
        `per_second`, `p50` and `p99` (milliseconds), `requests`.
    """
    warm = connect()
    for text in sources[:WARM_UP]:
        warm(text)
    began = time.perf_counter()

    def times(number: int) -> list[float]:
        send, found, turn = connect(), [], number
        while (start := time.perf_counter()) < began + seconds:
            send(sources[turn % len(sources)])
            found.append(1000 * (time.perf_counter() - start))
            turn += clients
        return found

    with ThreadPoolExecutor(clients) as pool:
        found = sorted(each for some in pool.map(times, range(clients)) for each in some)
    took = time.perf_counter() - began
    return {
        "per_second": len(found) / took,
        "p50": statistics.median(found),
        "p99": found[int(0.99 * len(found))],
        "requests": len(found),
    }


@contextmanager
def server(model: str, store: str) -> Iterator[int]:
    """A served model; its port."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model]
    command += ["--env-manager", "local", "--port", str(port)]
    # `mlflow models serve` looks for its own helpers on the path.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        command, env={**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": store},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(f"http://127.0.0.1:{port}/ping"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{model}: the server did not start")
            time.sleep(0.5)
        yield port
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
