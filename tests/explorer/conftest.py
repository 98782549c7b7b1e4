"""A folder of drawn pictures: two domains, three classes, four pictures each, opened with the tiny CLIP."""

import matplotlib.pyplot as plt
import pytest
from explorer.drawn_folder import draw_folder

from cdir_nb.explorer import Explorer, open_user_folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """An empty cache for the tests of one module."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("CDIR_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def collection(cache, tmp_path_factory):
    return open_user_folder(
        draw_folder(tmp_path_factory.mktemp("mine"), ("photo", "sketch"), ("banana", "guitar", "tree"), 4), "tiny-clip"
    )


@pytest.fixture(scope="module")
def explorer(collection):
    return Explorer(collection)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")
