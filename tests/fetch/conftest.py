"""A toy card with sources on a loopback server."""

from pathlib import Path

import pytest
import yaml
from data.toy_data import write_card
from fetch.loopback import Loopback

from cdir_nb import paths
from cdir_nb.fetch import http


@pytest.fixture
def server(monkeypatch):
    """The loopback server, also as the hub. No pause between tries."""
    loopback = Loopback()
    monkeypatch.setenv("HF_ENDPOINT", loopback.url)
    monkeypatch.setattr(http, "PAUSE", 0.0)
    yield loopback
    loopback.close()


@pytest.fixture
def sources(tmp_path, monkeypatch, fresh_cache, server):
    """sources({...}, ...) writes the table with these sources of the toy card; {url} is the server's address."""
    monkeypatch.setattr(paths, "MANIFEST", tmp_path / "data_manifest")

    def write(*listed: dict, **card) -> Path:
        write_card(paths.MANIFEST, **card)
        complete = [{"confirmed": True, "review": "made here", **source} for source in listed]
        text = yaml.safe_dump({"toy": {"terms": "be kind", "sources": complete}}).replace("{url}", server.url)
        (paths.MANIFEST / "sources.yaml").write_text(text)
        return paths.MANIFEST

    return write
