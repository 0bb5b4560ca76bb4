"""Prediction intervals calibrated on residuals, with guaranteed coverage.

Residuals are those of rows that the model was not trained on, such as the validation set. Where
series differ in level, they are divided by their scales, and the offsets multiplied by them.
"""

import math
from collections.abc import Sequence

import numpy as np


def conformal_quantile(scores: np.ndarray, level: float) -> np.ndarray:
    """Returns the quantile of scores that a further one is below with at least a probability.

    It is the score of rank `ceil((n + 1) * level)`, the empirical quantile at `(n + 1) / n` times
    the level; infinite where that rank is above n.

    Args:
        scores: `(rows, horizon)`; NaN where missing.
        level: The probability, from 0 to 1.

    Returns:
        `(horizon,)`.
    """
    scores = np.sort(np.asarray(scores, np.float64), axis=0)  # NaN comes last
    counts = np.sum(~np.isnan(scores), axis=0)
    ranks = np.ceil((counts + 1) * level - 1e-9).astype(int)  # 10 * 0.9 may be above 9
    padded = np.concatenate([scores, np.full((1, *scores.shape[1:]), np.inf)])
    ranks = np.where(ranks > counts, len(scores) + 1, np.maximum(ranks, 1))
    return np.take_along_axis(padded, ranks[None] - 1, axis=0)[0]


def rows_needed(levels: Sequence[float]) -> int:
    """Returns the number of rows without which some offsets of the levels are infinite.

    It is that of one-sided offsets (`quantile_offsets`); symmetrical ones need half as many.

    Example:
        >>> rows_needed([0.025, 0.5, 0.975])
        39
    """
    tail = min(min(level, 1 - level) for level in levels)
    return math.ceil(1 / tail - 1 - 1e-9)


def conformal_offsets(residuals: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Returns what to add to a forecast for its quantiles, by split conformal prediction.

    The levels `alpha / 2` and `1 - alpha / 2` are an interval that contains a reference with a
    probability of at least `1 - alpha` (Lei et al., 2018, https://arxiv.org/abs/1604.04173): the
    forecast plus and minus a quantile of the absolute residuals.

    Args:
        residuals: Reference minus forecast, `(rows, horizon)`; NaN where missing.
        levels: Levels of the quantiles.

    Returns:
        `(levels, horizon)`; infinite where there are too few rows for a level.
    """
    scores = np.abs(np.asarray(residuals, np.float64))
    return np.stack(
        [
            np.zeros(scores.shape[1])
            if math.isclose(level, 0.5)
            else math.copysign(1, level - 0.5) * conformal_quantile(scores, abs(2 * level - 1))
            for level in levels
        ]
    )


def quantile_offsets(
    references: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]
) -> np.ndarray:
    """Returns what to add to quantile forecasts, by conformalized quantile regression.

    It is the asymmetrical version of Romano et al. (2019, https://arxiv.org/abs/1905.03222): each
    level is corrected by itself, so that a reference is above an upper quantile of level `tau`,
    or below a lower one of level `1 - tau`, with a probability of at most `1 - tau`. Offsets may
    be negative: intervals that are too wide shrink.

    Args:
        references: `(rows, horizon)`; NaN where missing.
        quantiles: `(levels, rows, horizon)`.
        levels: Levels of the quantiles.

    Returns:
        `(levels, horizon)`; infinite where there are too few rows for a level.
    """
    offsets = []
    for level, quantile in zip(levels, quantiles, strict=True):
        if level >= 0.5:
            offsets.append(conformal_quantile(references - quantile, level))
        else:
            offsets.append(-conformal_quantile(quantile - references, 1 - level))
    return np.stack(offsets)


def adaptive_offsets(
    residuals: np.ndarray,
    coverage: float,
    calibration: np.ndarray,
    rate: float = 0.01,
    stride: int = 1,
) -> np.ndarray:
    """Returns half the width of intervals at successive cutoffs of one series.

    Adaptive conformal inference (Gibbs & Candès, 2021, https://arxiv.org/abs/2106.00170): after a
    reference outside its interval the next ones are wider, after one inside they are narrower, so
    that the long-run coverage is right even if the series changes. Each step of the horizon has an
    error level of its own, `alpha += rate * (1 - coverage - is_outside)`. A half width is the
    quantile of all absolute residuals that are known at its cutoff.

    Args:
        residuals: Reference minus forecast, `(cutoffs, horizon)`; NaN where missing.
        coverage: The share of references that shall be inside.
        calibration: Residuals before the first cutoff, `(rows, horizon)`.
        rate: How fast the error levels change (gamma of the paper).
        stride: The number of steps from a cutoff to the next. A residual of step k is known
            `ceil(k / stride)` cutoffs later.

    Returns:
        `(cutoffs, horizon)`; infinite where the error level is not above 0, or there are too few
        residuals for it.
    """
    cutoffs, horizon = residuals.shape
    scores = np.abs(residuals)
    widths = np.empty((cutoffs, horizon))
    for step in range(horizon):
        delay = math.ceil((step + 1) / stride)
        known = np.abs(calibration[:, step])
        alpha = 1 - coverage
        for cutoff in range(cutoffs):
            if cutoff >= delay:
                score, width = scores[cutoff - delay, step], widths[cutoff - delay, step]
                if not np.isnan(score):
                    alpha += rate * (1 - coverage - float(score > width))
                    known = np.append(known, score)
            widths[cutoff, step] = _half_width(known, alpha)
    return widths


def _half_width(scores: np.ndarray, alpha: float) -> float:
    if alpha >= 1:
        return -math.inf  # contains nothing
    return math.inf if alpha <= 0 else float(conformal_quantile(scores[:, None], 1 - alpha)[0])


def with_offsets(
    quantiles: np.ndarray, offsets: np.ndarray, scales: np.ndarray | float = 1.0
) -> np.ndarray:
    """Adds offsets to quantiles and sorts them by level, so that they do not cross.

    Args:
        quantiles: `(levels, rows, horizon)`, by ascending level; the same forecast for each level
            if the offsets are those of `conformal_offsets`.
        offsets: `(levels, horizon)`.
        scales: Scale of each row, `(rows,)`, if residuals were divided by scales.
    """
    scaled = offsets[:, None, :] * np.reshape(scales, (1, -1, 1))
    return np.sort(quantiles + scaled, axis=0)
