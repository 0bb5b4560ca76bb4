"""Damage done to files: bytes, characters, lines, JSON values and compression."""

import gzip
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

PIECES = [
    b"\0",
    b"\r",
    b"\r\n",
    b"\n",
    b"\n\n\n",
    b"\t",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc2",
    b"\x80",
    b'"',
    b'""',
    b"'",
    b"\\",
    b"#",
    b"=",
    b",",
    b"{",
    b"}",
    b"[]",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 30,
    "\u00a0".encode(),
    "\u200b".encode(),
    "\u2028".encode(),
    "\u0085".encode(),
    "\U0001f600".encode(),
    "e\u0301".encode(),
    b"\\ud800",
    b"__label__",
    b"-DOCSTART-",
    b"1-2\t",
    b"0.1\t",
]
LARGE_PIECES = [b"9" * 5000, b"[" * 3000, b'{"a":' * 1500, b"x" * 150_000, b"a b " * 20_000]


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Returns a file with some of its bytes, characters or lines changed; a tenth stay whole."""
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 5, 8])):
        content = rng.choice(_CHANGES)(rng, content)
    if rng.random() < 0.05:
        content = _compressed(rng, content)
    return content


def _insert(rng: random.Random, content: bytes) -> bytes:
    place = rng.randint(0, len(content))
    return content[:place] + rng.choice(PIECES) + content[place:]


def _insert_large(rng: random.Random, content: bytes) -> bytes:
    if rng.random() < 0.9:
        return _insert(rng, content)
    place = rng.randint(0, len(content))
    return content[:place] + rng.choice(LARGE_PIECES) + content[place:]


def _flip(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    if changed:
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randint(0, len(content))]


def _remove(rng: random.Random, content: bytes) -> bytes:
    start, end = sorted(rng.randint(0, len(content)) for _ in range(2))
    return content[:start] + content[min(end, start + 20) :]


def _repeat(rng: random.Random, content: bytes) -> bytes:
    start, end = sorted(rng.randint(0, len(content)) for _ in range(2))
    return content[:end] + content[start:end] * rng.randint(1, 3) + content[end:]


def _swap_lines(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def _encode_otherwise(rng: random.Random, content: bytes) -> bytes:
    encoding = rng.choice(["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "cp1252"])
    return content.decode("utf-8", "replace").encode(encoding, "replace")


def _line_ends(rng: random.Random, content: bytes) -> bytes:
    return content.replace(b"\n", rng.choice([b"\r", b"\r\n", b"", b"\n\n", b"\x0b"]))


def _compressed(rng: random.Random, content: bytes) -> bytes:
    packed = gzip.compress(content, mtime=0)
    kind = rng.randrange(4)
    if kind == 0:
        return packed
    if kind == 1:
        return packed[: len(packed) // 2]
    return _flip(rng, packed) if kind == 2 else packed + b"more"


_CHANGES: Sequence[Callable[[random.Random, bytes], bytes]] = [
    *[_insert] * 4,
    _insert_large,
    *[_flip] * 2,
    _cut,
    *[_remove] * 2,
    _repeat,
    _swap_lines,
    _encode_otherwise,
    _line_ends,
]


def other_json(rng: random.Random, value: Any) -> Any:
    """Returns a JSON value with one to three of its parts replaced, removed or added."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        value = _changed(rng, value)
    return value


def _changed(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(sorted(value))
        kind = rng.random()
        if kind < 0.1:
            del value[key]
        elif kind < 0.2:
            value[rng.choice(["x", "", "_target_", "a" * 1000])] = strange(rng)
        else:
            value[key] = _changed(rng, value[key])
        return value
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.15:
            del value[place]
        elif kind < 0.3:
            value.insert(place, rng.choice([value[place], strange(rng)]))
        else:
            value[place] = _changed(rng, value[place])
        return value
    return strange(rng)


def strange(rng: random.Random) -> Any:
    """Returns a JSON value that few expect."""
    return rng.choice(
        [
            None,
            True,
            False,
            0,
            -1,
            1,
            2**31,
            2**63,
            10**400,
            0.0,
            1.5,
            -1e308,
            float("nan"),
            float("inf"),
            "",
            " ",
            "x",
            "0",
            "\0",
            "\ud800",
            "\u200b",
            "y" * 5000,
            [],
            [None],
            ["a", "a"],
            [[]],
            {},
            {"": None},
            {"_target_": "os.system"},
        ]
    )
