"""The results of a run: scores, intervals, predictions and history, and the files they are in."""

import json
from pathlib import Path
from typing import Any

from seq2seq.evaluation.intervals import Interval, score_intervals, text_intervals
from seq2seq.files import write_text
from seq2seq.prediction_rows import write_rows
from seq2seq.tasks.evaluation import Evaluation
from seq2seq.training.checkpoints import Progress


def collect_metrics(evaluations: dict[str, Evaluation], progress: Progress) -> dict[str, Any]:
    """Returns the content of `metrics.json`: the scores of the splits and the training's cost."""
    return {
        **{split: dict(sorted(e.scores.items())) for split, e in evaluations.items()},
        "training": {
            "steps": progress.total_steps,
            "epochs": progress.epoch,
            "best_epoch": progress.best_epoch,
            "seconds": round(progress.seconds, 1),
            "target_tokens_per_second": round(progress.target_tokens / progress.training_seconds),
            "waiting_share": round(progress.waiting_share, 5),
        },
        "signatures": evaluations["test"].signatures,
    }


def write_results(
    run_folder: Path, evaluations: dict[str, Evaluation], metrics: dict[str, Any]
) -> None:
    """Writes `predictions/` and `tables/`, then `metrics.json`, which marks a finished run."""
    for split, evaluation in evaluations.items():
        write_rows(run_folder / "predictions" / f"{split}.jsonl", evaluation.rows)
        if evaluation.statistics:
            path = run_folder / "predictions" / f"{split}.statistics.jsonl"
            write_rows(path, evaluation.statistics)
        for name, rows in evaluation.tables.items():
            write_rows(run_folder / "tables" / f"{split}_{name}.jsonl", rows)
    write_text(run_folder / "metrics.json", json.dumps(metrics, indent=2) + "\n")


def write_history(run_folder: Path, progress: Progress) -> None:
    """Writes `history.jsonl`: the scores of each epoch, and the time and steps spent so far."""
    # A run resumed from an older version has no costs for its first epochs.
    missing: list[dict[str, float]] = [{}] * (len(progress.history) - len(progress.costs))
    costs = [*missing, *progress.costs]
    epochs = [{**epoch, **cost} for epoch, cost in zip(progress.history, costs, strict=True)]
    write_rows(run_folder / "history.jsonl", epochs)


def intervals_of(evaluation: Evaluation, bleu_tokenize: str | None) -> dict[str, Interval]:
    """Returns the confidence intervals of scores; a `bleu_tokenize` for those of texts."""
    intervals = score_intervals(evaluation.statistics, evaluation.scores)
    if bleu_tokenize is not None:
        intervals |= text_intervals(evaluation.rows, evaluation.scores, bleu_tokenize)
    return intervals


def curves_of(progress: Progress) -> dict[str, list[tuple[int, float]]]:
    """Returns the learning curve, pairs of step and value, of each metric."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for epoch in progress.history:
        for name, value in epoch.items():
            if name != "step":
                curve = curves.setdefault(name.removeprefix("train_"), [])
                curve.append((int(epoch["step"]), value))
    return curves
