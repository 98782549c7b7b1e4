"""The closed lists of names that every number is said with: metric conventions, and how the reported state was chosen.

What each convention divides by stands in the head of `retrieval/metrics.py`.
"""

PRECISION = ("hits_over_k", "hits_over_min_k_relevant", "ucdir_micro")
AVERAGE_PRECISION = ("over_found", "over_min_k_relevant", "over_relevant", "voc_interpolated")
CONVENTIONS = {"precision": PRECISION, "average_precision": AVERAGE_PRECISION}

NOTHING_SELECTED = "nothing selected"  # nothing was trained
LAST_EPOCH = "last epoch"
BY_PSEUDO_LABELS = "validation by pseudo-labels"
BY_SEEN_LABELS = "validation by labels of seen classes"
BY_VALIDATION_CLASSES = "validation by validation classes"
BEST_ON_TEST = "best on test"  # what several published numbers are: an upper bound
SELECTION_RULES = (NOTHING_SELECTED, LAST_EPOCH, BY_PSEUDO_LABELS, BY_SEEN_LABELS, BY_VALIDATION_CLASSES, BEST_ON_TEST)
