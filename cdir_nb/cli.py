"""`cdir`: the command line of the workbook. Slow imports happen inside the commands that need them."""

import shlex
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cdir_nb.cache import show_cache
from cdir_nb.errors import CdirError, os_problem
from cdir_nb.fetch.command import fetch

TOP = """The cross-domain image retrieval workbook, in batch.

\b
Notebooks 00 to 10 on the bundled drawn world:
    cdir reproduce
The same on real PACS images:
    cdir reproduce --profile pacs --data pacs=PATH
Print the numbers of finished runs:
    cdir results runs/world-*
Your own images in the browser:
    cdir explore PATH
"""
REPRODUCE = """Run the notebooks of a profile; end with one line per method and an HTML report.

Finished notebooks are kept: after an interruption, a failure or a change of code, run the same command again, and
only unfinished notebooks run. If a notebook fails, the others still run; the exit code is then 1.

\b
Examples:
    cdir reproduce --list
    cdir reproduce --jobs 2
    cdir reproduce --profile pacs --data pacs=/data/PACS
    cdir reproduce --encoder ViT-B-32:/models/vit_b_32.pt
    cdir reproduce --set seed=1 --set 05_retrieval_grids.seed=2

One method on one task, in the notebook `experiment`: a job for each variant, seed and value of a setting.

\b
    cdir reproduce --method UCDIR --task world-closed --direction clipart:sketch
    cdir reproduce --method UCDIR --task pacs-closed --data pacs=/data/PACS --seeds 0,1,2
    cdir reproduce --method UCDIR --task world-closed --sweep learning_rate=0.01,0.03
    cdir reproduce --method CLAIR --variant "CLAIR w/o mapping" --task world-unseen --set epochs=4
"""

app = typer.Typer(
    help=TOP, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@contextmanager
def friendly() -> Iterator[None]:
    """End with one line and exit code 2 on bad input, with exit code 130 on Ctrl-C, and never with a traceback."""
    try:
        yield
    except CdirError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except BrokenPipeError:  # the reader of our output has gone: `cdir results RUN | head`
        raise
    except OSError as error:  # a full or read-only disk, a name that is too long
        typer.echo(f"error: {os_problem(error)}; check the path, its permissions and the free disk space", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("\nstopped; finished notebooks are kept: run the same command again to resume", err=True)
        raise typer.Exit(130) from None


@app.command(help=REPRODUCE, short_help="Run the notebooks of a profile, make a report.")
@friendly()
def reproduce(
    profile: Annotated[
        str | None, typer.Option(help="A profile shown by --list, or your own .yaml file.  [default: world]")
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run one method in place of a profile, such as CLAIR or CoDA.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --method: the protocol, such as world-unseen.")
    ] = None,
    variant: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With --method: a variant in place of the method itself.")
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(metavar="QUERY:GALLERY", help="With --method: domains to fit for, instead of all of the task."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N,N,...", help="With --method: a job for each seed.")] = "0",
    sweep: Annotated[
        list[str] | None,
        typer.Option(metavar="SETTING=V,V,...", help="With --method: a job for each value of a setting."),
    ] = None,
    data: Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help="The folder of a dataset.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help=(
                "tiny-clip, real-clip, real-clip:FOLDER, mobilenet-v2, MODEL:PRETRAINED (ViT-B-32:openai), MODEL:FILE, "
                "timm:MODEL, moco-v2:FILE, or MODEL:random (a pipeline test). Options follow after commas: "
                "ViT-B-32:openai,precision=bf16,pad=true; timm:MODEL,pool=avg."
            ),
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of notebooks to run at once; they share the CPU cores.")] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[NOTEBOOK.]NAME=VALUE",
            help="Set a parameter in one notebook, or in all that have it; with --method, a setting of the method.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Parent of the run folders, instead of runs/.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")] = False,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out folders of classes that the dataset's card does not have.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--list", help="List the profiles and what they need, without running anything.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Run finished notebooks again.")] = False,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run the notebooks on this dask cluster (docs/cluster.md).")
    ] = None,
    local_cluster: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Run them on a dask cluster of N workers on this machine.")
    ] = None,
) -> None:
    if show:
        return _list_profiles()
    from cdir_nb.pages import write_report
    from cdir_nb.paths import runs_dir
    from cdir_nb.results import load_records, to_frame
    from cdir_nb.run.cluster import place_to_run
    from cdir_nb.run.experiments import from_options
    from cdir_nb.run.plan import encoders_of, make_plan
    from cdir_nb.run.profile import load_profile, profile_of
    from cdir_nb.run.runner import run_plan

    skip = [name for name, chosen in (("bad", skip_bad), ("unknown", skip_unknown)) if chosen]
    if method:
        if profile:
            raise CdirError(f"--method {method} and --profile {profile} exclude each other: give one of them")
        experiment = from_options(
            *(method, task),
            variants=variant or (),
            encoder=encoder,
            seeds=seeds,
            directions=direction or (),
            settings=settings or (),
            sweep=sweep or (),
        )
        plan = make_plan(profile_of(experiment), data=data or (), skip=skip)
    else:
        if task or variant or direction or sweep:
            raise CdirError("--task, --variant, --direction and --sweep need --method NAME: add it")
        chosen = load_profile(profile or "world")
        plan = make_plan(chosen, data=data or (), encoder=encoder, settings=settings or (), skip=skip)
    _have_weights({str(spec) for job in plan.jobs for spec in encoders_of(job.parameters).values()})
    run_dir = (out.resolve() if out else runs_dir()) / plan.folder
    typer.echo(f"profile {plan.profile.name}: {plan.profile.about}\nrun folder {run_dir}")
    with place_to_run(scheduler, local_cluster) as start:
        outcomes = run_plan(plan, run_dir, jobs=jobs, force=force, say=typer.echo, start=start)
    frame = to_frame(load_records(run_dir))
    _print_summary(frame)
    _print_notes(frame)
    failed = [outcome.job.label for outcome in outcomes if outcome.status == "failed"]
    if failed:
        typer.echo(f"failed: {', '.join(failed)}; run the same command again to retry only these", err=True)
    typer.echo(f"report: {write_report([run_dir], run_dir / 'report')}")
    if len(frame):
        typer.echo(f"all numbers: cdir results {shlex.quote(str(run_dir))} --all")
    raise typer.Exit(1 if failed else 0)


def _have_weights(encoders: set[str]) -> None:
    """Download weights, or report that they are missing, once and before any notebook starts."""
    from cdir_nb.encoders.models import fetch_weights

    for encoder in sorted(encoders):
        fetch_weights(encoder)


def _list_profiles() -> None:
    """`--list`: each profile, what it runs and what it needs."""
    from cdir_nb.run.profile import COST_BASIS, load_profile, profile_names

    for profile in map(load_profile, profile_names()):
        typer.echo(str(profile))
    typer.echo(textwrap.fill(COST_BASIS, 100))


def _print_summary(frame) -> None:
    """A summary of the records: one table per task."""
    from cdir_nb.results.summary import summarise

    for block in summarise(frame) or ["no precision was measured between two domains"]:
        typer.echo(f"\n{block}")


def _print_notes(frame) -> None:
    """Warnings that a reader of these numbers needs."""
    from cdir_nb.data.manifest import drawn_title

    for title in filter(None, map(drawn_title, frame["dataset"].unique())):
        typer.echo(f"({title}: not the papers' data)")
    if labels := sorted({label for label in frame["pipeline_test"] if label}):
        typer.echo(f"*** PIPELINE TEST ({', '.join(labels)}): these numbers are not results ***")


def _print_table(table, common: dict[str, str]) -> None:
    """Print a table of the columns that differ, and below it the values that all rows share."""
    if not len(table):
        typer.echo("\nno numbers")
        return
    columns = [name for name in table.columns if name != "percent"]
    wide = {name: f"{{:<{max(len(str(value)) for value in [name, *table[name]])}}}".format for name in columns}
    typer.echo("\n" + table.to_string(index=False, formatters=wide, justify="left"))
    for name, value in common.items():
        typer.echo(f"  {name}: {value}")


@app.command(short_help="Print the numbers of runs.")
@friendly()
def results(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="One or more run folders, or csv files written by this command."),
    ],
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write every record to FILE, and their settings to settings.json beside it."
        ),
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write every record to a Parquet file.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--all", help="Every metric, convention and setting in one wide table.")
    ] = False,
) -> None:
    """Print the numbers of one or more runs: one line per method in the headline metric, compared with vanilla CLIP.

    If two runs have the same settings and the same numbers, they count once; if their numbers differ, that is an error
    which names both sources.

    Example: cdir results runs/world-* --csv numbers.csv
    """
    from cdir_nb.results import headline, load_records, to_frame

    records = load_records(runs)
    frame = to_frame(records)
    if frame.empty:
        raise CdirError(f"no numbers in {', '.join(map(str, runs))}: run `cdir reproduce` first")
    if full:
        _print_table(*headline(frame))
    else:
        _print_summary(frame)
        typer.echo("all numbers: the same command with --all")
    _print_notes(frame)
    _write_table(csv, records)
    _write_table(parquet, records, parquet=True)


def _write_table(file: Path | None, records: list, parquet: bool = False) -> None:
    """Write records to a file, with their settings beside it, and say so; do nothing if no file is given."""
    from cdir_nb.results import save_table

    if file:
        save_table(records, file, parquet=parquet)
        typer.echo(f"{len(records)} records written to {file}")


@app.command(short_help="Make an HTML report of runs.")
@friendly()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or more run folders.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder, or an old report to replace.")] = Path(
        "report"
    ),
) -> None:
    """Make one HTML report of one or more runs: claims, published and our numbers, figures, the executed notebooks.

    The report is a folder with a page index.html that works offline: open it, zip it, or put it on a web server.
    `reproduce` makes one for its own run.

    \b
    Example: cdir report runs/world-* runs/pacs-* --out report
    """
    from cdir_nb.pages import write_report

    typer.echo(f"report: {write_report(runs, out)}")


@app.command(short_help="Check a folder of images against its card.")
@friendly()
def verify(
    name: Annotated[str, typer.Argument(help="A dataset with a card, such as pacs.")],
    path: Annotated[Path, typer.Argument(help="The folder of its images.")],
) -> None:
    """Check a folder of images against its card: missing, extra, empty and unreadable files, wrong counts.

    Example: cdir verify pacs /data/PACS
    """
    from cdir_nb.data import load_card
    from cdir_nb.data import verify as verify_folder

    report = verify_folder(load_card(name), path)
    typer.echo(str(report))
    raise typer.Exit(0 if report.ok else 1)


app.command(short_help="Download a dataset into the layout of its card.")(friendly()(fetch))
app.command("cache", short_help="List the cache; remove what no current code can read.")(friendly()(show_cache))


@app.command(short_help="Explore your own images in the browser: rank, draw a query, write one.")
@friendly()
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
    from cdir_nb.explorer.serve import make_page, serve

    page = make_page(path, encoder, log=typer.echo, code=lab)
    raise typer.Exit(serve(page, port=port, browser=browser, lab=lab))


@app.command(short_help="Draw the bundled world into the cache.")
@friendly()
def world() -> None:
    """Draw the bundled world into the cache, so that notebooks need not wait for it."""
    from cdir_nb.data.world import load_world

    images = load_world()
    images.image(0)
    typer.echo(f"{len(images)} images, fingerprint {images.fingerprint}")


if __name__ == "__main__":
    sys.exit(app())
