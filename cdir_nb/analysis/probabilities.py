"""Probabilities: are they right as often as they say, and how evenly are they spread?"""

import numpy as np


def reliability_bins(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> np.ndarray:
    """(B, 3) mean confidence, share of right labels and number of images of each bin of confidence that has any.

    confidence (N,) in 0..1, right (N,) bool; `bins` of equal width (Guo et al., ICML 2017).
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    parts = [place == b for b in np.unique(place)]
    return np.array([[confidence[part].mean(), right[part].mean(), part.sum()] for part in parts])


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error, 0 to 1: |share right - mean confidence| of each bin, weighted by its size."""
    sure, share, count = reliability_bins(confidence, right, bins).T
    return float((count * np.abs(share - sure)).sum() / count.sum())


def accuracy_at_coverage(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N,) the share of right labels among the n most confident images, for n = 1 to N (1 - risk at coverage n / N)."""
    order = np.argsort(-np.asarray(confidence, float), kind="stable")
    return np.cumsum(np.asarray(right, float)[order]) / np.arange(1, len(order) + 1)


def shares(cosines: np.ndarray, temperature: float) -> np.ndarray:
    """(N,) exp(cosine / temperature) over its sum: what each memory has of the denominator in equations 4 to 6."""
    raised = np.exp((cosines - np.max(cosines)) / temperature)
    return raised / raised.sum()


def evenly(weights: np.ndarray) -> float:
    """How many memories of equal weight would be as spread out: exp of the entropy, 1 to N."""
    present = weights[weights > 0]
    return float(np.exp(-(present * np.log(present)).sum()))
