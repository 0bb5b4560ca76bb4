"""Which processes train one run together, from the environment variables that started them."""

import json
import os
from dataclasses import dataclass
from typing import Literal

from seq2seq.errors import UserError

TF_CONFIG = "TF_CONFIG"


@dataclass(frozen=True)
class Cluster:
    """The processes (workers) of one training, as one of them sees it."""

    workers: int = 1
    """How many there are."""
    index: int = 0
    """The number of this one; 0 is the chief, which alone writes the run folder."""
    source: Literal["", "TF_CONFIG", "Slurm"] = ""
    """What named them; empty if nothing did."""


def cluster() -> Cluster:
    """Returns the cluster of `TF_CONFIG`, else that of the Slurm step; else one process.

    Raises:
        UserError: If `TF_CONFIG` cannot be understood.
    """
    if text := os.environ.get(TF_CONFIG):
        return _of_tf_config(text)
    workers = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if workers > 1:
        return Cluster(workers, int(os.environ["SLURM_PROCID"]), "Slurm")
    return Cluster()


def tf_config(addresses: list[str], index: int) -> str:
    """Returns the value of `TF_CONFIG` for a worker; addresses are `host:port`."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def _of_tf_config(text: str) -> Cluster:
    try:
        content = json.loads(text)
        jobs = {str(job): len(addresses) for job, addresses in content.get("cluster", {}).items()}
        task = content.get("task", {})
        kind, index = str(task.get("type", "worker")), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{TF_CONFIG}: is not the JSON that TensorFlow documents ({error}); such as "
            f"{tf_config(['host1:2222', 'host2:2222'], 0)}"
        ) from error
    if unknown := sorted({kind, *jobs} - {"chief", "worker"}):
        raise UserError(
            f"{TF_CONFIG}: has a job '{unknown[0]}'; there are chief and worker only. Leave "
            "parameter servers and evaluators out: the chief evaluates"
        )
    workers = sum(jobs.values())
    if workers <= 1:
        return Cluster()
    if not 0 <= index < jobs.get(kind, 0):
        raise UserError(f"{TF_CONFIG}: its cluster has no {kind} with the index {index}")
    chiefs = jobs.get("chief", 0)
    return Cluster(workers, index + (chiefs if kind == "worker" else 0), "TF_CONFIG")
