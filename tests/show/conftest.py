"""A small world of squares: 2 domains x 3 classes x 5 images, and a ranking of it that is known by hand."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from cdir_nb.data.images import ImageSet
from cdir_nb.show.style import use_titles

DOMAINS, CLASSES, EACH = ("photo", "sketch"), ("cat", "light_bulb", "sea_turtle"), 5


@pytest.fixture
def squares() -> ImageSet:
    """30 images; the red value of an image is its row number."""
    keys = tuple(f"{d}/{c}/{i}" for d in DOMAINS for c in CLASSES for i in range(EACH))
    row = {key: number for number, key in enumerate(keys)}
    domains, labels = zip(*(key.split("/")[:2] for key in keys))
    return ImageSet(
        keys, np.array(domains), np.array(labels), lambda key: Image.new("RGB", (20, 10), (row[key], 0, 0)), keys
    )


@pytest.fixture
def in_order():
    """Every query gets the gallery in its own order: the first 5 are cats, the next 5 light bulbs."""
    return SimpleNamespace(indices=np.tile(np.arange(15), (15, 1)), scores=np.tile(np.linspace(1, 0, 15), (15, 1)))


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")
    use_titles({})
