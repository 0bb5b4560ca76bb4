"""Scores of classes and their probabilities, and temperature scaling."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn import metrics

BINS = 15
"""Of the expected calibration error, as in Guo et al. (2017)."""

CLASS_SCORES = ("accuracy", "f1_macro", "f1_weighted", "mcc", "ece", "roc_auc")
F1_SCORES = ("f1_micro", "f1_macro", "f1_weighted")
LABEL_SET_SCORES = ("accuracy", *F1_SCORES, "hamming_loss", "ece", "roc_auc")


def score_classes(references: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Scores predictions of one class for each row: the most probable one.

    Args:
        references: Class indices, `(rows,)`.
        probabilities: `(rows, classes)`.

    Returns:
        `accuracy`; `f1_macro` and `f1_weighted`, averaged over the classes that occur; `mcc`, the
        correlation coefficient of Matthews; `ece`, see `calibration_error`; and `roc_auc`, the
        mean over classes of one class against the rest, if it is defined for any class.
    """
    predictions = probabilities.argmax(axis=1)
    one_hot = np.eye(probabilities.shape[1], dtype=int)[references]
    scores = {
        "accuracy": metrics.accuracy_score(references, predictions),
        **_f1_scores(references, predictions, ("macro", "weighted")),
        "mcc": metrics.matthews_corrcoef(references, predictions),
        "ece": calibration_error(*confidences(references, probabilities)),
        **_roc_auc(one_hot, probabilities),
    }
    return {name: float(value) for name, value in scores.items()}


def score_label_sets(
    references: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5
) -> dict[str, float]:
    """Scores predictions of any number of classes for each row: those above a threshold.

    Args:
        references: 1 for each class of a row, else 0, `(rows, classes)`.
        probabilities: `(rows, classes)`.
        threshold: The minimum probability of a predicted class.

    Returns:
        `accuracy` of whole rows; `f1_micro`, `f1_macro`, `f1_weighted`; `hamming_loss`; `ece` of
        all decisions; and `roc_auc`, as in `score_classes`.
    """
    predictions = (probabilities >= threshold).astype(int)
    scores = {
        "accuracy": metrics.accuracy_score(references, predictions),
        **_f1_scores(references, predictions, ("micro", "macro", "weighted")),
        "hamming_loss": metrics.hamming_loss(references, predictions),
        "ece": calibration_error(probabilities.ravel(), references.ravel()),
        **_roc_auc(references, probabilities),
    }
    return {name: float(value) for name, value in scores.items()}


def _f1_scores(
    references: np.ndarray, predictions: np.ndarray, averages: Sequence[str]
) -> dict[str, float]:
    return {
        f"f1_{average}": metrics.f1_score(references, predictions, average=average, zero_division=0)
        for average in averages
    }


def _roc_auc(references: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Averages over the classes that occur in some rows, not in all; empty if there are none."""
    areas = [
        metrics.roc_auc_score(reference, probability)
        for reference, probability in zip(references.T, probabilities.T, strict=True)
        if 0 < reference.sum() < len(reference)
    ]
    return {"roc_auc": float(np.mean(areas))} if areas else {}


def confidences(references: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the probability of each row's prediction, and 1 where it is right, else 0."""
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == references).astype(int)


def calibration_error(probabilities: np.ndarray, outcomes: np.ndarray, bins: int = BINS) -> float:
    """Returns the expected calibration error (Naeini et al., 2015).

    It is the mean distance between a bin's mean probability and the share of its outcomes that
    are 1, weighted by the bins' counts.

    Args:
        probabilities: `(decisions,)`.
        outcomes: 1 where the decision came true, else 0, `(decisions,)`.
        bins: The number of bins of equal width.
    """
    # scikit-learn's calibration_curve returns no counts to weight the bins by.
    indices = np.minimum((probabilities * bins).astype(int), bins - 1)
    counts = np.bincount(indices, minlength=bins)
    used = counts > 0
    means = np.bincount(indices, probabilities, minlength=bins)[used] / counts[used]
    shares = np.bincount(indices, outcomes, minlength=bins)[used] / counts[used]
    return float(np.abs(means - shares) @ counts[used] / counts[used].sum())


def class_probabilities(
    logits: np.ndarray, temperature: float = 1.0, several: bool = False
) -> np.ndarray:
    """Returns the probabilities of logits divided by a temperature.

    Args:
        logits: `(rows, classes)`.
        temperature: Above 1 makes probabilities less confident, below 1 more.
        several: Whether a row may have several classes (sigmoid), or has one (softmax).
    """
    scaled = np.asarray(logits, np.float64) / temperature
    return expit(scaled) if several else softmax(scaled, axis=-1)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Fits the temperature, from 0.05 to 20, that maximizes the likelihood of the labels.

    Temperature scaling (Guo et al., 2017, https://arxiv.org/abs/1706.04599) leaves the predictions
    unchanged.

    Args:
        logits: `(rows, classes)`.
        labels: Class indices `(rows,)`; or 0 and 1, `(rows, classes)`, for several classes a row.
    """
    logits = np.asarray(logits, np.float64)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if labels.ndim == 2:
            return -float(np.mean(np.where(labels > 0, log_expit(scaled), log_expit(-scaled))))
        return -float(np.mean(log_softmax(scaled, axis=-1)[np.arange(len(labels)), labels]))

    result = minimize_scalar(loss, bounds=np.log([0.05, 20.0]), method="bounded")
    return float(np.exp(result.x))
