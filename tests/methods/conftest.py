"""A cache of their own for tests whose trainings are kept in the cache."""

import pytest


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
