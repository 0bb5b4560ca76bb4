"""Scores of classes and their probabilities, and temperature scaling."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn import metrics

BINS = 15
"""Of the expected calibration error, as Guo et al. have them."""


CLASS_SCORES = ("accuracy", "f1_macro", "f1_weighted", "mcc", "ece", "roc_auc")
LABEL_SET_SCORES = (
    "accuracy",
    "f1_micro",
    "f1_macro",
    "f1_weighted",
    "hamming_loss",
    "ece",
    "roc_auc",
)


def score_classes(references: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Scores predictions of one class a row: the most probable one.

    Args:
        references: Class numbers, `(rows,)`.
        probabilities: `(rows, classes)`.

    Returns:
        `accuracy`; `f1_macro` and `f1_weighted`, means over the classes that occur; `mcc`, the
        correlation coefficient of Matthews; `ece`, see `calibration_error`; and `roc_auc`, one
        class against the rest and then their mean, where a class occurs in some rows and not in
        all.
    """
    predictions = probabilities.argmax(axis=1)
    one_hot = np.eye(probabilities.shape[1], dtype=int)[references]
    f1 = {
        f"f1_{kind}": metrics.f1_score(references, predictions, average=kind, zero_division=0)
        for kind in ("macro", "weighted")
    }
    scores = {
        "accuracy": metrics.accuracy_score(references, predictions),
        **f1,
        "mcc": metrics.matthews_corrcoef(references, predictions),
        "ece": calibration_error(*confidences(references, probabilities)),
        **roc_auc(one_hot, probabilities),
    }
    return {name: float(value) for name, value in scores.items()}


def score_label_sets(
    references: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5
) -> dict[str, float]:
    """Scores predictions of any number of classes a row: those that are probable enough.

    Args:
        references: 1 for each class a row has, else 0, `(rows, classes)`.
        probabilities: `(rows, classes)`.
        threshold: How probable a class that is predicted is at least.

    Returns:
        `accuracy`, of whole rows; `f1_micro`, `f1_macro`, `f1_weighted`; `hamming_loss`; `ece`, of
        all decisions; and `roc_auc`, as `score_classes` has it.
    """
    predictions = (probabilities >= threshold).astype(int)
    f1 = {
        f"f1_{kind}": metrics.f1_score(references, predictions, average=kind, zero_division=0)
        for kind in ("micro", "macro", "weighted")
    }
    scores = {
        "accuracy": metrics.accuracy_score(references, predictions),
        **f1,
        "hamming_loss": metrics.hamming_loss(references, predictions),
        "ece": calibration_error(probabilities.ravel(), references.ravel()),
        **roc_auc(references, probabilities),
    }
    return {name: float(value) for name, value in scores.items()}


def roc_auc(references: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Returns `roc_auc`, the mean over classes, or nothing where it is not defined.

    Args:
        references: 0 or 1, `(rows, classes)`.
        probabilities: `(rows, classes)`.
    """
    areas = [
        metrics.roc_auc_score(references[:, number], probabilities[:, number])
        for number in range(references.shape[1])
        if 0 < references[:, number].sum() < len(references)
    ]
    return {"roc_auc": float(np.mean(areas))} if areas else {}


def confidences(references: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the probability of each row's prediction, and 1 where it is right, else 0."""
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == references).astype(int)


def reliability(
    probabilities: np.ndarray, outcomes: np.ndarray, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compares probabilities with what happened, in bins of equal width.

    Args:
        probabilities: `(decisions,)`.
        outcomes: 1 where what was thought probable is so, else 0, `(decisions,)`.
        bins: How many bins.

    Returns:
        For each bin that is not empty: its mean probability, the share of outcomes that are 1, and
        how many decisions it holds.
    """
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    used = counts > 0
    mean = np.bincount(places, probabilities, minlength=bins)[used] / counts[used]
    share = np.bincount(places, outcomes, minlength=bins)[used] / counts[used]
    return mean, share, counts[used]


def calibration_error(probabilities: np.ndarray, outcomes: np.ndarray, bins: int = BINS) -> float:
    """Returns the expected calibration error (Naeini et al., 2015).

    It is the mean distance of a bin's mean probability from the share of its outcomes, weighted by
    the bins' counts. See `reliability`.
    """
    mean, share, counts = reliability(probabilities, outcomes, bins)
    return float(np.abs(mean - share) @ counts / counts.sum())


def class_probabilities(
    logits: np.ndarray, temperature: float = 1.0, several: bool = False
) -> np.ndarray:
    """Returns the probabilities of logits that are divided by a temperature.

    Args:
        logits: `(rows, classes)`.
        temperature: Above 1 makes probabilities milder, below 1 bolder.
        several: Whether each class is a decision by itself (sigmoid), or a row has one (softmax).
    """
    scaled = np.asarray(logits, np.float64) / temperature
    return expit(scaled) if several else softmax(scaled, axis=-1)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Finds the temperature that makes the labels most probable (Guo et al., 2017).

    See https://arxiv.org/abs/1706.04599. Predictions stay as they are.

    Args:
        logits: `(rows, classes)`.
        labels: Class numbers `(rows,)`; or 0 and 1, `(rows, classes)`, for decisions class by
            class.

    Returns:
        The temperature, from 0.05 to 20.
    """
    logits = np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if labels.ndim == 2:
            return -float(np.mean(np.where(labels > 0, log_expit(scaled), log_expit(-scaled))))
        return -float(np.mean(log_softmax(scaled, axis=-1)[np.arange(len(labels)), labels]))

    found = minimize_scalar(loss, bounds=np.log([0.05, 20.0]), method="bounded")
    return float(np.exp(found.x))
