"""`python -m benchmarks.faults KIND ...`: exits with 1 where something failed."""

import argparse
import sys
from importlib import import_module

from benchmarks.faults import random_kills, system_calls, worker_kills

INPUTS = ("operations", "readers")
"""The kinds, each a module, that try a number of inputs under a seed: `run(inputs, seed)` returns
how many failed."""


def try_inputs(options: argparse.Namespace) -> int:
    """Imports the module of a kind, which may import TensorFlow, and runs it."""
    module = import_module(f"benchmarks.faults.{options.kind}")
    return int(module.run(options.inputs, options.seed))


def parser() -> argparse.ArgumentParser:
    """Returns the parser; its results have `run`, which returns how many cases failed."""
    top = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    kinds = top.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name in INPUTS:
        kind = kinds.add_parser(name, help="tries random inputs")
        kind.add_argument("--inputs", type=int, default=50_000)
        kind.add_argument("--seed", type=int, default=1)
        kind.set_defaults(run=try_inputs)
    kind = kinds.add_parser("system_calls", help="interrupts trainings at each system call")
    system_calls.configure(kind)
    kind.set_defaults(run=system_calls.run)
    kind = kinds.add_parser("random_kills", help="kills commands at random times")
    random_kills.configure(kind)
    kind.set_defaults(run=random_kills.run)
    kind = kinds.add_parser("worker_kills", help="kills workers of distributed trainings")
    worker_kills.configure(kind)
    kind.set_defaults(run=worker_kills.run)
    return top


if __name__ == "__main__":
    chosen = parser().parse_args()
    sys.exit(1 if chosen.run(chosen) else 0)
