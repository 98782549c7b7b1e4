"""The report on TKI's claims, written from the tables that tki_claims.py makes. Every verdict is computed."""

import pandas as pd

EVEN = 0.05
MAIN = ("average_precision", "over_min_k_relevant", "200")
SHORT = {
    ("average_precision", "over_min_k_relevant", "200"): "mAP@200 (over_min_k_relevant)",
    ("average_precision", "voc_interpolated", "200"): "mAP@200 (voc_interpolated)",
    ("precision", "hits_over_k", "200"): "Prec@200 (hits_over_k)",
    ("precision", "hits_over_k", "1"): "Prec@1 (hits_over_k)",
    ("average_precision", "over_relevant", "all"): "mAP@all (over_relevant)",
}
SETTINGS = {
    "world-unseen": "drawn world, 10 classes, galleries of 300 images, 30 relevant: Prec@200 cannot exceed 15 %; strategy 2 takes the other 30 classes' names",
    "world-all": "drawn world, 40 classes, galleries of 1,200 images, 30 relevant: Prec@200 cannot exceed 15 %; strategy 2 takes names of DomainNet, words that the tiny CLIP has never read",
    "pacs-all": "real PACS images, 7 classes, **with the tiny CLIP**, which has seen drawings of our own alone: not the paper's encoder. It hardly recognises them (a random order has Prec@200 of 14.2 %), so there is next to nothing to build on; strategy 2 takes names of the drawn world",
}
PAIRS = (
    ("TKI above vanilla CLIP", "TKI", "vanilla CLIP"),
    ("both losses above L_max alone (Table 5)", "TKI", "L_max only"),
    ("both losses above L_min alone (Table 5)", "TKI", "L_min only"),
    ("L_max alone above vanilla CLIP (Table 5)", "L_max only", "vanilla CLIP"),
    ("L_min alone above vanilla CLIP (Table 5)", "L_min only", "vanilla CLIP"),
    ("learnt words above words as drawn (not in the paper)", "TKI", "words as drawn"),
    ("non-Euclidean above Euclidean (Table 7)", "TKI", "Euclidean"),
    ("a small ball, radius 0.03, above radius 1 (not in the paper)", "radius 0.03", "TKI"),
    ("Euclidean without a bias above Euclidean (not in the paper)", "Euclidean, no bias", "Euclidean"),
    (
        "a small ball, radius 0.03, above Euclidean without a bias (not in the paper)",
        "radius 0.03",
        "Euclidean, no bias",
    ),
    ("strategy 1 above strategy 2 (Table 6)", "TKI", "strategy 2"),
    ("strategy 2 above vanilla CLIP (Table 6)", "strategy 2", "vanilla CLIP"),
    ("P = 20 above P = 10 (Figure 5)", "TKI", "P = 10"),
    ("P = 20 above P = 5 (Figure 5)", "TKI", "P = 5"),
    ("P = 20 above P = 2 (Figure 5)", "TKI", "P = 2"),
)


def report(frame: pd.DataFrame) -> str:
    """Markdown: for each task the verdicts on the claims, and all means."""
    frame = frame.assign(
        name=[SHORT[m, c, str(k)] for m, c, k in zip(frame["metric"], frame["convention"], frame["k"])]
    )
    parts = [_head(frame)]
    for task, rows in frame.groupby("task", sort=False):
        parts += [f"## {task}\n{SETTINGS[task]}.\n", _verdicts(rows), _means(rows), _wins(rows)]
    return "\n".join(parts)


def _head(frame: pd.DataFrame) -> str:
    return f"""# TKI's claims, checked

Written by `scripts/tki_claims.py` on {", ".join(sorted(set(frame["date"])))} (commit {", ".join(sorted(set(frame["commit"])))}), encoder
`tiny-clip`, seeds 0, 1 and 2, settings as `TkiConfig` has them by default, state after the last step, nothing selected.
A drawn world and a tiny model: these numbers say how the method behaves here, and stand beside the paper's, never in
their place. Vanilla CLIP has no seed.

A claim *holds* where it does for every seed, is *mixed* where it does for some, and *fails* where it does for none; the
seeds share images and encoder, so a spread over seeds says nothing of other data. It is *even* where no seed differs by
{EVEN} points. Differences are in points of
mAP@200 (over_min_k_relevant), mean over the directions.

How defaults came about: none was tuned. Loss curves on texts and one look at the 30 seen classes in drawings of another
seed (hyperbolic, Euclidean, residual; 20, 100, 300 steps; radius 0.1, 1, 10; hidden 128, 512) were taken before these
runs. Though radius 0.1 and hidden 512 did best in that look, the defaults stayed as they had been set before it.
"""


def _verdicts(rows: pd.DataFrame) -> str:
    main = rows[rows["name"] == SHORT[MAIN]].set_index(["variant", "seed"])["percent"]
    lines = ["| claim | verdict | difference, mean (each seed) |", "|---|---|---|"]
    for claim, better, worse in PAIRS:
        if not {better, worse} <= set(main.index.get_level_values(0)):
            continue
        base = main[worse].to_dict()
        gaps = [value - base.get(seed, base[0]) for seed, value in main[better].items()]
        verdict = "holds" if min(gaps) > 0 else "mixed" if max(gaps) > 0 else "fails"
        verdict = "even" if max(map(abs, gaps)) < EVEN else verdict
        each = ", ".join(f"{gap:+.2f}" for gap in gaps)
        lines.append(f"| {claim} | {verdict} | {sum(gaps) / len(gaps):+.2f} ({each}) |")
    return "\n".join(lines) + "\n"


def _means(rows: pd.DataFrame) -> str:
    """Mean ± standard deviation over seeds, one row a variant."""
    lines = [
        "Mean over directions, ± standard deviation over seeds, in percent:\n",
        "| variant | " + " | ".join(SHORT.values()) + " |",
        "|---|" + "---|" * len(SHORT),
    ]
    for variant, group in rows.groupby("variant", sort=False):
        cells = [group.loc[group["name"] == name, "percent"] for name in SHORT.values()]
        texts = [f"{c.mean():.2f}" + (f" ± {c.std():.2f}" if len(c) > 1 else "") for c in cells]
        lines.append(f"| {variant} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def _wins(rows: pd.DataFrame) -> str:
    """In how many directions each variant lies above vanilla CLIP."""
    lines = [
        f"Directions above vanilla CLIP, of {rows['directions'].iloc[0]}, for seeds 0, 1, 2:\n",
        "| variant | " + " | ".join(SHORT.values()) + " |",
        "|---|" + "---|" * len(SHORT),
    ]
    for variant, group in rows[rows["variant"] != "vanilla CLIP"].groupby("variant", sort=False):
        cells = [group[group["name"] == name].sort_values("seed")["above"] for name in SHORT.values()]
        lines.append(f"| {variant} | " + " | ".join(", ".join(map(str, c)) for c in cells) + " |")
    return "\n".join(lines) + "\n"
