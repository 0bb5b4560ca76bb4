"""The server as a process: its address, and how it stops."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from seq2seq.errors import UserError
from seq2seq.serving.limits import Limits
from seq2seq.serving.server import serve


def test_an_address_in_use_is_one_message():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"--port {port}: .*[Aa]ddress already in use"):
            serve({}, "127.0.0.1", port, Limits())
    with pytest.raises(UserError, match="--port 70000"):
        serve({}, "127.0.0.1", 70000, Limits())


@pytest.fixture
def server(run_folders):
    """A process that serves a translation model after a second of waiting for others."""
    command = [sys.executable, "-m", "seq2seq", "serve", f"dates={run_folders['translation']}"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--latency", "1000"], stderr=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.wait()


def predict(url, text):
    request = urllib.request.Request(
        f"{url}/models/dates/predict",
        json.dumps({"inputs": [text]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)["predictions"][0]


def hang_up(url):
    """Sends a request, and does not wait for the answer."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    body, headers = json.dumps({"inputs": ["a"]}), {"Content-Type": "application/json"}
    connection.request("POST", "/models/dates/predict", body, headers)
    time.sleep(0.2)
    connection.close()


def test_a_signal_ends_it_after_the_answers_of_all_requests(server):
    lines = []
    for line in server.stderr:
        lines.append(line)
        if match := re.search(r"serving dates at (http://127\.0\.0\.1:\d+)", line):
            break
    url = match[1]
    threading.Thread(target=lambda: lines.extend(server.stderr), daemon=True).start()
    hang_up(url)
    texts = [f"{day}. 5. 2031" for day in range(1, 13)]
    with ThreadPoolExecutor(len(texts)) as pool:
        waiting = [pool.submit(predict, url, text) for text in texts]
        time.sleep(0.5)  # they wait for the latency of a second
        server.send_signal(signal.SIGTERM)
        assert [answer.result()["source"] for answer in waiting] == texts
    assert server.wait(30) == 143
    with pytest.raises(urllib.error.URLError):
        predict(url, "a")
    log = [json.loads(line) for line in lines if line.startswith("{")]
    assert [row["status"] for row in log] == [499, *[200] * len(texts)]
    assert not any(text in line for text in texts for line in lines)
