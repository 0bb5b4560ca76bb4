"""Training steps, ours and others': medians, ratios, the raw limit; a table, JSON and a plot."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.files import about_machine, load_before, write
from benchmarks.harness import PROGRAMS, Result, left_out, run_rounds
from benchmarks.plots import training_plot
from benchmarks.products import Sizes, products
from benchmarks.summary import limit, medians, ratios, verdict
from benchmarks.works import WORKS, Work

LIMITS = {
    "float32": {"tensorflow": "limit", "torch": "limit_torch"},
    "bfloat16": {"tensorflow": "limit_bf16", "torch": "limit_torch_bf16"},
}


def main(arguments: argparse.Namespace) -> None:
    """Measures round by round; what is known is written after each."""
    load = load_before()
    works = {key: WORKS[key] for key in arguments.works}
    rounds = run_rounds(works, arguments.programs, arguments.rounds, arguments.steps)
    for number, (sizes, results) in enumerate(rounds, start=1):
        found = {key: summarised(works[key], sizes[key], results[key]) for key in works}
        about = about_machine(
            load_before=load,
            rounds=number,
            steps=arguments.steps,
            versions=_versions(results),
        )
        write(arguments.results / "training", {**about, "works": found}, training_plot(found))
    print("\n\n".join(table(key, work) for key, work in found.items()))
    print(left_out(PROGRAMS, arguments.programs))


def summarised(work: Work, sizes: Sizes, results: Mapping[str, Sequence[Result]]) -> dict[str, Any]:
    """Returns all there is to say about one work.

    Args:
        work: The work.
        sizes: What its batches are like.
        results: By program, the results of its rounds.
    """
    programs = {name: medians(rounds) for name, rounds in results.items() if PROGRAMS[name].trains}
    wanted = products(work, sizes)
    limits = {}
    for precision, engines in LIMITS.items():
        measured = {e: results[name] for e, name in engines.items() if name in results}
        if measured:
            limits[precision] = limit(wanted, measured)
    return {
        "title": work.title,
        "batches": sizes._asdict(),
        "programs": programs,
        "limits": limits,
        "ratios": ratios(programs, limits),
    }


def table(key: str, found: Mapping[str, Any]) -> str:
    """Returns the figures of a work in Markdown."""
    sizes = found["batches"]
    lines = [
        f"**{key}: {found['title']}** ({sizes['rows']} rows a batch, {sizes['source']:.0f} source "
        f"and {sizes['target']:.0f} target tokens, {100 * sizes['padding']:.1f} % padding)",
        "",
        "| program | tokens/s (lowest to highest) | ms a step | peak MiB | s to first step |",
        "|---|---|---|---|---|",
    ]
    for name, figures in found["programs"].items():
        lines.append(
            f"| {name} | {figures['tokens_per_second']:,.0f} "
            f"({figures['lowest']:,.0f} to {figures['highest']:,.0f}) "
            f"| {figures['milliseconds_per_step']:.1f} | {figures['peak_memory_mib']:,.0f} "
            f"| {figures['seconds_to_first_step']:.1f} |"
        )
    for precision, least in found["limits"].items():
        lines.append(
            f"| raw limit, {precision} ({least['gflops']:,.0f} GFLOP/s) | "
            f"| {least['milliseconds_per_step']:.1f} | | |"
        )
    lines += ["", "| ratio | | goal |", "|---|---|---|"]
    for ratio, value in found["ratios"].items():
        lines.append(f"| {ratio} | {value:.2f} | {verdict(key, ratio, value)} |")
    return "\n".join(lines)


def _versions(results: Mapping[str, Mapping[str, Sequence[Result]]]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for programs in results.values():
        for rounds in programs.values():
            versions |= rounds[0].get("versions", {})
    return versions
