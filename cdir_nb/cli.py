"""`cdir`: the command line of the workbook. Slow imports happen inside the commands that need them."""

import shlex
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cdir_nb.cache import show_cache
from cdir_nb.errors import CdirError, os_message, printable
from cdir_nb.fetch.command import fetch
from cdir_nb.paths import set_library_caches

if TYPE_CHECKING:
    import pandas as pd


PROFILE_HELP = "A profile shown by --list, or your own .yaml file.  [default: world]"
ENCODER_HELP = (
    "tiny-clip, real-clip, real-clip:FOLDER, mobilenet-v2, MODEL:PRETRAINED (ViT-B-32:openai), MODEL:FILE, "
    "timm:MODEL, moco-v2:FILE, or MODEL:random (a pipeline test). Options follow after commas: "
    "ViT-B-32:openai,precision=bf16,pad=true; timm:MODEL,pool=avg."
)
SET_HELP = "Set a parameter in one notebook, or in all that have it; with --method, a setting of the method."


NOTEBOOK_HELP = "Run this notebook of the profile, such as 07, and those that it needs; may be repeated."


class Commands(TyperGroup):
    """The commands of `cdir`, which run after output, warnings and library caches have been set up."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command.

        Characters that stdout cannot encode are escaped, as on stderr; each warning is printed on one line.
        """
        with suppress(AttributeError):  # there is no stdout, or a test has replaced it
            sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
        warnings.formatwarning = lambda message, *_, **__: f"warning: {printable(str(message))}\n"
        set_library_caches()
        return super().main(*args, **options)


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback()
def main() -> None:
    """Run the cross-domain image retrieval workbook from the command line.

    \b
    The chapters, but not the explorer, on the bundled drawn world:
        cdir reproduce
    The same on real PACS images:
        cdir reproduce --profile pacs --data pacs=PATH
    Print the numbers of finished runs:
        cdir results runs/world-*
    Search your own images, by image or by text; explore them in the browser:
        cdir search PATH --query sketch.png
        cdir search PATH --text "a red guitar"
        cdir explore PATH
    """


@contextmanager
def handle_errors() -> Iterator[None]:
    """Print one line and exit with code 2 on bad input, and with code 130 on Ctrl-C; never print a traceback."""
    try:
        yield
    except CdirError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except BrokenPipeError:  # the reader of the output has ended: `cdir results RUN | head`
        raise
    except OSError as error:  # a full or read-only disk, a name that is too long
        typer.echo(f"error: {os_message(error)}; check the path, its permissions and the free disk space", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("\nstopped; finished notebooks are kept: run the same command again to resume", err=True)
        raise typer.Exit(130) from None


Text = str | None
Texts = list[str] | None


@app.command(short_help="Run the notebooks of a profile, make a report.")
@handle_errors()
def reproduce(
    profile: Annotated[Text, typer.Option(help=PROFILE_HELP)] = None,
    method: Annotated[Text, typer.Option(metavar="NAME", help="Run one method, such as CLAIR, not a profile.")] = None,
    task: Annotated[Text, typer.Option(metavar="NAME", help="With --method: the task, such as world-unseen.")] = None,
    variant: Annotated[Texts, typer.Option(metavar="NAME", help="With --method: its variant; may be repeated.")] = None,
    direction: Annotated[
        Texts, typer.Option(metavar="QUERY:GALLERY", help="With --method: fit for these domains; default: all.")
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N,N,...", help="With --method: run one job per seed.")] = "0",
    sweep: Annotated[
        Texts, typer.Option(metavar="SETTING=V,V,...", help="With --method: run one job per value of a setting.")
    ] = None,
    data: Annotated[Texts, typer.Option(metavar="NAME=PATH", help="The folder of a dataset.")] = None,
    encoder: Annotated[Text, typer.Option(metavar="SPEC", help=ENCODER_HELP)] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of notebooks to run at once; they share the CPU cores.")] = 1,
    settings: Annotated[Texts, typer.Option("--set", metavar="[NOTEBOOK.]NAME=VALUE", help=SET_HELP)] = None,
    out: Annotated[Path | None, typer.Option(help="Folder in which run folders are created; default: runs/.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out images that cannot be read.")] = False,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out folders of classes that are not in the dataset's card.")
    ] = False,
    show: Annotated[bool, typer.Option("--list", help="List the profiles and what they need; run nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run finished notebooks again.")] = False,
    notebook: Annotated[Texts, typer.Option(metavar="NAME", help=NOTEBOOK_HELP)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run, why, and for how long; run nothing.")
    ] = False,
    scheduler: Annotated[
        Text, typer.Option(metavar="ADDRESS", help="Run the notebooks on this dask cluster (docs/cluster.md).")
    ] = None,
    local_cluster: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Run the notebooks on N dask workers on this machine.")
    ] = None,
) -> None:
    """Run the notebooks of a profile; end with one line per method and an HTML report.

    Results of finished notebooks are reused: after an interruption, a failure or a change of code, run the same command
    again, and only unfinished notebooks run. A notebook that finished in another run with the same code, images and
    parameters is not run again either: --set 07_data_free_tki.variants=some runs notebook 07 alone, and those that
    read its numbers. If a notebook fails, the others still run; the exit code is then 1.

    \b
    Examples:
        cdir reproduce --list
        cdir reproduce --jobs 2
        cdir reproduce --profile pacs --data pacs=/data/PACS
        cdir reproduce --encoder ViT-B-32:/models/vit_b_32.pt
        cdir reproduce --set seed=1 --set 03_frozen_vectors.seed=2
        cdir reproduce --notebook 07 --dry-run

    With --method, run one method on one task: one job for each variant, seed and value of a setting.

    \b
        cdir reproduce --method UCDIR --task world-closed --direction clipart:sketch
        cdir reproduce --method UCDIR --task pacs-closed --data pacs=/data/PACS --seeds 0,1,2
        cdir reproduce --method UCDIR --task world-closed --sweep learning_rate=0.01,0.03
        cdir reproduce --method CLAIR --variant "CLAIR w/o mapping" --task world-unseen --set epochs=4
    """
    from cdir_nb.run.profile import COST_BASIS, load_profile, profile_names, profile_of

    if show:
        profiles = map(load_profile, profile_names())
        return typer.echo("\n".join([*map(str, profiles), textwrap.fill(COST_BASIS, 100)]))
    from cdir_nb.encoders.models import fetch_weights
    from cdir_nb.pages.page import write_report
    from cdir_nb.paths import runs_dir
    from cdir_nb.results import load_records, to_frame
    from cdir_nb.results.alike import other_counts
    from cdir_nb.run.cluster import cluster_pool
    from cdir_nb.run.options import experiment_from_options
    from cdir_nb.run.overview import overview
    from cdir_nb.run.plan import make_plan
    from cdir_nb.run.reuse import preview
    from cdir_nb.run.runner import run_plan

    skip = [name for name, chosen in (("bad", skip_bad), ("unknown", skip_unknown)) if chosen]
    assignments, directions, grid = settings or (), direction or (), sweep or ()
    if method and (other := f"--profile {profile}" if profile else "--notebook" if notebook else ""):
        raise CdirError(f"--method {method} and {other} cannot be combined: give only one of them")
    if method:
        options = {"variants": variant or (), "encoder": encoder, "seeds": seeds, "directions": directions}
        experiment = experiment_from_options(method, task, **options, settings=assignments, sweep=grid)
        plan = make_plan(profile_of(experiment), data=data or (), skip=skip)
    elif task or variant or direction or sweep:
        raise CdirError("--task, --variant, --direction and --sweep need --method NAME: add it")
    else:
        chosen = load_profile(profile or "world")
        chosen = chosen.only(notebook) if notebook else chosen
        plan = make_plan(chosen, data=data or (), encoder=encoder, settings=assignments, skip=skip)
    run_dir = (out.resolve() if out else runs_dir()) / plan.folder
    if dry_run:
        typer.echo("\n".join([f"run folder {run_dir}", *preview(plan, run_dir, jobs=jobs, force=force)]))
        raise typer.Exit
    for spec in plan.encoders:  # downloads weights, or reports that they are missing, before any notebook starts
        fetch_weights(spec)
    typer.echo(f"profile {plan.profile.name}: {plan.profile.about}\nrun folder {run_dir}")
    with cluster_pool(scheduler, local_cluster) as submit:
        outcomes = run_plan(plan, run_dir, jobs=jobs, force=force, say=typer.echo, submit=submit)
    frame = to_frame(load_records(run_dir))
    for line in other_counts(frame):
        typer.echo(line)
    typer.echo(overview(frame))
    _print_notes(frame)
    _print_warnings(run_dir)
    failed = [outcome.job.label for outcome in outcomes if outcome.status == "failed"]
    if failed:
        typer.echo(f"failed: {', '.join(failed)}; run the same command again to retry only these", err=True)
    typer.echo(f"report: {write_report([run_dir], run_dir / 'report')}")
    if len(frame):
        typer.echo(f"all numbers: cdir results {shlex.quote(str(run_dir))} --all")
    raise typer.Exit(1 if failed else 0)


def _print_warnings(run_dir: Path) -> None:
    """Print each warning once, with the number of notebooks that gave it."""
    from cdir_nb.pages.run_folder import read_run

    counts = Counter(text for part in read_run(run_dir).parts for text in part.warnings)
    for text, count in counts.items():
        typer.echo(f"warning in {count} notebook{'s' if count > 1 else ''}: {text}", err=True)


def _notes(frame: "pd.DataFrame") -> list[str]:
    """Warnings that a reader of these numbers needs."""
    from cdir_nb.results.alike import notes, pipeline_test_of

    reason = pipeline_test_of(frame)
    return [*notes(frame), *([f"*** PIPELINE TEST ({reason}): these numbers are not results ***"] if reason else [])]


def _print_notes(frame: "pd.DataFrame") -> None:
    from cdir_nb.data.manifest import drawn_title

    for note in _notes(frame):
        typer.echo(note)
    for title in filter(None, map(drawn_title, frame["dataset"].unique())):
        typer.echo(f"({title}: not the papers' data)")


def _print_table(table: "pd.DataFrame", common: dict[str, str]) -> None:
    """Print a table of the columns whose values differ, and below it the values that all rows share."""
    columns = [name for name in table.columns if name != "percent"]
    wide = {name: f"{{:<{max(len(str(value)) for value in [name, *table[name]])}}}".format for name in columns}
    typer.echo("\n" + table.to_string(index=False, formatters=wide, justify="left"))
    for name, value in common.items():
        typer.echo(f"  {name}: {value}")


RUNS = typer.Argument(metavar="[RUN]...", help="Run folders, or tables of records; default: the committed results.")
CSV = typer.Option(
    metavar="FILE", help="Also write every record to FILE, and its settings beside it; - : print the records instead."
)
AS = typer.Option("--as", metavar="PAPER", help="Only in the metric conventions of a paper, such as TKI.")
TASKS = typer.Option("--task", metavar="NAME", help="Only this task, such as world-unseen; may be repeated.")
METHODS = typer.Option("--method", metavar="NAME", help="Only this method and the baseline; may be repeated.")
DIRECTIONS = typer.Option("--direction", metavar="QUERY:GALLERY", help="Only these domains; may be repeated.")
RULE = 'Only this selection rule, such as "last epoch".'


@app.command(short_help="Print the numbers of runs.")
@handle_errors()
def results(
    runs: Annotated[list[Path] | None, RUNS] = None,
    task: Annotated[Texts, TASKS] = None,
    method: Annotated[Texts, METHODS] = None,
    metric: Annotated[str, typer.Option(metavar="NAME", help="Such as mAP@200, or P@10:hits_over_k.")] = "",
    paper: Annotated[str, AS] = "",
    direction: Annotated[Texts, DIRECTIONS] = None,
    rule: Annotated[str, typer.Option(metavar="NAME", help=RULE)] = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX, for the package booktabs.")] = False,
    csv: Annotated[Path | None, CSV] = None,
    parquet: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write every record as Parquet.")] = None,
    full: Annotated[bool, typer.Option("--all", help="Print all metrics, conventions and settings.")] = False,
) -> None:
    """Print the numbers of one or more runs: one line per method in the headline metric, compared with vanilla CLIP.

    Without a run, the committed results are printed, which the documentation quotes. A mean over several seeds is
    printed with its standard deviation; a number from one seed is marked as such. If two runs have the same settings
    and the same numbers, they count once; if their numbers differ, the command fails and names both sources.

    \b
    Examples:
        cdir results runs/world-* --csv numbers.csv
        cdir results --task pacs-heldout --metric mAP@200 --as TKI --latex
        cdir results runs/world-* --method CLAIR --direction photo:sketch --rule "last epoch"
    """
    from cdir_nb.results import headline, load_records, reproduced_records, save_table, to_frame
    from cdir_nb.results.alike import other_counts
    from cdir_nb.results.choose import chosen
    from cdir_nb.results.files import as_csv
    from cdir_nb.results.printed import block_in_latex, block_in_markdown
    from cdir_nb.results.summary import summarise

    printed = csv == Path("-")
    if markdown + latex + full + printed > 1:
        raise CdirError("--markdown, --latex, --all and --csv - exclude each other: give one of them")
    records = load_records(runs) if runs else reproduced_records()
    if not records:
        raise CdirError(f"no numbers in {', '.join(map(str, runs or []))}: run `cdir reproduce` first")
    choice = {"tasks": task or (), "methods": method or (), "directions": direction or ()}
    records = chosen(records, **choice, metric=metric, paper=paper, rule=rule)
    frame = to_frame(records)
    files = [file for file in (None if printed else csv, parquet) if file]
    for file in files:  # before anything is printed: the reader of the output may end early
        save_table(records, file, parquet=file is parquet)
    if printed:
        typer.echo(as_csv(records), nl=False)
        raise typer.Exit
    names = [] if full else frame["metric"].unique() if metric else [""]
    blocks = [block for name in names for block in summarise(frame, name)]
    if markdown or latex:
        as_text = block_in_markdown if markdown else block_in_latex
        typer.echo("\n".join(as_text(block, _notes(frame)) for block in blocks))
        raise typer.Exit
    for line in other_counts(frame):
        typer.echo(line)
    if full:
        _print_table(*headline(frame))
    else:
        for block in blocks or ["no precision was measured between two domains in which rankings can differ"]:
            typer.echo(f"\n{block}")
        typer.echo("to print all numbers, add --all to the command")
    _print_notes(frame)
    for file in files:
        typer.echo(f"{len(records)} records written to {file}")


@app.command(short_help="Print the settings behind a number.")
@handle_errors()
def settings(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="A digest from `cdir results --all`, or its start.")],
    runs: Annotated[
        list[Path] | None, typer.Option("--run", metavar="RUN", help="A run folder or a table; may be repeated.")
    ] = None,
) -> None:
    """Print the settings that have this digest, and the methods and tasks measured with them.

    Reads the committed results and all runs in runs/, or the runs given by --run.

    Example: cdir settings 0a46e10e6c
    """
    from cdir_nb.paths import runs_dir
    from cdir_nb.results.aggregate import as_text, flat_settings
    from cdir_nb.results.files import find_settings, reproduced_tables

    user_runs = [path.parent for path in sorted(runs_dir().glob("*/run.json"))]
    complete, values, numbers = find_settings(digest, runs or [*reproduced_tables(), *user_runs])
    lines = flat_settings(values)
    width = max(map(len, lines), default=0)
    typer.echo(f"settings {complete}" + ("" if lines else ": none"))
    for name, value in lines.items():
        typer.echo(f"  {name:<{width}} = {as_text(value)}")
    typer.echo("\n".join(["numbers with these settings:", *(f"  {number}" for number in numbers)]))


@app.command(short_help="Compare two methods query by query.")
@handle_errors()
def compare(
    a: Annotated[str, typer.Argument(metavar="METHOD", help="A method's name as in the tables, such as CLAIR.")],
    b: Annotated[str, typer.Argument(metavar="OTHER", help="The method that it is compared with.")],
    task: Annotated[str, typer.Option(metavar="NAME", help="The task, such as sketchy_mini-21.")],
    runs: Annotated[
        list[Path] | None, typer.Option("--run", metavar="RUN", help="A run folder or a table; may be repeated.")
    ] = None,
    encoder: Annotated[str, typer.Option(metavar="NAME", help="Only this encoder, such as real-clip.")] = "",
    metric: Annotated[Text, typer.Option(metavar="NAME", help="Such as P@10:hits_over_k; default: all stored.")] = None,
    rule: Annotated[str, typer.Option(metavar="NAME", help=RULE)] = "",
) -> None:
    """Compare two methods query by query: METHOD minus OTHER, with bootstrap intervals over classes and queries.

    Reads the committed results, or the runs given by --run. If an interval includes zero, the difference cannot be told
    from zero. Prints one comparison for each encoder, selection rule and metric that both methods have.

    \b
    Examples:
        cdir compare TKI "vanilla CLIP" --task world-unseen
        cdir compare CLAIR "vanilla CLIP" --task world-unseen --run runs/world-1a2b3c
    """
    from cdir_nb.results import load_records, reproduced_records
    from cdir_nb.results.significance import comparisons

    records = load_records(runs) if runs else reproduced_records()
    records = [record for record in records if record.encoder.startswith(encoder)]
    for comparison in comparisons(records, a, b, task=task, metric=metric, rule=rule):
        typer.echo(f"\n{comparison}")


@app.command(short_help="Make an HTML report of runs.")
@handle_errors()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders and tables of records.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the report.")] = Path("report"),
) -> None:
    """Make an HTML report on one or more runs: claims, published and reproduced numbers, figures, executed notebooks.

    The report begins with an overview: what was measured and on which images, a dot plot for each task, and which
    claims hold.

    The report is a folder whose index.html works offline: open that file in a browser, zip the folder, or put it on a
    web server. `reproduce` makes such a report for its own run.

    \b
    Example: cdir report runs/world-* runs/pacs-* --out report
    """
    from cdir_nb.pages.page import write_report

    typer.echo(f"report: {write_report(runs, out)}")


NOTEBOOK = typer.Argument(metavar="NOTEBOOK", help="A notebook of the workbook, such as 07, or your own .ipynb file.")


@app.command(short_help="Write a notebook as a web page or as slides, for use offline.")
@handle_errors()
def export(
    notebook: Annotated[str, NOTEBOOK],
    html: Annotated[bool, typer.Option("--html", help="Write a web page; the default.")] = False,
    slides: Annotated[bool, typer.Option("--slides", help="Write slides without code.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: NAME.html or NAME.slides.html.")] = None,
) -> None:
    """Write a notebook with its figures and formulas into one HTML file, which needs no network and runs no script.

    Nothing is executed: the file shows the outputs that the notebook has. Page Down scrolls to the next slide, and each
    slide is printed on its own page.

    \b
    Examples:
        cdir export 07
        cdir export 07 --slides --out lecture.html
    """
    from cdir_nb.notebook import find_notebook
    from cdir_nb.pages.html import write_page

    if html and slides:
        raise CdirError("--html and --slides exclude each other: give one of them")
    path = find_notebook(notebook)
    default = Path(f"{path.stem}{'.slides' if slides else ''}.html")
    typer.echo(f"written: {write_page(path, out or default, slides=slides)}")


@app.command(short_help="Write exercise notebooks for a class, with or without solutions.")
@handle_errors()
def handout(
    chapters: Annotated[
        list[str] | None, typer.Argument(metavar="[CHAPTER]...", help="Such as 04; default: all.")
    ] = None,
    solutions: Annotated[bool, typer.Option("--solutions", help="Write the teacher's copies, with solutions.")] = False,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write them.")] = Path(),
) -> None:
    """Write the exercises of chapters as notebooks: one to predict, one to explain, one to implement, and an open one.

    Students write into empty cells, and `check` in the notebook says what is right or wrong, and why. With --solutions,
    each exercise has its solution, and the replies to wrong answers.

    \b
    Examples:
        cdir handout 04
        cdir handout --out course/students
        cdir handout --solutions --out course/teacher
    """
    from cdir_nb.course import NUMBERS, chapter
    from cdir_nb.course.notebooks import write_notebook

    for exercises in [chapter(number) for number in chapters or NUMBERS]:
        typer.echo(f"written: {write_notebook(exercises, out, solutions=solutions)}")


@app.command(short_help="Check a folder of images against its card.")
@handle_errors()
def verify(
    name: Annotated[str, typer.Argument(help="A dataset with a card, such as pacs.")],
    path: Annotated[
        Path | None, typer.Argument(help="The folder of its images, or a zip file; default: those of the workbook.")
    ] = None,
) -> None:
    """Check a folder of images against its card: missing, extra, empty and unreadable files, wrong counts and names.

    Duplicate pictures and blank images are listed too, but do not count as differences from the card.

    Example: cdir verify pacs /data/PACS
    """
    from cdir_nb.data import load_card
    from cdir_nb.data import verify as verify_folder

    checked = verify_folder(load_card(name), path)
    typer.echo(str(checked))
    raise typer.Exit(0 if checked.ok else 1)


@app.command(short_help="Print a card for a folder of your own.")
@handle_errors()
def card(path: Annotated[Path, typer.Argument(help="A folder laid out as DOMAIN/CLASS/IMAGE, or a zip file.")]) -> None:
    """Print a card for a folder of your own: its domains, classes, and tasks with their metrics.

    In Python, open_task("PATH") makes the same card automatically. To change class names, classes or tasks, save the
    card in the folder and edit it: open_task("PATH") then reads it.

    Example: cdir card my_images > my_images/card.yaml
    """
    from cdir_nb.data.user_card import card_text, folder_card
    from cdir_nb.paths import expanded

    typer.echo(card_text(folder_card(expanded(path).resolve())), nl=False)


@app.command("check-method", short_help="Try a method of your own on every kind of task.")
@handle_errors()
def check_method(
    method: Annotated[str, typer.Argument(metavar="MODULE:NAME", help="A Method, or an Embedder class, by module.")],
    encoder: Annotated[str, typer.Option(metavar="SPEC", help="Encoder; default: the method's own.")] = "",
) -> None:
    """Try a method of your own: fit it for a few steps and measure it on every kind of task, in less than a minute.

    Prints one line for each kind: ok, refused (the method itself says why), or FAILED with the line of code. The images
    are a few drawings, so no number is shown. The exit code is 1 if a kind failed.

    Example, for the class Centred in my_method.py: cdir check-method my_method:Centred
    """
    from cdir_nb.results.check_method import check_method as checks

    failed = False
    for check in checks(method, encoder):
        typer.echo(check.line)
        failed |= check.failed
    raise typer.Exit(int(failed))


app.command(short_help="Download a dataset into the layout of its card.")(handle_errors()(fetch))
app.command("cache", short_help="List the cache; remove what no current code can read.")(handle_errors()(show_cache))

FOLDER = typer.Argument(metavar="[PATH]", help="A folder or zip file of images; default: the bundled world.")


@app.command(short_help="Search your own images with an image or a text.")
@handle_errors()
def search(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder or zip file of images.")],
    query: Annotated[Path | None, typer.Option(metavar="FILE", help="Search with this image.")] = None,
    text: Annotated[Text, typer.Option(metavar="TEXT", help='Search with words, such as "a red guitar".')] = None,
    domain: Annotated[Text, typer.Option(metavar="NAME", help="Search only in this domain.")] = None,
    k: Annotated[int, typer.Option(min=1, help="Number of results.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of rank, file, score, domain, label.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the same list as CSV.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Show the images in the browser.")] = False,
    centre: Annotated[bool, typer.Option("--centre", help="Subtract from each vector its domain's mean.")] = False,
    query_domain: Annotated[
        Text, typer.Option(metavar="NAME", help="With --centre: the domain to which the query belongs.")
    ] = None,
    expand: Annotated[bool, typer.Option("--expand", help="Add the best images to the query; search again.")] = False,
    encoder: Annotated[str, typer.Option(metavar="SPEC", help="Encoder, as in `reproduce`.")] = "real-clip",
) -> None:
    """Find the images of a folder that are most similar to an image, or match a text; print their names and scores.

    The folder may be laid out as DOMAIN/CLASS/IMAGE, as DOMAIN/IMAGE, or flat. New images are embedded and kept in the
    cache, so the next search takes seconds. Scores are cosines, comparable within one search only. The query itself is
    left out of its results.

    \b
    Examples:
        cdir search ~/Pictures --query sketch.png
        cdir search ~/Pictures --text "a red guitar" --k 20 --open
        cdir search my_images --query sketch.png --domain photo --centre --query-domain sketch
        cdir search my_images --query sketch.png --json > results.json
    """
    if (query is None) == (text is None):
        raise CdirError("search needs either --query FILE or --text TEXT: give one of them")
    if as_json and as_csv:
        raise CdirError("--json and --csv cannot be combined: choose one")
    if centre != (query_domain is not None):
        raise CdirError("--centre and --query-domain NAME belong together: give both, or neither")
    if centre and text is not None:
        raise CdirError("--centre needs --query: a text belongs to no domain, so there is no mean to subtract from it")
    from cdir_nb.search.folder import as_text, open_sheet, search_folder

    found = search_folder(
        folder, query or str(text), encoder, k=k, domain=domain, centred_from=query_domain, expand=expand
    )
    for notice in found.notices:
        typer.echo(notice, err=True)
    typer.echo(as_text(found.results, "json" if as_json else "csv" if as_csv else ""))
    if open_page:
        typer.echo(f"page: {open_sheet(found)}", err=True)


@app.command(short_help="Explore your own images in the browser: rank, draw a query, write one.")
@handle_errors()
def explore(
    path: Annotated[Path | None, FOLDER] = None,
    encoder: Annotated[str, typer.Option(metavar="SPEC", help="Encoder, as in `reproduce`; default: real-clip.")] = "",
    port: Annotated[int, typer.Option(help="Serve the page on this port.")] = 8866,
    host: Annotated[
        str, typer.Option(help="Listen on this address; 0.0.0.0: all who reach this machine can use the page.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    lab: Annotated[bool, typer.Option("--lab", help="Open the notebook in JupyterLab, with its code.")] = False,
) -> None:
    """Explore a folder of images in the browser: choose, draw or write a query, and see the images that it retrieves.

    The folder may be laid out as DOMAIN/CLASS/IMAGE (results are marked right or wrong), as DOMAIN/IMAGE, or flat.
    Images are embedded once and kept in the cache. Files that cannot be read are listed and left out.

    Without a folder, the images of the drawn world are shown; `cdir explore emoji` shows emoji in six styles. Both are
    bundled.

    \b
    Examples:
        cdir explore ~/Pictures/flea_market
        cdir explore emoji
    """
    from cdir_nb.explorer.serve import make_page, refuse_port, serve

    refuse_port(port, host)
    page = make_page(path, encoder, log=typer.echo, code=lab)
    raise typer.Exit(serve(page, port=port, browser=browser, lab=lab, host=host))


@app.command(short_help="Draw the bundled world into the cache.")
@handle_errors()
def world() -> None:
    """Draw the bundled world into the cache, so that notebooks need not wait for it."""
    from cdir_nb.data.world import load_world

    images = load_world()
    images.image(0)
    typer.echo(f"{len(images)} images, fingerprint {images.fingerprint}")


if __name__ == "__main__":
    sys.exit(app())
