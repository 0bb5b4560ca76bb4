"""`make bench`: every program in its own process, in turn, several rounds; medians and spread."""

import json
import platform
import statistics
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROUNDS = 3
RESULTS = Path(__file__).parent / "results" / "training.json"
WORKS = ("dates", "captions")
PROGRAMS = ("seq2seq", "keras")


def measure(work: str, program: str) -> dict[str, float]:
    """Runs one program once.

    Raises:
        RuntimeError: If it fails: a peer is never left out in silence.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.training_step", work, program],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{program} failed on {work}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures, prints a table and writes the results."""
    rounds: dict[str, dict[str, list[dict[str, float]]]] = {
        work: {program: [] for program in PROGRAMS} for work in WORKS
    }
    for number in range(ROUNDS):
        for work in WORKS:
            for program in PROGRAMS:
                rounds[work][program].append(measure(work, program))
                print(f"round {number + 1}: {work} {program}", file=sys.stderr)
    table = {work: {p: summary(found) for p, found in by.items()} for work, by in rounds.items()}
    for work, by in table.items():
        ratio = by["seq2seq"]["tokens_per_second"] / by["keras"]["tokens_per_second"]
        for program, values in by.items():
            print(f"{work:<9} {program:<8} " + "  ".join(f"{k} {v:,}" for k, v in values.items()))
        print(f"{work:<9} ratio    {ratio:.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    about = {
        "date": date.today().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "tensorflow": version("tensorflow"),
        "keras": version("keras"),
        "rounds": ROUNDS,
    }
    RESULTS.write_text(json.dumps({"about": about, **table}, indent=2) + "\n")


def summary(found: list[dict[str, float]]) -> dict[str, float]:
    """Returns the median of each figure, and the spread of the speed."""
    medians = {key: round(statistics.median(run[key] for run in found), 1) for key in found[0]}
    speeds = [run["tokens_per_second"] for run in found]
    return {**medians, "lowest": round(min(speeds), 1), "highest": round(max(speeds), 1)}


if __name__ == "__main__":
    main()
