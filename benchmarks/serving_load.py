"""Whether a server answers each of very many requests, whatever else happens to it.

    python -m benchmarks.serving_load outputs/translation/cldr_dates/2026-11-22_09-00-00

Clients send random inputs of the run's test split to `seq2seq serve` on a loopback port. Some hang
up before the answer, some send malformed bodies, and every few seconds the model is reloaded. Each
answer is compared to what `predict` gives for that input alone. Clients share the machine with the
server.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving import Served, server_process
from seq2seq.data.formats.json_lines import read_objects
from seq2seq.inference.predictor import Predictor

REQUESTS, CLIENTS, RELOAD_SECONDS = 100_000, 64, 5.0
MAXIMUM_INPUTS = 3
HANG_UPS, MALFORMED = 0.03, 0.02
"""The shares of requests."""

PATIENCE, HANG_UP_SECONDS = 120.0, 0.2
SCORE_TOLERANCE = 1e-3
PARTS = 10
MALFORMED_BODIES = (
    b'{"inputs": ["7 May',
    b"[]",
    b"\xff\xfe\x00",
    b'{"inputs": []}',
    b'{"inputs": [5]}',
    b'{"inputs": ["a"], "n_best": 1000000}',
    b'{"inputs": ["\\ud800"]}',
    b"",
)
CLIENT_ERRORS = range(400, 500)


@dataclass
class Part:
    """What was measured during a tenth of the requests."""

    requests: int
    per_second: float
    p50: float
    p99: float
    megabytes: float


@dataclass
class Report:
    """How many requests ended how.

    Attributes:
        counts: `answered`, `refused` (malformed, as they should be), `hung up`, `reloads`; and
            what must not be: `lost` (no answer), `mixed` (the answer is that of another input),
            `failed` (any other status than expected), `failed reloads`.
        parts: The measurements.
        seconds: Of all requests.
        examples: Some of what must not be.
    """

    counts: Counter[str] = field(default_factory=Counter)
    parts: list[Part] = field(default_factory=list)
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    def add(self, kind: str, example: object = "") -> None:
        """Counts a request."""
        self.counts[kind] += 1
        if kind in ("lost", "mixed", "failed", "failed reloads") and len(self.examples) < 10:
            self.examples.append(f"{kind}: {example!r:.300}")


def main() -> None:
    """Measures and prints a table; `--json` writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--reload", type=float, default=RELOAD_SECONDS, help="seconds between two")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    expected = expected_rows(options.run)
    report = run(
        options.run, expected, options.requests, options.clients, options.reload, options.seed
    )
    print(text_of(report))
    if options.json:
        values = {"counts": report.counts, "parts": [vars(part) for part in report.parts]}
        options.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def expected_rows(run: Path) -> dict[str, dict[str, Any]]:
    """Returns what `predict` gives for each distinct source of the test split alone."""
    rows = read_objects(run / "predictions" / "test.jsonl")
    predictor = Predictor.load(run)
    sources = dict.fromkeys(row["source"] for _, row in rows)
    return {source: dict(predictor(source)) for source in sources}


def text_of(report: Report) -> str:
    """Returns the report as text."""
    lines = ["| requests | a second | p50 ms | p99 ms | memory MB |", "|---|---|---|---|---|"]
    lines += map(line_of, report.parts)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(report.counts.items()))
    return "\n".join([*lines, f"{counts} in {report.seconds:.0f} s", *report.examples])


def line_of(part: Part) -> str:
    """Returns a line of the table."""
    times = f"{part.per_second:.1f} | {part.p50:.1f} | {part.p99:.1f}"
    return f"| {part.requests} | {times} | {part.megabytes:.0f} |"


def run(
    folder: Path,
    expected: Mapping[str, Mapping[str, Any]],
    requests: int,
    clients: int,
    reload: float,
    seed: int,
) -> Report:
    """Starts a server, and sends it all requests."""
    with server_process(Served.by_seq2seq(folder, 0.0)) as (port, process):
        load = Load(port, process, expected, requests, clients, reload, seed)
        return asyncio.run(load.run())


class Load:
    """Very many requests to a server.

    Args:
        port: The server's port on the loopback interface.
        process: The id of its process.
        expected: The row of each input.
        requests: How many to send.
        clients: How many wait for an answer at once, each on a connection of its own.
        reload: The seconds between two reloads.
        seed: What the requests are drawn with.
    """

    def __init__(
        self,
        port: int,
        process: int,
        expected: Mapping[str, Mapping[str, Any]],
        requests: int,
        clients: int,
        reload: float,
        seed: int,
    ) -> None:
        self.port, self.process, self.expected = port, process, expected
        self.requests, self.clients, self.reload, self.seed = requests, clients, reload, seed
        self.sources = list(expected)
        self.report = Report()
        self._numbers: Iterator[int] = iter(range(requests))
        self._milliseconds: list[float] = []
        self._ended, self._part_began = 0, 0.0
        self._all_ended = asyncio.Event()

    async def run(self) -> Report:
        """Sends all requests, and returns how they ended."""
        await self._warm_up()
        reloads = asyncio.create_task(self._reload_often())
        began = self._part_began = time.perf_counter()
        await asyncio.gather(*(self._client(number) for number in range(self.clients)))
        self.report.seconds = time.perf_counter() - began
        self._all_ended.set()
        await reloads
        return self.report

    async def _warm_up(self) -> None:
        connection = Connection(self.port)
        for source in self.sources[:20]:
            await connection.predict([source])
        connection.close()

    async def _client(self, number: int) -> None:
        """Sends one request after the other."""
        draw = random.Random(f"{self.seed} {number}")
        connection = Connection(self.port)
        for _ in self._numbers:
            kind = draw.random()
            try:
                if kind < HANG_UPS:
                    await self._hang_up(connection, draw)
                elif kind < HANG_UPS + MALFORMED:
                    await self._send_malformed(connection, draw)
                else:
                    await self._predict(connection, draw)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.report.add("lost", error)
                connection.close()
            self._end_request()
        connection.close()

    async def _predict(self, connection: "Connection", draw: random.Random) -> None:
        sources = draw.sample(self.sources, min(len(self.sources), draw.randint(1, MAXIMUM_INPUTS)))
        began = time.perf_counter()
        status, answer = await connection.predict(sources)
        self._milliseconds.append(1000 * (time.perf_counter() - began))
        if status != 200:
            self.report.add("failed", (status, answer))
            return
        rows = answer["predictions"]
        is_right = len(rows) == len(sources) and all(
            is_same(row, self.expected[source]) for row, source in zip(rows, sources, strict=True)
        )
        self.report.add("answered" if is_right else "mixed", (sources, rows))

    async def _hang_up(self, connection: "Connection", draw: random.Random) -> None:
        await connection.send("/models/run/predict", body_of([draw.choice(self.sources)]))
        await asyncio.sleep(draw.random() * HANG_UP_SECONDS)
        connection.close()
        self.report.add("hung up")

    async def _send_malformed(self, connection: "Connection", draw: random.Random) -> None:
        body = draw.choice(MALFORMED_BODIES)
        await connection.send("/models/run/predict", body)
        status, answer = await connection.receive()
        is_refused = status in CLIENT_ERRORS and "detail" in answer
        self.report.add("refused" if is_refused else "failed", (body, status, answer))

    async def _reload_often(self) -> None:
        while True:
            connection = Connection(self.port)  # the server closes those that are idle for 5 s
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_ended.wait(), self.reload)
                return
            try:
                await connection.send("/models/run/reload", b"")
                status, answer = await connection.receive()
                self.report.add("reloads" if status == 200 else "failed reloads", answer)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.report.add("failed reloads", error)
            connection.close()

    def _end_request(self) -> None:
        """Counts a request, and measures after each tenth of them."""
        self._ended += 1
        if self._ended * PARTS // self.requests == (self._ended - 1) * PARTS // self.requests:
            return
        now, times = time.perf_counter(), sorted(self._milliseconds) or [0.0]
        count = self.requests / PARTS
        self.report.parts.append(
            Part(
                self._ended,
                count / (now - self._part_began),
                times[len(times) // 2],
                times[int(0.99 * len(times))],
                resident_megabytes(self.process),
            )
        )
        print(line_of(self.report.parts[-1]), file=sys.stderr, flush=True)
        self._milliseconds, self._part_began = [], now


class Connection:
    """A connection to the server, opened again after it was closed.

    Args:
        port: The server's.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def predict(self, sources: list[str]) -> tuple[int, Any]:
        """Returns the status and the answer for some inputs."""
        await self.send("/models/run/predict", body_of(sources))
        return await self.receive()

    async def send(self, route: str, body: bytes) -> None:
        """Sends a request."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        head = (
            f"POST {route} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._streams[1].write(head.encode() + body)
        await self._streams[1].drain()

    async def receive(self) -> tuple[int, Any]:
        """Returns the status and the content of an answer."""
        return await asyncio.wait_for(self._receive(), PATIENCE)

    async def _receive(self) -> tuple[int, Any]:
        assert self._streams is not None
        reader = self._streams[0]
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        content = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), json.loads(content)

    def close(self) -> None:
        """Closes the connection at once."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def body_of(sources: list[str]) -> bytes:
    """Returns the body of a request."""
    return json.dumps({"inputs": sources}).encode()


def is_same(row: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """Whether two rows have the same source and prediction, and nearly the same score."""
    return (
        row["source"] == expected["source"]
        and row["prediction"] == expected["prediction"]
        and abs(row["score"] - expected["score"]) < SCORE_TOLERANCE
    )


def resident_megabytes(process: int) -> float:
    """Returns the memory of a process (VmRSS)."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError("no VmRSS")


if __name__ == "__main__":
    main()
