"""The card of a user's folder, made from its subfolders: `cdir card` prints it, and `open_task(PATH)` uses it."""

from pathlib import Path
from typing import Any

import yaml

from cdir_nb.data.card import Card, display
from cdir_nb.data.folder import open_folder
from cdir_nb.data.zips import without_zip
from cdir_nb.errors import CdirError

OURS = {"paper": "our default", "known": "our default"}
METRICS: list[dict[str, Any]] = [
    {"kind": "precision", "k": 10, "convention": "hits_over_k", **OURS},
    {"kind": "precision", "k": 1, "convention": "hits_over_k", **OURS},
    {"kind": "precision", "k": 200, "convention": "hits_over_k", **OURS},
    {"kind": "average_precision", "convention": "over_relevant", **OURS},
    {"kind": "average_precision", "k": 200, "convention": "over_min_k_relevant", **OURS},
]
LEAST_CLASSES = 4  # for a protocol of unseen classes: two to train on, two to find
NOTE = """\
# A card of your own images: save it as card.yaml in their folder, and change what you like.
# open_task(PATH) and the notebooks' `dataset` then use it. Its fields: Card and ProtocolSpec in cdir_nb/data/card.py.
"""


def folder_card(root: Path) -> Card:
    """The card of <root>/<domain>/<class>/<image>, with protocols on the classes that every domain has.

    NAME-closed   all of these classes are queries, gallery and training images, in all directions
    NAME-unseen   every third class is a query and gallery class, the others are for training (if there are at least 4)

    Raises CdirError if images have no class, or if the domains have no class in common.
    """
    images = open_folder(root, skip_bad=False)
    if "" in images.labels.tolist():
        raise CdirError(
            f"{root} has images without a class folder, so no metric can be measured: lay them out as "
            "<domain>/<class>/<image>, or use `cdir search`"
        )
    name, domains = without_zip(root), list(dict.fromkeys(images.domains.tolist()))
    classes = sorted(set(images.labels.tolist()))
    shared = [label for label in classes if all(images.mask([domain], [label]).any() for domain in domains)]
    if not shared:
        raise CdirError(f"{root}: the domains {', '.join(domains)} have no class in common: name their folders alike")
    directions = "all" if len(domains) > 1 else [domains * 2]
    common: dict[str, Any] = {"paper": "our default", "directions": directions, "metrics": METRICS}
    unseen = shared[1::3]
    protocols = {f"{name}-closed": {
        "about": "The classes that every domain has are queries, gallery and training images, without labels.",
        "zero_shot": False, "train": "shared", "query": "shared", "gallery": "shared", **common,
    }}  # fmt: skip
    sets = {"shared": shared}
    if len(shared) >= LEAST_CLASSES:
        sets |= {"seen": [label for label in shared if label not in unseen], "unseen": unseen}
        protocols[f"{name}-unseen"] = {
            "about": "Every third class is unseen: a query and gallery class. The others are for training.",
            "zero_shot": True, "train": "seen", "query": "unseen", "gallery": "unseen", **common,
        }  # fmt: skip
    unknown = "unknown: images of the user"
    return Card.model_validate({
        "name": name, "title": display(name), "about": "A folder of the user.", "kind": "folder",
        "source": unknown, "licence": unknown, "citation": unknown, "layout": "<domain>/<class>/<image>",
        "domains": {d: {"folder": d, "word": display(d), "total": None, "known": "not counted"} for d in domains},
        "classes": classes, "class_sets": sets, "protocols": protocols,
    })  # fmt: skip


def card_text(card: Card) -> str:
    """The card as YAML, with a comment that explains how to use it."""
    plain = card.model_dump(exclude_defaults=True)
    return NOTE + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110)
