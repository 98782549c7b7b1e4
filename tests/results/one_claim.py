"""A claim as claims.yaml has them, for tests."""

CLAIM = {
    "id": "a-above-b",
    "paper": "tki",
    "where": "Table 0",
    "says": "A is above B.",
    "better": "A",
    "worse": "B",
    "metric": "precision",
    "convention": "hits_over_k",
    "k": [50, 10],
}
