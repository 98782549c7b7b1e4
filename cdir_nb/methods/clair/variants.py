"""CLAIR's ablations by name (Table 3, right), and further trials of ours: each is CLAIR with one thing changed."""

import dataclasses

from cdir_nb.data.protocols import Protocol
from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.pair import Pair, expanded_names, mismatched, training_pair
from cdir_nb.methods.clair.settings import ClairConfig

FULL = "CLAIR"
LEAVE_ONE_OUT = {
    "CLAIR w/o prompts": {"prompts": 0},
    "CLAIR w/o mapping": {"mapping": False},
    "CLAIR w/o refinement": {"refinement.steps": 0},
    "CLAIR w/o freezing": {"freeze": False},
    "CLAIR w/o L_KL": {"weight_kl": 0.0},
    "CLAIR w/o L_II": {"weight_ii": 0.0},
    "CLAIR w/o L_IC": {"weight_ic": 0.0},
    "CLAIR w/o L_ID": {"weight_id": 0.0},
}
CLASS_LISTS = {"CLAIR, expanded class list": True, "CLAIR, expanded list without training names": False}
MISMATCHED = "CLAIR, mismatched categories"
# Ours: what some named settings leave out, and the best of the prompts' spreads tried (docs/results/clair-grid.csv).
TRIALS = {  # name: (what is replaced, what is tried)
    "CLAIR with L_II": ({"weight_ii": 0.0}, {"weight_ii": 0.1}),
    "CLAIR, wider prompts": ({"prompt_std": 0.02}, {"prompt_std": 0.1}),
}
CHANGED = LEAVE_ONE_OUT | {name: tried for name, (_, tried) in TRIALS.items()}
VARIANTS = (FULL, *LEAVE_ONE_OUT, *CLASS_LISTS, MISMATCHED, *TRIALS)


def changes(method: str, config: ClairConfig) -> bool:
    """Whether a method of `VARIANTS` can be run with this config: a part that is off cannot be left out, and a trial
    is one only where its setting has the value that it replaces."""
    if method in TRIALS:
        replaced, _ = TRIALS[method]
        return config.changed(**replaced) == config
    return method not in LEAVE_ONE_OUT or config.changed(**LEAVE_ONE_OUT[method]) != config


def variant(
    method: str, task: Protocol, domains: tuple[str, str], config: ClairConfig, *, train_images: int = 0, seed: int = 0
) -> tuple[Pair, ClairConfig]:
    """What `fit` needs for a method of `VARIANTS`: its pair and its config.

    train_images  number of images per domain, drawn at random with `seed`; 0: all
    Raises CdirError for an unknown method, and as `training_pair` does.
    """
    if method not in VARIANTS:
        raise CdirError(f"unknown variant of CLAIR {method!r}; known: {', '.join(VARIANTS)}")
    names = expanded_names(task, training_names=CLASS_LISTS[method]) if method in CLASS_LISTS else None
    pair = training_pair(task, domains, names=names).sample(train_images, seed)
    if method == MISMATCHED:
        pair = dataclasses.replace(pair, images=mismatched(pair.images, domains, task.seen, seed))
    return pair, config.changed(**CHANGED.get(method, {}))
