"""Small valid files of every format that is read."""

import csv
import io
import json
import random
from typing import Any

WORDS = [
    "a",
    "good",
    "film",
    "the",
    "Straße",
    "7",
    "3.5",
    "日本",
    "I'm",
    "\U0001f600",
    "été",
    "x,y",
    '"q"',
]
LABELS = ["pos", "neg", "B-PER", "I-PER", "O", "NUM:dist", "1", "0"]


def sentence(rng: random.Random, longest: int = 8) -> str:
    """Returns some words; none now and then."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, longest)))


def text(rng: random.Random) -> str:
    """Returns lines of text."""
    return "".join(f"{sentence(rng)}\n" for _ in range(rng.randint(0, 12)))


def table(rng: random.Random, delimiter: str, header: list[str], quoted: bool) -> str:
    """Returns rows of a text for each name of the header, and numbers under `x`."""
    rows = [
        [
            repr(rng.choice([1, 2.5, -3, 1e9]))
            if name == "x"
            else rng.choice(LABELS)
            if name == "label"
            else sentence(rng)
            for name in header
        ]
        for _ in range(rng.randint(1, 10))
    ]
    if not quoted:
        return "".join(delimiter.join(row) + "\n" for row in rows)
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()


def objects(rng: random.Random) -> list[dict[str, Any]]:
    """Returns the objects of JSON lines for any task."""
    found = []
    for _ in range(rng.randint(1, 8)):
        tokens = [rng.choice(WORDS) for _ in range(rng.randint(1, 5))]
        found.append(
            {
                "text": sentence(rng),
                "text2": sentence(rng),
                "source": sentence(rng),
                "target": sentence(rng),
                "label": rng.choice([*LABELS, ["pos", "neg"], 1, None]),
                "x": rng.choice([1, 2.5, "3", -4]),
                "tokens": tokens,
                "labels": [rng.choice(LABELS) for _ in tokens],
                "required": [rng.choice(WORDS)],
                "forbidden": [],
                "prefix": rng.choice(WORDS),
            }
        )
    return found


def json_lines(values: list[Any]) -> str:
    """Returns a JSON value a line."""
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def conll(rng: random.Random) -> str:
    """Returns sentences in two to four columns."""
    width = rng.randint(2, 4)
    lines = ["-DOCSTART- O\n\n"] if rng.random() < 0.3 else []
    for _ in range(rng.randint(1, 5)):
        for _ in range(rng.randint(1, 6)):
            cells = [rng.choice(WORDS) for _ in range(width - 1)]
            lines.append(rng.choice([" ", "\t"]).join([*cells, rng.choice(LABELS)]) + "\n")
        lines.append("\n")
    return "".join(lines)


def conllu(rng: random.Random) -> str:
    """Returns sentences of CoNLL-U with comments, ranges and empty nodes."""
    lines = []
    for number in range(rng.randint(1, 4)):
        lines.append(f"# sent_id = {number}\n")
        for place in range(1, rng.randint(2, 6)):
            if rng.random() < 0.2:
                lines.append(f"{place}-{place + 1}\tal\t_\t_\t_\t_\t_\t_\t_\t_\n")
            lines.append(f"{place}\t{rng.choice(WORDS)}\tx\tNOUN\t_\t_\t0\troot\t_\t_\n")
            if rng.random() < 0.1:
                lines.append(f"{place}.1\tx\tx\tX\t_\t_\t_\t_\t_\t_\n")
        lines.append("\n")
    return "".join(lines)


def label_lines(rng: random.Random) -> str:
    """Returns lines that begin with a label, with a prefix or without."""
    prefix = rng.choice(["", "__label__"])
    between = rng.choice([" ", "\t", "  "])
    return "".join(
        f"{prefix}{rng.choice(LABELS)}{between}{sentence(rng)}\n" for _ in range(rng.randint(1, 9))
    )


def vectors(rng: random.Random) -> str:
    """Returns word vectors, with a header or without."""
    width, count = rng.randint(1, 5), rng.randint(1, 8)
    lines = [f"{count} {width}"] if rng.random() < 0.5 else []
    for number in range(count):
        numbers = " ".join(f"{rng.uniform(-1, 1):.3f}" for _ in range(width))
        lines.append(f"{rng.choice(WORDS)}{number} {numbers}")
    return "\n".join(lines) + "\n"
