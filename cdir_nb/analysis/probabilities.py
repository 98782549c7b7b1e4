"""Probabilities: are they well calibrated, and how evenly are they spread?"""

import numpy as np


def reliability_bins(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> np.ndarray:
    """(B, 3) mean confidence, accuracy and number of images, for each non-empty bin of confidence.

    confidence (N,) in 0..1, right (N,) bool; `bins` of equal width (Guo et al., ICML 2017).
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    parts = [place == b for b in np.unique(place)]
    return np.array([[confidence[part].mean(), right[part].mean(), part.sum()] for part in parts])


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error, 0 to 1: |accuracy - mean confidence| of each bin, weighted by its size."""
    sure, share, count = reliability_bins(confidence, right, bins).T
    return float((count * np.abs(share - sure)).sum() / count.sum())


def accuracy_at_coverage(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N,) the accuracy on the n most confident images, for n = 1 to N (1 - risk at coverage n / N)."""
    order = np.argsort(-np.asarray(confidence, float), kind="stable")
    return np.cumsum(np.asarray(right, float)[order]) / np.arange(1, len(order) + 1)


def shares(cosines: np.ndarray, temperature: float) -> np.ndarray:
    """(N,) softmax of cosine / temperature: the share of each memory entry in the denominator of equations 4 to 6."""
    raised = np.exp((cosines - np.max(cosines)) / temperature)
    return raised / raised.sum()


def evenly(weights: np.ndarray) -> float:
    """Effective number of memory entries: exp of the entropy of the weights, 1 to N."""
    present = weights[weights > 0]
    return float(np.exp(-(present * np.log(present)).sum()))
