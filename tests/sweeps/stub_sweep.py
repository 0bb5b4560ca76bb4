"""A sweep whose trials take no time: what a trial is worth is a formula.

    python stub_sweep.py FOLDER DIE_AFTER OVERRIDE ...

The process kills itself, as kill -9 would, when the trial of the number DIE_AFTER has begun.
"""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console

from seq2seq.sweeps.run import run_sweep


def trial(config, die_after, sweeper):
    """Pretends to train: reaches the square of the distance from 0.3."""
    hydra = HydraConfig.get()
    folder, number = Path(hydra.runtime.output_dir), int(hydra.sweep.subdir)
    with (folder.parent / "begun.txt").open("a") as log:
        log.write(f"{number} {config.optimizer.learning_rate} {config.seed}\n")
    if number == die_after:
        os.kill(os.getpid(), signal.SIGKILL)
    if config.seed == 13:
        return 2
    value = (config.optimizer.learning_rate - 0.3) ** 2 + config.seed / 1000
    metrics = {"validation": {"loss": value}, "launched": os.getpid() != sweeper}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return 0


def main(folder, die_after, *overrides):
    overrides = [*overrides, "tracking=none"]
    parsed = OverridesParser.create().parse_overrides(overrides)
    job = partial(trial, die_after=int(die_after), sweeper=os.getpid())
    console = Console(file=sys.stdout, width=200)
    sys.exit(run_sweep(overrides, overrides, parsed, job, console, Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
