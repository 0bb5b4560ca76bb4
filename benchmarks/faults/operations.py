"""Random inputs to every raw operation of the kernels.

A child process makes the calls, so that a signal or a hang is seen, and named by what makes it
again: `python -m benchmarks.faults.operations --seed SEED --first INDEX --inputs 1`.
"""

import argparse
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

START_SECONDS, CALL_SECONDS = 300, 5
COMMAND = ("-u", "-m", "benchmarks.faults.operations")
SPECIAL = (0.0, -0.0, 1.0, -1e-30, 1e-42, 1e30, -3e38, np.inf, -np.inf, np.nan)
INTEGERS = (-(2**31), -7, -1, 0, 1, 2, 5, 33, 10**6, 2**31 - 1)
OTHER_TYPES = ("float32", "bfloat16", "float64", "float16", "int32", "int64", "bool", "uint32")

_LAYER = {"x": "batch time features", "kernel": "features gates", "recurrent": "units gates"}
_STATES = {"h_before": "batch units", "second_before": "batch units"}
_BIASES = {"bias": "gates", "recurrent_bias": "gates"}
_FORWARD = {**_LAYER, **_BIASES, **_STATES, "mask": "batch time"}
_LASTS = {"d_last_h": "batch units", "d_last_second": "batch units"}
_PASSED = {"second": "batch time units", "gates": "batch time gates"}
_BACKWARD = {
    **_LAYER,
    **_STATES,
    **_PASSED,
    **_LASTS,
    "mask": "batch time",
    "h": "batch time units",
    "d_sequence": "batch time units",
}


def _and_back(shapes: dict[str, str]) -> dict[str, str]:
    return shapes | {f"back_{name}": shape for name, shape in shapes.items()}


_WEIGHTS = {"kernel": "features gates", "recurrent": "units gates"}
_GIVEN = {"x": "batch time features", "mask": "batch time"}
_BOTH_FORWARD = _GIVEN | _and_back(_WEIGHTS | _BIASES)
_BOTH_BACKWARD = (
    _GIVEN
    | {"h": "batch time twice", "d_h": "batch time twice"}
    | _and_back(_WEIGHTS | _PASSED | _LASTS)
)
_STEP = {
    **_STATES,
    **_WEIGHTS,
    **_BIASES,
    "x": "batch features",
    "packed_kernel": "none",
    "packed_recurrent": "none",
}
_PACKED = {"x": "rows depth", "matrix": "depth columns", "packed": "none", "bias": "columns"}
_ATTENTION = {
    "query": "batch time units",
    "keys": "batch length units",
    "values": "batch length width",
    "mask": "batch length",
}
_STATISTICS = {"features": "rows depth", "kernel": "depth columns", "labels": "rows"}

SHAPES: dict[str, dict[str, str]] = {
    "lstm_forward": _FORWARD,
    "gru_forward": _FORWARD,
    "lstm_backward": _BACKWARD,
    "gru_backward": _BACKWARD,
    "lstm_both_forward": _BOTH_FORWARD,
    "gru_both_forward": _BOTH_FORWARD,
    "lstm_both_backward": _BOTH_BACKWARD,
    "gru_both_backward": _BOTH_BACKWARD,
    "lstm_step": _STEP,
    "gru_step": _STEP,
    "pack": {
        "example": "none depth",
        "matrix": "depth columns",
        "rows": "",
        "gates": "",
        "eight_bits": "",
    },
    "packed_dense": _PACKED,
    "packed_tanh_dense": _PACKED,
    "dense": {"x": "rows depth", "kernel": "depth columns", "bias": "columns"},
    "dense_gradient": {
        "x": "rows depth",
        "kernel": "depth columns",
        "y": "rows columns",
        "d_y": "rows columns",
    },
    "dot_attention": _ATTENTION,
    "dot_attention_gradient": _ATTENTION
    | {
        "weights": "batch time length",
        "d_context": "batch time width",
        "d_weights": "batch time length",
    },
    "rows": {"table": "rows width", "indices": "batch time"},
    "columns": {"matrix": "batch rows", "indices": "time"},
    "merged_slices": {"slices": "batch width", "indices": "batch", "rows": ""},
    "log_sum_exp": {"values": "batch columns"},
    "top_k": {"values": "batch columns", "k": "", "peaks": "none"},
    "dropout": {"x": "batch time", "seed": "two", "rate": ""},
    "clipping_scale": {"limit": "", "gradients": "batch time"},
    "adam": {
        "numbers": "five",
        "variable": "rows width",
        "m": "rows width",
        "v": "rows width",
        "gradient": "rows width",
        "slots": "none",
    },
    "best_labels": {
        "logits": "batch time labels",
        "transitions": "more_labels more_labels",
        "lengths": "batch",
    },
    "logit_statistics": _STATISTICS | {"bias": "columns"},
    "logit_divergences": {"logits": "even columns", "labels": "even", "log_normalizers": "even"},
    "logit_statistics_gradient": _STATISTICS
    | {
        "logits": "rows columns",
        "log_normalizers": "rows",
        "d_log_normalizers": "rows",
        "d_label_logits": "rows",
        "d_means": "rows",
        "differences": "none",
        "d_divergences": "none",
    },
}
"""Of each operation the inputs with the names of their dimensions."""


@dataclass
class Found:
    """What came of the inputs.

    Attributes:
        counts: How many gave a `result`, and how many were `refused`.
        faults: What must not be: a signal, a hang, another error, a valid input refused.
    """

    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def run(inputs: int, seed: int) -> int:
    """Calls operations with random inputs, says what came of them, and counts the faults.

    Args:
        inputs: How many.
        seed: What they follow from.
    """
    found = tried(inputs, seed)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(found.counts.items()))
    sys.stdout.write(f"{counts}, {len(found.faults)} faults\n")
    sys.stdout.writelines(f"{fault}\n" for fault in found.faults)
    return len(found.faults)


def tried(inputs: int, seed: int) -> Found:
    """Calls operations with random inputs in child processes."""
    found, first = Found(), 0
    while first < inputs:
        first = _watch(first, inputs, seed, found)
    return found


def _watch(first: int, end: int, seed: int, found: Found) -> int:
    """Reads what a child says of the inputs from `first` on; returns where the next one begins."""
    command = [sys.executable, *COMMAND]
    command += [f"--seed={seed}", f"--first={first}", f"--inputs={end - first}"]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8", bufsize=1
    )
    assert child.stdout is not None
    index, name, limit = first - 1, "start", START_SECONDS
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(child.stdout, lines), daemon=True)
    reader.start()
    with child:
        while True:
            try:
                kind, *rest = lines.get(timeout=limit).split(maxsplit=2)
            except queue.Empty:
                child.kill()
                found.faults.append(f"{name}: hangs, seed {seed}, input {index}")
                return index + 1
            if kind == "end":
                break
            if kind == "call":
                index, name, limit = int(rest[0]), rest[1].strip(), CALL_SECONDS
            elif kind == "fault":
                found.faults.append(f"{name}: {' '.join(rest)}, seed {seed}, input {index}")
            else:
                found.counts[kind] += 1
    if child.wait() == 0:
        return end
    found.faults.append(f"{name}: exit status {child.returncode}, seed {seed}, input {index}")
    return max(index, first) + 1


def _read(stream: IO[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("end")


def _calls(seed: int, first: int, inputs: int) -> Iterator[str]:
    """Makes calls; yields a line before each, and one about its outcome."""
    import tensorflow as tf

    from seq2seq.ops.compile import library

    operations = library()
    names = list(SHAPES)
    for index in range(first, first + inputs):
        rng = np.random.default_rng((seed, index))
        name = names[index % len(names)]
        arguments, valid = _arguments(rng, name)
        yield f"call {index} {name}"
        try:
            outputs = getattr(operations, f"seq2seq_{name}")(**arguments)
            for output in tf.nest.flatten(outputs):
                output.numpy()
            yield "result"
        except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
            yield f"fault {_one_line(error)}" if valid else "refused"
        except Exception as error:
            yield f"fault {_one_line(error)}"


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _arguments(rng: np.random.Generator, name: str) -> tuple[dict[str, Any], bool]:
    """Returns an operation's arguments, and whether they are valid."""
    import tensorflow as tf

    sizes = _sizes(rng, 4 if name.startswith("lstm") else 3)
    matrix_type = str(rng.choice(["float32", "bfloat16"]))
    changes = int(rng.choice([0, 1, 1, 2, 3]))
    changed = set(rng.choice(list(SHAPES[name]), changes)) if changes else set()
    wild = bool(changes) and rng.random() < 0.3
    dtypes = _dtypes(name, matrix_type)
    arguments: dict[str, Any] = {}
    for argument, dims in SHAPES[name].items():
        shape = [sizes[dim] for dim in dims.split()]
        dtype = dtypes[argument]
        if argument in changed:
            shape, dtype = _changed(rng, shape, dtype)
        values = _values(rng, argument, tuple(shape), dtype, sizes, wild)
        arguments[argument] = tf.cast(tf.constant(values), dtype)
    _complete(rng, name, arguments, wild)
    return arguments, not changes


def _complete(rng: np.random.Generator, name: str, arguments: dict[str, Any], wild: bool) -> None:
    """Adds attributes, and what other operations make of arguments."""
    from seq2seq.ops.compile import library

    if name == "clipping_scale":
        arguments["gradients"] = [arguments["gradients"]] * int(rng.integers(1, 4))
    if name == "rows":
        arguments["T"] = rng.choice(["float32", "bfloat16"])
    if name in ("lstm_forward", "gru_forward", "lstm_backward", "gru_backward"):
        arguments["go_backwards"] = bool(rng.integers(2))
    if name.startswith("dense"):
        arguments["tanh"] = bool(rng.integers(2))
    if name in ("pack", "packed_dense", "logit_statistics", "logit_statistics_gradient"):
        arguments["transposed"] = wild
    if rng.random() < 0.3:
        return
    gates = {"lstm_step": 4, "gru_step": 3}.get(name, 1)
    packed = {"packed": "matrix", "packed_kernel": "kernel", "packed_recurrent": "recurrent"}
    with suppress(Exception):  # of what does not fit
        for argument in packed.keys() & arguments.keys():
            arguments[argument] = library().seq2seq_pack(
                example=arguments["x"][:0],
                matrix=arguments[packed[argument]],
                rows=int(rng.integers(1, 20)),
                gates=gates,
                eight_bits=bool(rng.integers(2)),
                transposed=arguments.get("transposed", False),
            )
            if wild:
                cut = int(rng.integers(3))
                arguments[argument] = arguments[argument][cut:] * float(rng.choice(SPECIAL))
        if "peaks" in arguments:
            _, arguments["peaks"] = library().seq2seq_log_sum_exp(values=arguments["values"])


def _sizes(rng: np.random.Generator, gates: int) -> dict[str, int]:
    """Returns small sizes by name: mostly a few, sometimes several SIMD vectors."""
    names = ("batch", "time", "features", "units", "rows", "depth", "columns", "width", "length")
    sizes = {
        name: int(rng.integers(1, 80) if rng.random() < 0.1 else rng.integers(1, 6))
        for name in (*names, "labels")
    }
    sizes |= {"gates": gates * sizes["units"], "twice": 2 * sizes["units"]}
    sizes |= {"more_labels": sizes["labels"] + 1, "even": 2 * sizes["batch"]}
    return sizes | {"none": 0, "two": 2, "five": 5}


def _dtypes(name: str, matrix_type: str) -> dict[str, str]:
    """Returns the types that an operation's definition gives its arguments."""
    import tensorflow as tf
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get("Seq2seq" + "".join(p.title() for p in name.split("_")))
    return {
        argument.name: tf.as_dtype(argument.type).name if argument.type else matrix_type
        for argument in definition.input_arg
    }


def _changed(rng: np.random.Generator, shape: list[int], dtype: str) -> tuple[list[int], str]:
    """Returns a shape of another size or rank, or another type."""
    kind = rng.integers(5)
    if kind == 0:
        return shape, str(rng.choice(OTHER_TYPES))
    if kind == 1 and shape:
        return shape[int(rng.integers(len(shape))) + 1 :], dtype
    if kind == 2:
        return [*shape, int(rng.integers(4))], dtype
    if kind == 3 or not shape:
        return [int(rng.integers(6)) for _ in range(rng.integers(5))], dtype
    shape[int(rng.integers(len(shape)))] = int(rng.choice([0, 1, 2, 3, 7, 64]))
    return shape, dtype


def _values(
    rng: np.random.Generator,
    argument: str,
    shape: tuple[int, ...],
    dtype: str,
    sizes: dict[str, int],
    wild: bool,
) -> np.ndarray:
    """Returns values that fit, or any at all where `wild`."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if "int" in dtype:
        if wild:
            return rng.choice(INTEGERS[:-1] if argument == "rows" else INTEGERS, shape)
        if argument in ("rows", "gates"):
            return np.full(shape, sizes["rows"] if argument == "rows" else 1)
        below = sizes["columns" if argument in ("labels", "k") else "rows"]
        return rng.integers(0, below, shape) + (argument == "k")
    if argument == "rate":
        return rng.choice([-0.5, 1.0, 2.0, np.nan] if wild else [0.0, 0.5], shape)
    values = rng.normal(size=shape).astype("float32")
    if wild:
        values = np.where(rng.random(shape) < 0.2, rng.choice(SPECIAL, shape), values)
    return values


def main() -> None:
    """Makes calls in this process and writes what comes of them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=1)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for line in _calls(arguments.seed, arguments.first, arguments.inputs):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
