"""A claim as claims.yaml has them, for tests."""

CLAIM = {
    "id": "a-above-b",
    "paper": "tki",
    "where": "Table 0",
    "says": "A is above B.",
    "better": "A",
    "worse": "B",
    "metric": ["P@50:hits_over_k", "P@10:hits_over_k"],
}
