"""Small image folders and cards for the tests of data."""

import json
from pathlib import Path

import yaml
from PIL import Image

CARD = {
    "name": "toy",
    "title": "Toy",
    "about": "two domains, two classes",
    "kind": "folder",
    "source": "none",
    "licence": "MIT",
    "citation": "none",
    "layout": "<root>/{Photo,Sketch}/<class>/<image>",
    "domains": {
        "photo": {"folder": "Photo", "word": "photo", "total": 4, "known": "made here"},
        "sketch": {"folder": "Sketch", "word": "sketch", "total": 4, "known": "made here"},
    },
    "classes": ["dog", "alarm_clock"],
    "counts": 2,
    "class_sets": {"seen": ["dog"], "unseen": ["alarm_clock"]},
    "protocols": {
        "toy-unseen": {
            "about": "unseen",
            "paper": "none",
            "zero_shot": True,
            "train": "seen",
            "query": "unseen",
            "gallery": "unseen",
            "metrics": [
                {"kind": "precision", "k": 1, "convention": "hits_over_k", "paper": "p", "known": "our default"}
            ],
        }
    },
}


def write_card(manifest: Path, name: str = "toy", **changes) -> Path:
    """The toy card with some fields changed (None: left out), as manifest/<name>/card.yaml."""
    card = {key: value for key, value in {**CARD, "name": name, **changes}.items() if value is not None}
    path = manifest / name / "card.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(card, sort_keys=False))
    return path


def write_images(root: Path, folders=("Photo", "Sketch"), classes=("dog", "alarm_clock"), per_class=2) -> Path:
    """<root>/<folder>/<class>/<number>.png, every picture of its own colour."""
    number = 0
    for folder in folders:
        for label in classes:
            (root / folder / label).mkdir(parents=True, exist_ok=True)
            for i in range(per_class):
                number += 1
                image = Image.new("RGB", (12, 10), (number, 2 * number, 90))
                image.putpixel((11, 9), (255, 255, 255))  # a plain image is reported as blank
                image.save(root / folder / label / f"{i}.png")
    return root


def drawing(key: str, strokes=(((0, 255), (0, 255)),)) -> str:
    return json.dumps({"word": "dog", "key_id": key, "drawing": [[list(x), list(y)] for x, y in strokes]})
