"""From the results of all rounds to medians, ratios and the share of the raw limit."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.products import Product, Shape

FIGURES = (
    "tokens_per_second",
    "milliseconds_per_step",
    "peak_memory_mib",
    "seconds_to_first_step",
)
KERAS = ("keras", "keras_tuned")
FLOAT32_PEERS = (*KERAS, "torch", "torch_tuned", "torch_fused")

# What issues 3, 4 and 6 ask for: at least, or at most where smaller is better.
GOALS: dict[str, dict[str, float]] = {
    "A": {
        "over_torch": 1.3,
        "over_keras": 2.0,
        "bf16_over_float32": 2.0,
        "bf16_over_bf16": 1.0,
        "over_joeynmt": 4.0,
        "bf16_over_joeynmt": 6.0,
    },
    "B": {"share_of_limit": 0.75, "share_of_limit_bf16": 0.6},
    "D": {"over_torch": 1.2, "over_keras": 1.5},
    "E": {"over_torch": 1.2, "over_keras": 1.5},
    "F": {"over_torch": 1.2, "over_keras": 1.5},
    "G": {"over_torch": 1.5, "over_keras": 1.5},
}
SMALLER_IS_BETTER = {"memory_to_keras": 1.0, "first_step_to_keras": 0.6}

Figures = dict[str, float]


def medians(results: Sequence[Mapping[str, Any]]) -> Figures:
    """Returns the median of each figure over the rounds, and the spread of the speed."""
    speeds = [result["tokens_per_second"] for result in results]
    middle = {name: statistics.median(result[name] for result in results) for name in FIGURES}
    return {**middle, "lowest": min(speeds), "highest": max(speeds)}


def limit(
    wanted: Sequence[Product], engines: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """Returns the seconds that a step's matrix products take on this machine.

    Args:
        wanted: The products of a step.
        engines: By name of the engine, what its rounds measured: the seconds of each shape. The
            faster engine counts, shape by shape.
    """
    fastest: dict[Shape, tuple[float, str]] = {}
    for engine, rounds in engines.items():
        measured: dict[Shape, list[float]] = {}
        for result in rounds:
            for *sizes, seconds in result["shapes"]:
                measured.setdefault(Shape(*sizes), []).append(seconds)
        for shape, found in measured.items():
            candidate = (statistics.median(found), engine)
            fastest[shape] = min(candidate, fastest.get(shape, candidate))
    listed = [
        {
            "name": product.name,
            "shape": list(product.shape),
            "times": product.times,
            "seconds": product.times * fastest[product.shape][0],
            "gflops": product.shape.operations / fastest[product.shape][0] / 1e9,
            "engine": fastest[product.shape][1],
        }
        for product in wanted
    ]
    seconds = sum(each["seconds"] for each in listed)
    operations = sum(product.times * product.shape.operations for product in wanted)
    return {
        "milliseconds_per_step": 1000 * seconds,
        "gflop_per_step": operations / 1e9,
        "gflops": operations / seconds / 1e9,
        "products": listed,
    }


def ratios(programs: Mapping[str, Figures], limits: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Compares our programs with all others that were measured.

    Args:
        programs: By name, what `medians` returns.
        limits: `float32` and `bfloat16`, what `limit` returns.
    """
    found: Figures = {}

    def speed(*names: str) -> float:
        return max((programs[n]["tokens_per_second"] for n in names if n in programs), default=0.0)

    def compare(ratio: str, ours: str, *others: str) -> None:
        if ours in programs and speed(*others):
            found[ratio] = speed(ours) / speed(*others)

    compare("over_torch", "seq2seq", "torch", "torch_tuned")
    compare("over_keras", "seq2seq", *KERAS)
    compare("bf16_over_float32", "seq2seq_bf16", *FLOAT32_PEERS)
    compare("bf16_over_bf16", "seq2seq_bf16", "torch_bf16")
    compare("over_fused_torch", "seq2seq", "torch_fused")
    compare("bf16_over_fused_bf16", "seq2seq_bf16", "torch_fused_bf16")
    compare("over_joeynmt", "seq2seq", "joeynmt", "joeynmt_tuned")
    compare("bf16_over_joeynmt", "seq2seq_bf16", "joeynmt", "joeynmt_tuned")
    compare("over_opennmt_tf", "seq2seq", "opennmt_tf")
    compare("over_eole", "seq2seq", "eole", "eole_tuned")
    compare("over_marian", "seq2seq", "marian")
    for suffix, precision in (("", "float32"), ("_bf16", "bfloat16")):
        ours = programs.get(f"seq2seq{suffix}")
        if ours and precision in limits:
            least = limits[precision]["milliseconds_per_step"]
            found[f"share_of_limit{suffix}"] = least / ours["milliseconds_per_step"]
    if "seq2seq" in programs and "keras" in programs:
        ours, keras = programs["seq2seq"], programs["keras"]
        found["memory_to_keras"] = ours["peak_memory_mib"] / keras["peak_memory_mib"]
        found["first_step_to_keras"] = (
            ours["seconds_to_first_step"] / keras["seconds_to_first_step"]
        )
    return found


def verdict(work: str, ratio: str, value: float) -> str:
    """Returns the goal of a ratio and whether it is reached; empty where there is none."""
    if ratio in SMALLER_IS_BETTER:
        goal = SMALLER_IS_BETTER[ratio]
        return f"{'reached' if value <= goal else 'missed'}: at most {goal:g}"
    if ratio in GOALS.get(work, {}):
        goal = GOALS[work][ratio]
        return f"{'reached' if value >= goal else 'missed'}: at least {goal:g}"
    return ""
