"""`python -m benchmarks.faults KIND --inputs N --seed S`: exits with 1 where something failed."""

import argparse
import sys

from benchmarks.faults import operations, readers

KINDS = {"operations": operations.run, "readers": readers.run}
"""Each kind: tries a number of inputs under a seed, and returns how many failed."""

parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
parser.add_argument("kind", choices=sorted(KINDS))
parser.add_argument("--inputs", type=int, default=50_000)
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()
sys.exit(1 if KINDS[options.kind](options.inputs, options.seed) else 0)
