"""How fast a served model answers, beside the same model without a server.

    python -m benchmarks.serving models:/dates@champion sentences.txt

Starts `mlflow models serve` on a loopback port and sends it one sentence a request.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

CLIENTS = (1, 8, 32)
SECONDS = 15.0
MOST_REQUESTS = 2000


def main() -> None:
    """Measures and prints a table; `--json` writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a logged or registered model: models:/NAME@ALIAS")
    parser.add_argument("sentences", type=Path, help="a text file")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each number of clients")
    options = parser.parse_args()
    sentences = options.sentences.read_text("utf-8").splitlines()
    rows = [{"clients": "model alone", **alone(options.model, sentences, options.seconds)}]
    with server(options.model) as url:
        for clients in CLIENTS:
            measured = load(lambda text: ask(url, text), sentences, clients, options.seconds)
            rows.append({"clients": clients, **measured})
    print("| clients | requests/s | p50 ms | p99 ms | errors |\n|---|---|---|---|---|")
    for row in rows:
        numbers = f"{row['per_second']:.1f} | {row['p50']:.1f} | {row['p99']:.1f}"
        print(f"| {row['clients']} | {numbers} | {row['errors']} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def alone(model: str, sentences: list[str], seconds: float) -> dict[str, float]:
    """The time of one sentence at a time in this process."""
    from seq2seq.inference.predictor import Predictor
    from seq2seq.tracking.logged_models import Registry

    folder = Path(model) if Path(model).is_dir() else Registry().download(model)
    predictor = Predictor.load(folder)
    predictor(sentences[:1])
    return load(lambda text: predictor([text]), sentences, 1, seconds)


def ask(url: str, text: str) -> object:
    """Sends one sentence."""
    body = json.dumps({"inputs": [text]}).encode()
    request = urllib.request.Request(
        f"{url}/invocations", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)["predictions"]


def load(
    send: Callable[[str], object], sentences: list[str], clients: int, seconds: float
) -> dict[str, float]:
    """Sends sentences from several threads, for some time; each waits for its answer.

    Returns:
        `per_second`, `p50` and `p99` (milliseconds), `requests`, `errors`.
    """
    end = time.perf_counter() + seconds

    def client(number: int) -> tuple[list[float], int]:
        times, errors = [], 0
        for turn in range(MOST_REQUESTS // clients):
            began = time.perf_counter()
            if began > end:
                break
            try:
                send(sentences[(number + turn * clients) % len(sentences)])
                times.append(time.perf_counter() - began)
            except OSError:
                errors += 1
        return times, errors

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        results = list(pool.map(client, range(clients)))
    took = time.perf_counter() - began
    times = sorted(1000 * t for each, _ in results for t in each)
    return {
        "per_second": len(times) / took,
        "p50": statistics.median(times),
        "p99": times[min(len(times) - 1, int(0.99 * len(times)))],
        "requests": len(times),
        "errors": sum(errors for _, errors in results),
    }


@contextmanager
def server(model: str):  # type: ignore[no-untyped-def]
    """A served model; its address."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model]
    command += ["--env-manager", "local", "--port", str(port)]
    # `mlflow models serve` looks for its own helpers on the path.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 300
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{model}: the server did not start")
            time.sleep(0.5)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def answers(url: str) -> bool:
    """Whether a server is ready."""
    try:
        return urllib.request.urlopen(f"{url}/ping", timeout=2).status == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()
