"""The closed lists of names that go with every number: metric conventions and selection rules.

The docstring of `retrieval/metrics.py` says what each convention divides by.
"""

PRECISION = ("hits_over_k", "hits_over_min_k_relevant", "ucdir_micro")
AVERAGE_PRECISION = ("over_found", "over_min_k_relevant", "over_relevant", "voc_interpolated")
CONVENTIONS = {"precision": PRECISION, "average_precision": AVERAGE_PRECISION}

NOTHING_SELECTED = "nothing selected"  # nothing was trained
LAST_EPOCH = "last epoch"
BY_PSEUDO_LABELS = "validation by pseudo-labels"
BY_SEEN_LABELS = "validation by labels of seen classes"
BY_VALIDATION_CLASSES = "validation by validation classes"
BEST_ON_TEST = "best on test"  # an upper bound; several published numbers are selected this way
SELECTION_RULES = (NOTHING_SELECTED, LAST_EPOCH, BY_PSEUDO_LABELS, BY_SEEN_LABELS, BY_VALIDATION_CLASSES, BEST_ON_TEST)
