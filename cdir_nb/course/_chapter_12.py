"""Chapter 12: verdicts on claims."""

from functools import cache

import numpy as np

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.results import load_claims
from cdir_nb.results.claims.claim import Claim
from cdir_nb.results.claims.verdicts import verdict as package_verdict


def verdict(differences, low, high):
    """The verdict on the claim "A is above B on average", as text.

    differences  the mean difference A - B in points, one per seed
    low, high    the interval over classes of the mean difference

    "cannot be told from zero"  the interval includes zero
    "holds"                     otherwise, if every seed's difference is above zero
    "does not hold"             otherwise, if no seed's difference is above zero
    "mixed"                     otherwise
    """
    if low <= 0 <= high:
        return "cannot be told from zero"
    above = [difference > 0 for difference in differences]
    if all(above):
        return "holds"
    return "mixed" if any(above) else "does not hold"


@cache
def claim_about_a_mean() -> Claim:
    """A claim of the book that compares two methods on average."""
    claim = next(claim for claim in load_claims() if claim.over == "mean" and not claim.tolerance and claim.better)
    return claim.model_copy(update={"better": claim.better[:1], "worse": claim.worse[:1]})


def expected(differences, low, high):
    return package_verdict(claim_about_a_mean(), [[[difference]] for difference in differences], [(low, high)])[
        "verdict"
    ]


def by_the_mean(differences, low, high):
    if low <= 0 <= high:
        return "cannot be told from zero"
    return "holds" if np.mean(differences) > 0 else "does not hold"


def without_the_interval(differences, low, high):
    above = [difference > 0 for difference in differences]
    return "holds" if all(above) else "mixed" if any(above) else "does not hold"


def one_seed_is_enough(differences, low, high):
    if low <= 0 <= high:
        return "cannot be told from zero"
    return "holds" if any(difference > 0 for difference in differences) else "does not hold"


def cases():
    return [
        ([3.1, 2.4, 2.9], 1.2, 4.8),
        ([3.1, 2.4, 2.9], -0.5, 6.0),
        ([2.0, -0.3, 1.9], 0.2, 2.4),
        ([-1.0, -2.2, -1.4], -3.0, -0.4),
        ([-1.0, 0.2, -3.4], -3.0, -0.4),
        ([0.4, -0.6, 0.1], -2.0, 2.0),
    ]


CHAPTER = Chapter(
    "12_which_ideas_hold",
    "which ideas hold, and when?",
    50,
    """
import numpy as np

from cdir_nb import results
from cdir_nb.course import check
from cdir_nb.results.files import reproduced_tables

files = [path for path in reproduced_tables() if path.name.startswith(("sketchy-mini-real-clip", "frozen-tki-sketchy"))]
records = [
    record for record in results.load_records(files)
    if record.protocol == "sketchy_mini-21" and record.method in ("vanilla CLIP", "TKI")
]
""",
    (
        Choice(
            "predict",
            """
TKI trains on the names of the query classes alone. On PACS, whose 7 classes the encoder names with 82 % accuracy, it
raises P@10 by 15 points. On Sketchy there are 21 classes, and the encoder names only 11 % of the images correctly. Your
bet for Sketchy?""",
            {
                "a": (
                    "A gain of about 15 points, too.",
                    "TKI keeps what separates the *texts*. That helps only if "
                    "texts and images of a class lie together, which 11 % says they do not.",
                ),
                "b": (
                    "A gain of a few points.",
                    "An encoder that cannot name the images keeps the wrong directions: "
                    "what is dropped would have separated the images.",
                ),
                "c": (
                    "No change.",
                    "TKI changes all vectors, whether it helps or not. With unknown names it "
                    "drops what separates the images.",
                ),
                "d": (
                    "A loss of about 9 points.",
                    "TKI pays where names are known and the gallery holds only those "
                    "few classes. Where the encoder does not know the names, it does harm.",
                ),
            },
            "d",
            ("What does TKI keep of an image vector, and what does it drop?",),
            """
mean = results.by_direction(records, "P@10:hits_over_k").mean()
print(f"Sketchy, P@10 (hits_over_k): CLIP {mean['vanilla CLIP']:.1f} %, TKI {mean['TKI']:.1f} %")
""",
            'assert mean["TKI"] < mean["vanilla CLIP"] - 5',
        ),
        Choice(
            "explain",
            """
"Q raises P@10 from 43.9 to 47.5 % on average" holds on the drawn world. "Q helps in each direction" does not. How
can both be true, and which of the two should a user with *one* pair of domains look at?""",
            {
                "a": (
                    "One of the verdicts must be wrong.",
                    "A mean can rise while single directions fall: here 26 of 30 rise.",
                ),
                "b": (
                    "A mean can hide losses. With one pair of domains the user gets that direction, not the mean.",
                    "In 4 of 30 directions Q does harm. The mean says what to expect of a pair drawn at random; a "
                    "user should measure the pair.",
                ),
                "c": (
                    "A mean can hide losses. The user should still look at the mean: it has more data.",
                    "More data, about other directions. Whether Q helps differs from pair to pair.",
                ),
                "d": (
                    "Directions are noise; only means can be true.",
                    "The differences between directions are larger "
                    "than what chance explains, and they are the same in repeated runs: Q is not trained.",
                ),
            },
            "b",
            ("What does each of the two statements say about a single direction?",),
        ),
        Implement(
            """
Write the rule by which this book decides a claim about a mean.""",
            verdict,
            expected,
            cases,
            {
                by_the_mean: "You look at the mean over seeds only. If some seeds are above zero and others are not, "
                'the verdict is "mixed".',
                without_the_interval: "The interval is not used. If it includes zero, the classes do not decide the "
                "claim, whatever the seeds say.",
                one_seed_is_enough: "One seed above zero is enough for you. The claim holds only if *every* seed is.",
            },
            (
                "Ask the interval first: `low <= 0 <= high`.",
                "`all(...)` and `any(...)` over the seeds decide the other three cases.",
            ),
            """
for differences, low, high in [([2.1, 1.8, 2.5], 0.6, 3.4), ([2.1, 1.8, 2.5], -1.1, 5.2)]:
    print(differences, f"interval {low} to {high}:", verdict(differences, low, high))
""",
        ),
        Open(
            """
State a claim of your own about one method of the book, in one sentence that could turn out to be false. Write down what
would count against it before you look at any number; then decide it with the records, or with a run of
[the template for experiments](../notebooks/experiment.ipynb). This is the beginning of the graded project.""",
            """The sentence names method, baseline, task, encoder, metric with its convention, and the size of the
effect. What counts against it was written down before. The verdict follows the rule above, and says for which
classes and images it speaks. "Cannot be told from zero" is a full answer.""",
            ("`results.by_direction(records, metric)` has a column for each method of these records.",),
        ),
    ),
)
