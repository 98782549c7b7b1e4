"""The command `cdir fetch`."""

from pathlib import Path
from typing import Annotated

import typer

from cdir_nb.errors import require_extra


def fetch(
    name: Annotated[str, typer.Argument(help="A dataset with a source, such as pacs.")],
    to: Annotated[Path, typer.Option(metavar="PATH", help="The folder for the images; created if needed.")],
    accept: Annotated[
        bool,
        typer.Option("--accept-licence", help="Accept the dataset's terms; without this option, they are printed."),
    ] = False,
    domain: Annotated[list[str] | None, typer.Option(help="Fetch only this domain; may be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option("--class", help="Fetch only this class (drawings).")] = None,
    per_class: Annotated[int, typer.Option(min=1, help="Number of drawings per class.")] = 25,
    files: Annotated[
        list[Path] | None, typer.Option("--from", metavar="FILE", help="Use an archive that you downloaded.")
    ] = None,
) -> None:
    """Download a dataset into the layout of its card, then verify it. The same command resumes an interrupted download.

    \b
    Examples:
        cdir fetch pacs --to /data/PACS --accept-licence
        cdir fetch domainnet_cleaned --domain sketch --domain clipart --to /data/DomainNet --accept-licence
        cdir fetch quickdraw --per-class 100 --class dog --to /data/quickdraw --accept-licence
        cdir fetch sketchy_extended --from rendered_256x256.zip --to /data/Sketchy --accept-licence
    """
    require_extra("fetch", "requests", "fastparquet")
    from cdir_nb.fetch.run import Request, fetch_dataset

    request = Request(
        name,
        to.expanduser().resolve(),
        accept=accept,
        domains=tuple(domain or ()),
        classes=tuple(label or ()),
        per_class=per_class,
        files=tuple(files or ()),
        log=typer.echo,
    )
    report = fetch_dataset(request)
    typer.echo(str(report))
    raise typer.Exit(0 if report.ok else 1)
