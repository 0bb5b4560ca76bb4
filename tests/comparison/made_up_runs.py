"""Run folders that no training has made."""

import json
import random
from itertools import zip_longest

import numpy as np
import yaml
from sacrebleu.metrics import BLEU, CHRF

from seq2seq.evaluation.forecasting import forecast_scores, series_statistics

WORDS = [
    "ein",
    "mann",
    "eine",
    "frau",
    "der",
    "hund",
    "geht",
    "läuft",
    "steht",
    "im",
    "park",
    "mit",
    "ball",
    ".",
]
COMMON = {
    "data": {"_target_": "seq2seq.data.formats.tables.Tsv", "directory": "/nowhere"},
    "trainer": {"monitor": "val_loss", "mode": "min"},
}
LABELS = ["de", "fr", "it"]


def text_run(folder, cell="lstm", seed=1, noise=0.3, size=60, history=True, several=False):
    """A translation run that spoils some words of the references.

    With `several`, every second source has another reference, without the last word.
    """
    truth, draw = random.Random(0), random.Random(f"{cell}{seed}")
    rows = []
    for _ in range(size):
        words = truth.choices(WORDS, k=truth.randint(4, 12))
        spoilt = [draw.choice(WORDS) if draw.random() < noise else word for word in words]
        source = " ".join(f"<{word}>" for word in words)
        rows.append({"source": source, "prediction": " ".join(spoilt),
                     "reference": " ".join(words)})  # fmt: skip
        if several:
            other = [" ".join(words[:-1])] * (len(rows) % 2)
            rows[-1]["references"] = [rows[-1]["reference"], *other]
    references = [row.get("references", [row["reference"]]) for row in rows]
    texts = [row["prediction"] for row in rows], list(zip_longest(*references))
    bleu, chrf = BLEU(tokenize="none", force=True), CHRF()
    test = {
        "bleu": bleu.corpus_score(*texts).score,
        "chrf": chrf.corpus_score(*texts).score,
        "exact_match": sum(map(list.__contains__, references, texts[0])) / size,
        "loss": 2 + noise,
    }
    signatures = {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())}
    config = {
        "seed": seed,
        "task": {"_target_": "seq2seq.tasks.translation.Translation", "bleu_tokenize": "none"},
        "model": {"encoder": {"cell": cell, "units": 8}},
        "data": {
            "_target_": "seq2seq.data.formats.parallel_text.ParallelText",
            "directory": "/nowhere",
        },
        "trainer": {"monitor": "val_loss", "mode": "min"},
        "tracking": {"run_name": str(folder)},
    }
    return write(folder, config, test, signatures, rows, history)


def label_run(folder, kind="a", seed=1, noise=0.3, size=80):
    """A classification run."""
    truth, draw = random.Random(0), random.Random(f"{kind}{seed}")
    rows = []
    for number in range(size):
        label = truth.choice(LABELS)
        guess = draw.choice(LABELS) if draw.random() < noise else label
        rows.append({"source": f"name {number} " + "x " * truth.randint(1, 9),
                     "prediction": guess, "reference": label,
                     "probabilities": {each: float(each == guess) for each in LABELS}})  # fmt: skip
    from sklearn.metrics import f1_score

    pairs = [row["reference"] for row in rows], [row["prediction"] for row in rows]
    test = {
        "accuracy": sum(map(str.__eq__, *pairs)) / size,
        "f1_macro": float(f1_score(*pairs, average="macro")),
        "ece": 0.1,
    }
    config = {"seed": seed, "model": {"kind": kind}, **COMMON}
    return write(folder, config, test, {}, rows, history=True)


def forecast_run(folder, noise=1.0, series=5, cutoffs=4, horizon=3, season_length=1):
    """A forecasting run whose forecasts are the truth and noise."""
    truth, draw = np.random.default_rng(0), np.random.default_rng(int(100 * noise))
    rows = []
    for place in range(series * cutoffs):
        reference = 20 + 5 * truth.normal(size=horizon)
        cutoff = 10 + horizon * (place % cutoffs)
        scale = 1.0 + place // cutoffs + season_length / 10
        rows.append({
            "unique_id": f"s{place // cutoffs}", "cutoff": cutoff, "target": "y", "quantiles": {},
            "ds": list(range(cutoff + 1, cutoff + 1 + horizon)), "reference": reference.tolist(),
            "prediction": (reference + noise * draw.normal(size=horizon)).tolist(),
            "season_length": season_length, "scale": scale, "squared_scale": 2 * scale,
        })  # fmt: skip
    config = {"seed": 1, "model": {"noise": noise}, "task": {"season": season_length}, **COMMON}
    write(folder, config, forecast_scores(rows), {}, rows, history=False)
    lines = [json.dumps(statistics) + "\n" for statistics in series_statistics(rows)]
    (folder / "predictions" / "test.statistics.jsonl").write_text("".join(lines))
    return folder


def write(folder, config, test, signatures, rows, history):
    (folder / ".hydra").mkdir(parents=True)
    (folder / "predictions").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    validation = {"loss": test.get("loss", 1 - next(iter(test.values())))}
    metrics = {"validation": validation, "test": test, "signatures": signatures}
    metrics["training"] = {"steps": 20, "seconds": 60.0, "target_tokens_per_second": 1000}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "predictions" / "test.jsonl").write_text("".join(lines))
    if history:
        epochs = [{"step": 10 * n, "seconds": 30.0 * n, "target_tokens": 500 * n,
                   "val_loss": validation["loss"] + 1 / n} for n in (1, 2, 3)]  # fmt: skip
        (folder / "history.jsonl").write_text("".join(json.dumps(e) + "\n" for e in epochs))
    return folder
