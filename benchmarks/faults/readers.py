"""Damaged and made-up files through every reader and loader.

Each input has a number, and follows from it and the seed alone. Nothing but the project's own error
or a valid result may come of it, within `SECONDS`.
"""

import contextlib
import json
import logging
import multiprocessing
import random
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.faults import documents
from benchmarks.faults.mutations import damaged, other_json
from seq2seq.data.formats.conll import CONLLU, WORDS_FIRST, ColumnFormat, Conll
from seq2seq.data.formats.json_lines import Jsonl, LabelledJsonl, TaggedJsonl, read_objects
from seq2seq.data.formats.labelled_texts import LabelFolders, LabelLines
from seq2seq.data.formats.parallel_text import ParallelText
from seq2seq.data.formats.plain_text import PlainText
from seq2seq.data.formats.tables import Csv, Tsv
from seq2seq.data.formats.text_files import read_lines, read_lines_with_ends
from seq2seq.data.holdout import Holdout
from seq2seq.data.labels.class_labels import ClassLabels
from seq2seq.data.labels.token_labels import TokenLabels
from seq2seq.data.number_columns import (
    NumberColumn,
    load_columns,
    save_columns,
    standardised_numbers,
)
from seq2seq.data.token_store import ColumnSpec, TokenStore, build
from seq2seq.data.tokenizers.token_features import TokenFeatures
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.data.tokenizers.word_vectors import read_word_vectors
from seq2seq.errors import UserError
from seq2seq.inference.input_files import read_inputs
from seq2seq.inference.scoring import input_pairs
from seq2seq.tasks.translation.constraints import constrained, constraints_of

SECONDS, AT_ONCE, SHOWN = 5, 1000, 10
FIELDS = ("text", "text2", "x", "label")
SAMPLE = ["a good film", "", "\u200b", "日本 x", "\0"]

Read = Callable[[Path, random.Random], None]


@dataclass(frozen=True)
class Target:
    """A reader, and the valid files that it reads.

    Attributes:
        ending: What its files' names end with.
        make: Makes a valid file.
        read: Reads one to its end, and checks what it gives.
    """

    ending: str
    make: Callable[[random.Random], str | bytes]
    read: Read


@dataclass(frozen=True)
class Failure:
    """An input that did not end as it should."""

    number: int
    target: str
    reason: str


class TooLong(BaseException):
    """An input has taken longer than `SECONDS`."""


def check_texts(record: Any) -> None:
    """Checks that all texts of a record can be written."""
    for value in record.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str):
                each.encode()
            elif isinstance(each, list | dict):
                raise TypeError(f"a {type(each).__name__} inside of a record")


def dataset(make: Callable[[Path, random.Random], Any]) -> Read:
    """Returns what reads all records of a dataset, twice the same."""

    def read(path: Path, rng: random.Random) -> None:
        data = make(path, rng)
        records = []
        for split in data.split_names:
            with contextlib.suppress(UserError):
                records += data.records(split)
        for record in records:
            check_texts(record)
        again = list(data.records("train"))
        if again != records[: len(again)]:
            raise AssertionError("read twice, the records differ")
        data.fingerprint("train")

    return read


def _files(path: Path) -> tuple[str, dict[str, str]]:
    return str(path.parent), {"train": path.name}


def _parallel(path: Path, rng: random.Random) -> ParallelText:
    folder, files = _files(path)
    return ParallelText(folder, files, files, Holdout({"test": 0.3}))


def _tsv(path: Path, rng: random.Random) -> Tsv:
    return Tsv(
        *_files(path), {"text": 0, "label": rng.randint(0, 2)}, rng.choice(["\t", " ", "ab"])
    )


def _csv(path: Path, rng: random.Random) -> Csv:
    header = rng.random() < 0.8
    columns = {"text": "text", "label": "label"} if header else {"text": 0, "label": 1}
    return Csv(*_files(path), columns, rng.choice(",;"), header, rng.random() < 0.8)


def _labelled_jsonl(path: Path, rng: random.Random) -> LabelledJsonl:
    return LabelledJsonl(*_files(path), {field: field for field in FIELDS})


def _tagged_jsonl(path: Path, rng: random.Random) -> TaggedJsonl:
    return TaggedJsonl(*_files(path), {"tokens": "tokens", "labels": "labels"})


def _jsonl(path: Path, rng: random.Random) -> Jsonl:
    return Jsonl(*_files(path), {"source": "source", "target": "target"})


def _plain_text(path: Path, rng: random.Random) -> PlainText:
    return PlainText(*_files(path), rng.choice([None, "\n\n", "a"]), tail={"test": 0.2})


def _label_lines(path: Path, rng: random.Random) -> LabelLines:
    return LabelLines(*_files(path), rng.choice([None, 1]), rng.choice([None, "__label__"]))


def _folders(path: Path, rng: random.Random) -> LabelFolders:
    for name in ("pos", "neg", ".hidden"):
        folder = path.parent / "top" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "1.txt").write_bytes(path.read_bytes())
    return LabelFolders(str(path.parent), {"train": "top"})


def _conll(path: Path, rng: random.Random) -> Conll:
    return Conll(
        *_files(path), {"tokens": 0, "labels": rng.choice([-1, 1])}, rng.choice([None, " "])
    )


def _conllu(path: Path, rng: random.Random) -> Conll:
    return Conll(*_files(path), CONLLU.columns, "\t", "#", word_ids=True)


def columns_filled(path: Path, rng: random.Random) -> None:
    """Fills the labels in: all lines stay, and the new labels are read back."""
    for layout in (WORDS_FIRST, CONLLU, ColumnFormat({"tokens": 0, "labels": -1}, width=4)):
        for sentence in layout.sentences(read_lines_with_ends(path)):
            labels = [f"L{n}" for n, _ in enumerate(sentence.words)]
            written = layout.with_column(sentence, "labels", labels)
            if written.count("\n") != sum(line.count("\n") for line in sentence.lines):
                raise AssertionError("lines were lost")


def vectors_read(path: Path, rng: random.Random) -> None:
    """Reads word vectors."""
    words, vectors = read_word_vectors(path, rng.choice([None, 3]))
    if vectors.shape[0] != len(words) or not np.isfinite(vectors).all():
        raise AssertionError("vectors and words differ")


def labels_fitted(path: Path, rng: random.Random) -> None:
    """Learns classes and numbers from a table and stores it, as training does."""
    records = list(_labelled_jsonl(path, rng).records("train"))
    labels = ClassLabels(rng.choice([None, None, {0: "neg", 1: "pos"}]), rng.random() < 0.8)
    labels.fit(records, "label")
    numbers = NumberColumn("x").fit(records)
    if not np.isfinite(np.concatenate(numbers.encode([r["x"] for r in records]))).all():
        raise AssertionError("a number is not finite")
    texts = [record["text"] for record in records if isinstance(record["text"], str)]
    tokenizer = Tokenizer("character").fit(texts)
    columns = {
        "text": ColumnSpec("text", tokenizer),
        "x": ColumnSpec("x", numbers, dtype=np.float32),
        "label": ColumnSpec("label", labels, is_target=True),
    }
    folder = path.parent / "store"
    folder.mkdir()
    build(records, columns, folder)
    store = TokenStore(folder)
    store.padded("text", np.arange(len(store)))


def tokenizer_loaded(path: Path, rng: random.Random) -> None:
    """Loads a tokenizer, and uses it."""
    tokenizer = Tokenizer.load(path)
    ids = tokenizer.encode(SAMPLE)
    if any(len(each) and not 0 <= each.min() <= each.max() < tokenizer.size for each in ids):
        raise AssertionError("an id is none of the vocabulary")
    tokenizer.decode(ids)
    tokenizer.pieces(range(tokenizer.size))


def features_loaded(path: Path, rng: random.Random) -> None:
    """Loads what a tagger reads, and uses it."""
    features = TokenFeatures.load(path)
    for spec in features.store_columns().values():
        spec.encoder.encode([["a", "Film", "\0", ""]] if spec.field == "tokens" else [["x"]])


def labels_loaded(path: Path, rng: random.Random) -> None:
    """Loads classes, labels of tokens and columns of numbers."""
    for load in (ClassLabels.load, TokenLabels().load, load_columns):
        with contextlib.suppress(UserError):
            loaded = load(path)
            if isinstance(loaded, ClassLabels):
                loaded.encode(["pos", None, ["a"], 3])
            elif isinstance(loaded, list):
                with contextlib.suppress(UserError):
                    standardised_numbers(loaded, [{"x": 1.0}])


def inputs(path: Path, *fields: str) -> Iterator[object]:
    """Yields the inputs of a task that reads these fields."""
    task = SimpleNamespace(input_fields=fields, input_columns={})
    return (item.value for item in read_inputs(path, task))


def inputs_read(path: Path, rng: random.Random) -> None:
    """Reads what `predict` and `score` are given."""
    for read in (
        lambda: inputs(path),
        lambda: inputs(path, "text"),
        lambda: inputs(path, "text", "text2", "x"),
        lambda: input_pairs(str(path), None, None),
        lambda: input_pairs(None, path, path),
    ):
        with contextlib.suppress(UserError):
            for record in read():
                if not isinstance(record, str | dict):
                    raise TypeError(f"a {type(record).__name__} as an input")


def constraints_read(path: Path, rng: random.Random) -> None:
    """Compiles the constraints of records."""
    for place, values in read_objects(path):
        record = {"source": "a", "place": place, **values}
        if constrained(record):
            constraints_of([record], _TOKENIZER)


_TOKENIZER = Tokenizer("character").fit(documents.WORDS)


def _json(make: Callable[[random.Random], str]) -> Callable[[random.Random], str]:
    """Returns what makes a JSON file of which some values may be others."""

    def made(rng: random.Random) -> str:
        content = make(rng)
        if rng.random() < 0.2:
            return content
        lines = [json.loads(line) for line in content.splitlines()]
        return documents.json_lines(
            [other_json(rng, v) if rng.random() < 0.7 else v for v in lines]
        )

    return made


def _saved(save: Callable[[Path], Any]) -> str:
    """Returns a JSON file of the package on one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.json"
        save(path)
        return json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)


def _tokenizer_files() -> list[str]:
    kinds = {"word": None, "character": None, "bpe": 300, "unigram": 300}
    made = [Tokenizer(kind, size).fit(documents.WORDS * 3) for kind, size in kinds.items()]
    return [_saved(tokenizer.save) for tokenizer in made]


def _features_file() -> str:
    features = TokenFeatures(columns=["pos"])
    features.fit([{"tokens": documents.WORDS, "pos": ["NN"] * len(documents.WORDS)}])
    return _saved(features.save)


def _label_files() -> list[str]:
    classes = ClassLabels({0: "neg", "pos": "pos"})
    classes.fit([{"label": "pos"}, {"label": 0}], "label")
    tokens = json.dumps(documents.LABELS)
    return [_saved(classes.save), tokens, _saved(lambda p: save_columns([NumberColumn("x")], p))]


_TOKENIZERS, _FEATURES, _LABELS = _tokenizer_files(), _features_file(), _label_files()


def _objects(rng: random.Random) -> str:
    return documents.json_lines(documents.objects(rng))


def _table(delimiter: str, quoted: bool) -> Callable[[random.Random], str]:
    return lambda rng: documents.table(rng, delimiter, [*FIELDS], quoted)


def _any(rng: random.Random) -> str:
    return rng.choice([documents.text, _objects, _table(",", True), _table("\t", False)])(rng)


TARGETS = {
    "text": Target(".txt", documents.text, lambda path, rng: list(read_lines(path)) and None),
    "parallel text": Target(".txt", documents.text, dataset(_parallel)),
    "TSV": Target(".tsv", _table("\t", False), dataset(_tsv)),
    "CSV": Target(".csv", _table(",", True), dataset(_csv)),
    "JSON lines": Target(".jsonl", _json(_objects), dataset(_jsonl)),
    "labelled JSON lines": Target(".jsonl", _json(_objects), dataset(_labelled_jsonl)),
    "tagged JSON lines": Target(".jsonl", _json(_objects), dataset(_tagged_jsonl)),
    "plain text": Target(".txt", documents.text, dataset(_plain_text)),
    "label lines": Target(".txt", documents.label_lines, dataset(_label_lines)),
    "label folders": Target(".txt", documents.text, dataset(_folders)),
    "CoNLL": Target(".conll", documents.conll, dataset(_conll)),
    "CoNLL-U": Target(".conllu", documents.conllu, dataset(_conllu)),
    "columns filled": Target(
        ".conll", lambda rng: rng.choice([documents.conll, documents.conllu])(rng), columns_filled
    ),
    "word vectors": Target(".vec", documents.vectors, vectors_read),
    "labels and numbers": Target(".jsonl", _objects, labels_fitted),
    "tokenizer": Target(".json", _json(lambda rng: rng.choice(_TOKENIZERS)), tokenizer_loaded),
    "token features": Target(".json", _json(lambda rng: _FEATURES), features_loaded),
    "label files": Target(".json", _json(lambda rng: rng.choice(_LABELS)), labels_loaded),
    "inputs in lines": Target(".txt", _any, inputs_read),
    "inputs in TSV": Target(".tsv", _any, inputs_read),
    "inputs in CSV": Target(".csv", _any, inputs_read),
    "inputs in JSON lines": Target(".jsonl", _json(_objects), inputs_read),
    "constraints": Target(".jsonl", _json(_objects), constraints_read),
}


def tried(numbers: Sequence[int], seed: int) -> Iterator[Failure]:
    """Tries inputs by number in this process, and yields those that failed."""
    logging.disable(logging.WARNING)
    before = signal.signal(signal.SIGALRM, _too_long)
    names = list(TARGETS)
    try:
        for number in numbers:
            name = names[number % len(names)]
            with tempfile.TemporaryDirectory() as folder:
                reason = _reason(TARGETS[name], Path(folder), random.Random(f"{seed} {number}"))
            if reason:
                yield Failure(number, name, reason)
    finally:
        signal.signal(signal.SIGALRM, before)
        logging.disable(logging.NOTSET)


def _reason(target: Target, folder: Path, rng: random.Random) -> str:
    """Returns why an input failed; empty if it did not."""
    made = target.make(rng)
    content = made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")
    path = folder / f"input{target.ending}"
    path.write_bytes(damaged(rng, content))
    signal.alarm(SECONDS)
    try:
        target.read(path, rng)
    except UserError:
        return ""
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error)[-3:])
    finally:
        signal.alarm(0)
    return ""


def _too_long(*ignored: object) -> None:
    raise TooLong(f"more than {SECONDS} seconds")


def _try_in_child(numbers: Sequence[int], seed: int, queue: Any) -> None:
    for failure in tried(numbers, seed):
        queue.put(failure)
    queue.put(None)


def run(inputs: int, seed: int) -> int:
    """Tries many inputs in processes of their own, prints what failed, and returns how many did."""
    context = multiprocessing.get_context("fork")
    failures: list[Failure] = []
    for start in range(0, inputs, AT_ONCE):
        numbers = range(start, min(inputs, start + AT_ONCE))
        queue = context.Queue()
        child = context.Process(target=_try_in_child, args=(numbers, seed, queue))
        child.start()
        failures += _collected(child, queue, numbers)
        child.join()
        print(f"{numbers[-1] + 1:,} inputs, {len(failures)} failed", flush=True)
    kinds = Counter((each.target, each.reason.strip().splitlines()[-1]) for each in failures)
    for (target, reason), count in kinds.most_common():
        print(f"{count:6} {target}: {reason[:200]}")
    for each in failures[:SHOWN]:
        print(f"--- input {each.number}, {each.target}\n{each.reason}")
    return len(failures)


def _collected(child: Any, queue: Any, numbers: Sequence[int]) -> Iterator[Failure]:
    """Yields what a child process reports, and its death if it ends by a signal."""
    while True:
        try:
            failure = queue.get(timeout=1)
        except Exception:  # the queue's own kind of empty
            if child.is_alive():
                continue
            yield Failure(numbers[0], "process", f"exit code {child.exitcode} in {numbers}")
            return
        if failure is None:
            return
        yield failure
