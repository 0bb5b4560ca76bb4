"""The load of a server counts what is lost, mixed and failed."""

import asyncio
import json
import time

import pytest

from benchmarks import serving, serving_load
from benchmarks.serving_load import Load
from tests.serving.conftest import TEXTS, saved_run


@pytest.fixture
def run_folder(tmp_path):
    for side in ("source", "target"):
        (tmp_path / side).write_text("".join(f"{text}\n" for text in TEXTS * 5))
    folder = saved_run(tmp_path, "translation")
    (folder / "predictions").mkdir()
    rows = "".join(json.dumps({"source": text}) + "\n" for text in TEXTS * 2)
    (folder / "predictions" / "test.jsonl").write_text(rows)
    return folder


def test_no_request_is_lost_during_reloads_hang_ups_and_malformed_bodies(run_folder):
    expected = serving_load.expected_rows(run_folder)
    assert set(expected) == set(TEXTS)
    report = serving_load.run(run_folder, expected, 600, clients=8, reload=0.5, seed=3)
    counts = report.counts
    assert counts["answered"] + counts["refused"] + counts["hung up"] == 600, report.examples
    assert counts["refused"] > 0
    assert counts["hung up"] > 0
    assert counts["reloads"] > 0
    assert [part.requests for part in report.parts] == [60 * n for n in range(1, 11)]
    assert all(100 < part.megabytes < 10_000 for part in report.parts)
    assert "600 |" in serving_load.text_of(report)


class Server:
    """Answers the first request with another input's row, fails the next, and loses the third."""

    def __init__(self):
        self.count = 0

    async def __call__(self, reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            sources = json.loads(await reader.readexactly(length))["inputs"]
            self.count += 1
            rows = [{"source": s, "prediction": s, "score": 0.0} for s in sources]
            status = 200
            if self.count == 21:  # after those of the warm-up
                rows[0]["prediction"] = "other"
            elif self.count == 22:
                status = 500
            elif self.count == 23:
                break
            body = json.dumps({"predictions": rows}).encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            writer.write(body)
            await writer.drain()
        writer.close()


def test_what_goes_wrong_is_counted(monkeypatch):
    monkeypatch.setattr(serving_load, "HANG_UPS", 0)
    monkeypatch.setattr(serving_load, "MALFORMED", 0)
    monkeypatch.setattr(serving_load, "resident_megabytes", lambda _: 1.0)
    expected = {str(n): {"source": str(n), "prediction": str(n), "score": 0.0} for n in range(20)}

    async def measured():
        server = await asyncio.start_server(Server(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        return await Load(port, 0, expected, 30, clients=1, reload=60.0, seed=1).run()

    counts = asyncio.run(measured()).counts
    assert counts == {"answered": 27, "mixed": 1, "failed": 1, "lost": 1}


def test_latencies_of_a_fixed_rate_count_from_when_a_request_was_due():
    """One request takes as long as five should: those behind it were due before its end."""
    calls = []

    def send(batch):
        calls.append(batch)
        time.sleep(0.25 if len(calls) == serving.WARM_UP + 1 else 0)

    row = serving.load(lambda: send, [["a", "b"]] * serving.WARM_UP, 1, 0.5, rate=20)
    assert row["requests"] == len(calls) - serving.WARM_UP
    assert row["per_second"] == pytest.approx(2 * row["requests_per_second"])
    assert row["p99"] > 200
    assert row["requests"] > 1
