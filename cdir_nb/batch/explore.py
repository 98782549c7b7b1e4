"""The command `cdir explore`."""

from pathlib import Path
from typing import Annotated

import typer


def explore(
    path: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="A folder of images; without it, the bundled world.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(metavar="SPEC", help="As in `reproduce`; default: real-clip, or tiny-clip.")
    ] = "",
    port: Annotated[int, typer.Option(help="The port of the page on this machine.")] = 8866,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    lab: Annotated[bool, typer.Option("--lab", help="Open the notebook in JupyterLab, with its code.")] = False,
) -> None:
    """Explore a folder of images in the browser: choose a query, draw one, write one; see what is found.

    The folder may be laid out as DOMAIN/CLASS/IMAGE (results are marked right or wrong), as DOMAIN/IMAGE, or flat.
    Images are embedded once and kept in the cache. Files that cannot be read are listed and left out.

    Example: cdir explore ~/Pictures/flea_market
    """
    from cdir_nb.batch.page import page_of, serve

    page = page_of(path, encoder, say=typer.echo, code=lab)
    raise typer.Exit(serve(page, port=port, browser=browser, lab=lab))
