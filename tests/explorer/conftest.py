"""A folder of drawn pictures: two domains, three classes, four pictures each, opened with the tiny CLIP."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from cdir_nb.data.world import draw
from cdir_nb.explorer import Explorer, open_user_folder

DOMAINS, CLASSES, EACH = ("photo", "sketch"), ("banana", "guitar", "tree"), 4


def draw_folder(root: Path, seed: int = 5) -> Path:
    for domain in DOMAINS:
        for label in CLASSES:
            (root / domain / label).mkdir(parents=True)
            for number in range(EACH):
                picture = draw(label, "real" if domain == "photo" else domain, seed, number)
                picture.save(root / domain / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """An empty cache for the tests of one module."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("CDIR_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def collection(cache, tmp_path_factory):
    return open_user_folder(draw_folder(tmp_path_factory.mktemp("mine")), "tiny-clip")


@pytest.fixture(scope="module")
def explorer(collection):
    return Explorer(collection)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")
