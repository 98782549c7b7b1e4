"""`cdir search`: one search in a folder, and its results as text or as a page."""

import csv
import io
import json
import webbrowser
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cdir_nb import paths
from cdir_nb.data.folder import open_any_folder
from cdir_nb.data.images import ImageSet, contents
from cdir_nb.data.loose import as_image_set
from cdir_nb.data.pictures import digest_of
from cdir_nb.encoders import load_encoder
from cdir_nb.errors import printable
from cdir_nb.search.index import Index, Result, embed_text, require_domain
from cdir_nb.search.sheet import SHEET_SIZE, contact_sheet, data_url

COLUMNS = [field.name for field in fields(Result)]


@dataclass(frozen=True)
class Found:
    """The results of one search in `images`; query: an image's ImageSet, or a text; notices: lines for the user."""

    images: ImageSet
    query: ImageSet | str
    results: list[Result]
    notices: list[str]


def search_folder(
    folder: Path, query: Path | str, encoder: str, *, k: int, domain: str | None, centred_from: str | None, expand: bool
) -> Found:
    """Search a folder with an image (a Path) or a text (a str); options as in `Index.search`.

    The query and the domains are checked first, so that errors in them are reported before many images are embedded.
    """
    model = load_encoder(encoder)
    if isinstance(query, str):
        embed_text(model, query)
        asked = query
    else:
        asked = as_image_set(query)
    images, left_out = open_any_folder(folder)
    for name in filter(None, (domain, centred_from)):
        require_domain(name, images.domains.tolist())
    index = Index(images, model)
    if isinstance(asked, str):
        results = index.search_text(asked, k=k, domain=domain, expand=expand)
        own = []
    else:
        results = index.search(asked, k=k, domain=domain, centred_from=centred_from, expand=expand)
        own = [key for key, content in zip(images.keys, contents(images)) if content == contents(asked)[0]]
    notices = [printable(f"{len(images):,} images in {folder}"), *(f"left out: {line}" for line in left_out)]
    notices += [printable(f"left out: {key} (the query itself)") for key in own]
    return Found(images, asked, results, notices)


def as_text(results: Sequence[Result], kind: str) -> str:
    """The results as "json", as "csv", or by default as lines of rank, score and file."""
    if kind == "json":
        return json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False)
    if kind == "csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)
        return stream.getvalue().removesuffix("\n")
    width = len(str(len(results)))
    return "\n".join(f"{result.rank:{width}}  {result.score:6.3f}  {printable(result.file)}" for result in results)


def open_sheet(found: Found) -> Path:
    """Write a contact sheet of query and results, open it in the browser, and return its path."""
    row_of = {key: row for row, key in enumerate(found.images.keys)}
    tiles = []
    if isinstance(found.query, ImageSet):
        src = data_url(found.query.image(0), SHEET_SIZE)
        tiles.append({"src": src, "alt": "the query", "note": "query", "kind": "chosen"})
        title = printable(f"Images similar to {Path(found.query.keys[0]).name}")
    else:
        title = printable(f"“{found.query}”")
    for result in found.results:
        src = data_url(found.images.image(row_of[result.file]), SHEET_SIZE)
        note = f"{result.rank} · {result.score:.3f}\n{printable(result.file)}"
        tiles.append({"src": src, "alt": f"rank {result.rank}: {printable(result.file)}", "note": note, "kind": ""})
    page = contact_sheet(title, tiles, found.notices[0])
    path = paths.user_folder() / "sheets" / f"{digest_of(page.encode())}.html"
    with paths.atomic_write(path) as file:
        file.write_text(page, encoding="utf-8")
    webbrowser.open(path.as_uri())
    return path
