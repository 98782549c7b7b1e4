"""A protocol on a few small images: simple shapes, filled in domain `ink` and as outlines in domain `line`."""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from cdir_nb.data import MetricSpec, Protocol
from cdir_nb.data.images import ImageSet

CLASSES = ("disc", "square", "cross")


def shapes(per_domain=(20, 13)) -> ImageSet:
    """Discs, squares and crosses of any colour."""
    rng, pixels = np.random.default_rng(0), {}
    for domain, count in zip(("ink", "line"), per_domain):
        for n in range(count):
            picture = Image.new("RGB", (32, 32), "white")
            draw, kind = ImageDraw.Draw(picture), n % 3
            box, colour = (6, 6, 26, 26), tuple(rng.integers(0, 160, 3).tolist())
            how = {"fill": colour} if domain == "ink" else {"outline": colour, "width": 2}
            if kind == 2:
                draw.line([box[0], box[1], box[2], box[3]], fill=colour, width=5 if domain == "ink" else 2)
            else:
                (draw.ellipse, draw.rectangle)[kind](box, **how)
            pixels[f"{domain}/{CLASSES[kind]}/{n}.png"] = np.asarray(picture)
    names = [key.split("/") for key in pixels]
    columns = (np.array([name[i] for name in names]) for i in (0, 1))
    return ImageSet(tuple(pixels), *columns, lambda key: Image.fromarray(pixels[key]), tuple(map(repr, pixels)))


def toy_task(images: ImageSet | None = None, **changes) -> Protocol:
    """A protocol with `changes`; by default closed-set, where all images are training images, queries and gallery."""
    metric = MetricSpec(kind="precision", k=2, convention="hits_over_k", paper="", known="our default")
    task = Protocol(
        name="shapes", dataset="world", about="", paper="", zero_shot=False, seen=CLASSES, unseen=(), classes=CLASSES,
        gallery_classes=CLASSES, train_domains=("ink", "line"), directions=(("ink", "line"), ("line", "ink")),
        metrics=(metric,), images=shapes() if images is None else images,
    )  # fmt: skip
    return replace(task, **changes)
