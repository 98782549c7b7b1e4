"""Pages that need no network: equations, figures, numbers and warnings are all in the folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat.v4
import pytest
from run_folders import record, write, write_run
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.errors import CdirError
from cdir_nb.pages.html import POLICY, mathml, strip, to_html, without_scripts
from cdir_nb.pages.page import write_report
from cdir_nb.pages.run_folder import read_run
from cdir_nb.paths import process_label
from cdir_nb.results import Record, load_records, save_records

TEXT = r"""# How far does it <get>?
Inline $x_i \in \mathbb{R}$ and

$$\mathrm{P@}k = \frac{1}{k}\sum_{i=1}^{k}\mathbb{1}[y_{\pi(i)} = y_q]$$

see [the paper](https://example.org/paper), `$not$ math`"""

WEB = re.compile(
    r"""<(?:script|link|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|href|data)\s*=\s*["']?(?:https?:)?//[^"'\s>]+"""
    r"""|url\(\s*["']?(?:https?:)?//[^)]+\)|@import\s+["'](?:https?:)?//[^"']+|\bimport\(\s*["']https?://[^"']+""",
    re.I,
)


def web_references(page: str) -> list[str]:
    """Everything a browser would load from the web to show this page (links to click do not count)."""
    return [match.group(0) for match in WEB.finditer(page)]


@pytest.fixture
def run_folder(tmp_path):
    """Make a run folder of a finished notebook with a figure and these records, and a failed one."""
    return lambda *records, name="mine-1", **options: write_run(tmp_path / name, records, **options)


@pytest.fixture
def report(run_folder, tmp_path):
    """The page of such a run, as text."""

    def make(*records: Record, **options) -> str:
        return write_report([run_folder(*records, **options)], tmp_path / "report").read_text()

    return make


def test_the_report_names_everything_that_a_number_depends_on(report):
    page = report(record())
    number = (
        "12.50",
        "P@10:hits_over_k",
        "tiny-clip [1a2b]",
        "best on test",
        "no image at all",
        "40 classes of the world",
    )
    job = ("How far does it &lt;get&gt;?", "1:15", "2026-01-02 03:04", "ValueError: &lt;b&gt;no&lt;/b&gt;", "not run")
    assert [text for text in (*number, *job, "seeds: 3", "1 direction") if text not in page] == []
    assert "<b>no" not in page


def test_figures_lie_beside_the_page_with_captions(report, tmp_path):
    page = report(record())
    assert "<figcaption>A &lt;line&gt; &amp; more</figcaption>" in page and 'alt="A &lt;line&gt; &amp; more"' in page
    link = re.search(r'<img src="([^"]+)"', page).group(1)
    assert (tmp_path / "report" / link).read_bytes().startswith(b"\x89PNG")
    assert "<figcaption>heat map</figcaption>" in report(record(), caption=None)


def test_a_moved_report_is_whole(report, tmp_path):
    page = report(record())
    assert web_references(page) == [] and "http" not in page and "<script" not in page
    shutil.rmtree(tmp_path / "mine-1")
    (tmp_path / "report").rename(tmp_path / "elsewhere")
    links = re.findall(r'(?:href|src)="([^"#]+)"', page)
    assert {Path(link).suffix for link in links} == {".csv", ".html", ".png"}
    assert all((tmp_path / "elsewhere" / link).is_file() for link in links)
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert len(anchors) > 4 and all(f'id="{anchor}"' in page for anchor in anchors)
    assert str(tmp_path) not in page


def test_the_records_of_the_report_are_those_of_the_runs(report, tmp_path):
    kept = [record(), record(query_domain="sketch", gallery_domain="real", value=0.375)]
    report(*kept)
    assert load_records(tmp_path / "report" / "records.csv") == kept


def test_the_report_says_what_the_data_are(report):
    assert "a drawn world, bundled with the workbook: not the papers' data" in report(record())
    page = report(record(dataset="pacs"), dataset="pacs")
    assert "Dataset: pacs" in page and "drawn world" not in page


def test_results_on_real_images_are_shown_beside_the_drawn_world_only(report):
    """Committed numbers, each with its task, encoder and selection rule, apart from those of the run."""
    committed = re.compile(r'<section id="committed">.*?</section>', re.S)
    shown = committed.search(report(record(), dataset="world")).group()
    assert "sketchy_mini-21, real-clip: P@10:hits_over_k" in shown and "last epoch" in shown
    assert "world-unseen" not in shown and "12.50" not in shown


def test_a_run_on_real_images_is_not_mixed_with_committed_ones(report):
    assert 'id="committed"' not in report(record(dataset="pacs", protocol="pacs-all"), dataset="pacs")


def test_a_pipeline_test_is_marked_in_its_own_section(run_folder, tmp_path):
    real = run_folder(record(), name="real-1")
    random = run_folder(record(encoder="ViT-B-32:random"), name="random-1")
    page = write_report([real, random], tmp_path / "report").read_text()
    first, second = page[page.index('<section id="1-real-1"') :].split('<section id="2-random-1"')
    assert 'class="loud"' not in first and re.search(r'class="loud">[^<]*random weights', second)


def test_a_sweep_is_one_section_with_its_seeds_averaged(tmp_path):
    write_run(tmp_path / "r", [record(seed=0, value=0.25)], sweep=[record(seed=1, value=0.75)])
    page = write_report([tmp_path / "r"], tmp_path / "report").read_text()
    assert "50.00 ± 35.36" in page and page.count("<h3>How far does it &lt;get&gt;?</h3>") == 1
    assert "<summary>a seed=0</summary>" in page and "<summary>a seed=1</summary>" in page


def test_a_job_that_had_to_do_without_others_says_so(report):
    assert "Ran without b seed=1, b seed=2, which had failed." in report(record(), without=["b seed=1", "b seed=2"])
    assert "Ran without" not in report(record())


def test_numbers_of_a_failed_notebook_do_not_count(report, run_folder):
    folder = run_folder(record())
    save_records([record(value=0.99)], next(folder.glob("*.failed")), "r")
    numbers = read_run(folder).records
    assert numbers[["notebook", "value"]].values.tolist() == [["a", 0.125]]


# --- claims, and published tables

TKI = {"metric": "mAP@200:over_min_k_relevant", "protocol": "world-unseen"}


def tki(method, value, query, gallery, **changes) -> Record:
    rule = "last epoch" if method == "TKI" else "nothing selected"
    fields = {"method": method, "value": value, "query_domain": query, "gallery_domain": gallery}
    return record(**{**TKI, **fields, "selection_rule": rule, **changes})


def gains(forth: float, back: float, **changes) -> list[Record]:
    """TKI so much above vanilla CLIP from real to sketch, and back."""
    both = [("real", "sketch", forth), ("sketch", "real", back)]
    methods = [("vanilla CLIP", 0), ("TKI", 1)]
    return [tki(m, 0.5 + on * gain, q, g, **changes) for q, g, gain in both for m, on in methods]


def cells_of(page: str, claim: str) -> list[str]:
    """The cells of a claim's row, as text."""
    row = next(row for row in re.findall(r"<tr>.*?</tr>", page, re.S) if f">{claim}<" in row)
    return [re.sub(r"<[^>]+>", " ", cell) for cell in re.findall(r"<td.*?</td>", row, re.S)]


def test_claims_are_decided_beside_the_papers_own_numbers(report):
    page = report(*gains(0.25, -0.125))
    theirs, ours = cells_of(page, "TKI is above CLIP in each direction.")
    assert "✓ holds" in theirs and "directions missing" in ours and "directions: 2 of 30 run" in ours
    assert "✓ holds, no interval" in cells_of(page, "TKI, trained on texts alone, is above CLIP on average.")[1]
    assert "+6.25 points" in cells_of(page, "TKI, trained on texts alone, is above CLIP on average.")[1]
    assert "(a drawn world)" in page[page.index('id="claims"') :].split("</thead>")[0]


def test_a_pipeline_test_decides_no_claim_and_stands_beside_no_paper(report):
    page = report(*gains(0.25, 0.25, pipeline_test="random weights"))
    assert 'id="claims"' not in page and 'id="beside"' not in page


def test_published_tables_stand_above_ours_never_mixed(report):
    page = report(*gains(0.25, 0.125))
    beside = page[page.index('id="beside"') :]
    published, ours = re.findall(r"<table\b.*?</table>", beside, re.S)[:2]
    assert "15.01" in published and "15.01" not in ours  # TKI's Table 2, mean of mAP@200
    assert "68.75" in ours and "68.75" not in published
    assert beside.count("ours: the same as below") > 2


# --- what can't be reported

LISTING = {"profile": "mine", "about": "a trial", "dataset": "world", "notebooks": [], "folders": []}


def refusal(*folders, out) -> str:
    with pytest.raises(CdirError) as caught:
        write_report(folders, out)
    assert "\n" not in str(caught.value)
    assert not [path for path in out.parent.iterdir() if path.name.startswith((".report", "report"))]
    return str(caught.value)


@pytest.mark.parametrize(
    "spoil,message",
    [
        (lambda run: shutil.rmtree(run), "bad-1 not found: give a folder"),
        (
            lambda run: [(run / name).unlink() for name in ("run.json", "a-1/r.jsonl")],
            "is not a run folder (it has no run.json)",
        ),
        (lambda run: (run / "run.json").write_text("{"), "run.json cannot be read; run"),
        (lambda run: (run / "run.json").write_text("[]"), "run.json needs the keys profile, about"),
        (lambda run: write(run / "run.json", LISTING), "run.json does not list its notebooks"),
        (lambda run: (run / "a-1/done").write_text("{}"), "done needs the keys seconds, finished"),
        (lambda run: (run / "a-1/params.json").unlink(), "a-1 is damaged: params.json cannot be read"),
        (lambda run: (run / "a-1/a.html").unlink(), "a.html is missing"),
        (lambda run: (run / "a-1/a.ipynb").write_text("x"), "a.ipynb is not a valid notebook"),
        (lambda run: (run / "a-1/heat_map.png").write_bytes(b"\x89PNG"), "heat_map.png is not a readable image"),
        (lambda run: (run / "a-1/r.jsonl").write_text("{}"), "r.jsonl, line 1: not a record"),
    ],
)
def test_a_missing_or_damaged_run_folder_is_named_and_leaves_nothing(run_folder, tmp_path, spoil, message):
    good, bad = run_folder(record(), name="good-1"), run_folder(record(), name="bad-1")
    spoil(bad)
    assert message in refusal(good, bad, out=tmp_path / "report")


def test_two_runs_that_disagree_are_refused(run_folder, tmp_path):
    one, other = run_folder(record(), name="one-1"), run_folder(record(value=0.5), name="other-1")
    assert "two values of one setting" in refusal(one, other, out=tmp_path / "report")


def test_only_an_old_report_is_replaced(run_folder, tmp_path):
    folder, out = run_folder(record()), tmp_path / "report"
    write_report([folder], out)
    (out / "old").touch()
    write_report([folder], out)
    assert not (out / "old").exists() and (out / "index.html").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(CdirError, match="exists and is not a report, so it is not replaced: choose another --out"):
        write_report([folder], tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_failed_try_leaves_the_old_report(run_folder, tmp_path):
    folder, out = run_folder(record()), tmp_path / "report"
    before = write_report([folder], out).read_text()
    (folder / "a-1/heat_map.png").write_bytes(b"")
    with pytest.raises(CdirError):
        write_report([folder], out)
    assert (out / "index.html").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine-1", "report"]


def test_the_command_makes_a_report_of_several_runs(run_folder, tmp_path):
    folders = [run_folder(record(), name="one-1"), run_folder(record(seed=4), name="other-1")]
    done = CliRunner().invoke(app, ["report", *map(str, folders), "--out", str(tmp_path / "report")])
    assert done.exit_code == 0 and done.stdout == f"report: {tmp_path / 'report' / 'index.html'}\n"
    help = CliRunner().invoke(app, ["report", "--help"]).stdout
    assert "Example: cdir report runs/world-* runs/pacs-* --out report" in help


# --- pages of notebooks


def page_of(*cells, folder=Path("."), **metadata):
    return to_html(nbformat.v4.new_notebook(cells=list(cells), metadata=metadata), "name", folder)


def test_equations_become_mathml_and_nothing_is_fetched():
    page = page_of(nbformat.v4.new_markdown_cell(TEXT), nbformat.v4.new_code_cell("x = 1"))
    assert page.count("<math") == 2 and "<mfrac>" in page
    assert "$not$ math" in page and '<a href="https://example.org/paper">' in page
    assert web_references(page) == [] and "MathJax" not in page and "cdnjs" not in page


@pytest.mark.parametrize(
    "tex,parts",
    [
        (r"\begin{aligned}a &= b\\ c &= d\end{aligned}", ["<mtable", "<mi>c</mi>"]),
        (r"\operatorname*{arg\,max}_c x", ["<msub"]),
        (r"\begin{cases}1 & x>0\\0 & \text{otherwise}\end{cases}", ["<mtable", "otherwise"]),
        (r"\dfrac{a}{b}", ["<mfrac>"]),
    ],
)
def test_what_the_converter_does_not_know_is_rewritten(tex, parts):
    made = mathml(tex, "block")
    assert all(part in made for part in parts) and "\\" not in made and "<mi>&</mi>" not in made


def test_a_hopeless_formula_stays_readable():
    assert mathml(r"a < \frac{1}{", "inline") == r"<code>a &lt; \frac{1}{</code>"


def test_pictures_beside_the_notebook_are_embedded(tmp_path):
    (tmp_path / "p.png").write_bytes(b"\x89PNG")
    page = page_of(nbformat.v4.new_markdown_cell("![a](p.png)"), folder=tmp_path)
    assert 'src="data:image/png;base64,' in page and 'src="p.png"' not in page


def test_widget_state_and_views_are_stripped():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "IntSlider()"}
    outputs = [nbformat.v4.new_output("display_data", data=view), nbformat.v4.new_output("stream", text="kept")]
    injected = nbformat.v4.new_code_cell('seed = 1\nout_dir = "/a/b"\n', metadata={"tags": ["injected-parameters"]})
    notebook = nbformat.v4.new_notebook(
        cells=[injected, nbformat.v4.new_code_cell("x", outputs=outputs)],
        metadata={"widgets": {"s": 1}, "papermill": {"input_path": "/a"}},
    )
    strip(notebook)
    assert not notebook.metadata and [o.output_type for o in notebook.cells[1].outputs] == ["stream"]
    assert notebook.cells[0].source == 'seed = 1\nout_dir = ""\n'


# --- damaged run folders, and what a killed report left


@pytest.mark.parametrize(
    ("name", "content"),
    [("run.json", b""), ("run.json", b"\xff"), ("run.json", b"[" * 100_000), ("run.json", b'{"profile": 1}')]
    + [("a-1/done", b""), ("a-1/done", b'{"seconds": "x", "finished": "y"}'), ("a-1/params.json", b"{}")]
    + [("a-1/r.jsonl", b"\xff"), ("a-1/r.jsonl", b"[" * 100_000), ("a-1/heat_map.png", b"no picture")],
)
def test_damage_is_one_line_that_names_the_file(run_folder, tmp_path, name, content):
    folder = run_folder(record())
    (folder / name).write_bytes(content)
    with pytest.raises(CdirError) as caught:
        write_report([folder], tmp_path / "report")
    assert Path(name).name in str(caught.value) and "again" in str(caught.value) and not (tmp_path / "report").exists()


def test_what_a_killed_report_left_is_removed(run_folder, tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mark = process_label()
    for left in (f".report-{mark.replace(str(os.getpid()), str(dead.pid))}x", f".report-{mark}x", ".report-mine"):
        (tmp_path / left / "new").mkdir(parents=True)
    write_report([run_folder(record())], tmp_path / "report")
    assert sorted(path.name for path in tmp_path.glob(".report-*")) == sorted([f".report-{mark}x", ".report-mine"])


EVIL = """<script>document.title = "ran"</script><svg onload="document.title = 'ran'"></svg>
<img src="missing.png" onerror="document.title = 'ran'"><img src="https://evil.example/a.png">"""


@pytest.mark.parametrize(
    "page",
    [
        f"<html><head></head><body>{EVIL}</body></html>",
        f"{EVIL}<!DOCTYPE html><html><head>{POLICY}</head></html>",
        f"<!-- <!DOCTYPE html><html><head>{POLICY} -->{EVIL}",
        f'<!DOCTYPE html><html onload="x()"><head>{POLICY}</head></html>',
    ],
)
def test_the_policy_of_a_copied_page_comes_before_everything_that_could_run(run_folder, tmp_path, page):
    folder = run_folder(record())
    (folder / "a-1" / "a.html").write_text(page)
    write_report([folder], tmp_path / "report")
    (copy,) = (tmp_path / "report").rglob("a.html")
    start = re.match(r"\s*<!DOCTYPE html>\s*(<html><head>)?", copy.read_text()).end()
    assert copy.read_text().startswith(POLICY, start)


def test_the_policy_is_first_in_the_head_of_an_executed_notebook_and_allows_no_script():
    output = nbformat.v4.new_output("display_data", data={"text/html": f"<b>x</b>{EVIL}"})
    page = page_of(nbformat.v4.new_code_cell("1", outputs=[output]), nbformat.v4.new_markdown_cell(TEXT))
    assert re.match(r'\s*<!DOCTYPE html>\s*<html lang="en">\s*<head>', page).end() == page.index(POLICY)
    assert without_scripts(page) == page and "<b>x</b>" in page and "<math" in page
    rules = dict(rule.split(" ", 1) for rule in re.search(r'content="([^"]+)"', POLICY)[1].split("; "))
    assert rules["default-src"] == "'none'" and not any("script" in name or "unsafe-eval" in rules for name in rules)


@pytest.mark.parametrize(
    "tag",
    [
        '<meta http-equiv="refresh" content="0; url=x.html">',
        "<META\nhttp-equiv=refresh content='0'>",
        '<meta/http-equiv="refresh" content=0>',
        '<meta charset="utf-8" http-equiv="refresh" content="0">',
    ],
)
def test_no_output_of_a_notebook_leads_to_another_page(tag):
    output = nbformat.v4.new_output("display_data", data={"text/html": tag})
    before, after = page_of(nbformat.v4.new_code_cell("1")), page_of(nbformat.v4.new_code_cell("1", outputs=[output]))
    assert before.lower().count("<meta") == after.lower().count("<meta") == 3
    assert without_scripts(f"{tag}<p>x</p>").lower().count("<meta") == 1


def test_the_report_begins_with_images_a_dot_plot_and_the_claims(report, tmp_path):
    page = report(record(), record(method="vanilla CLIP", value=0.1))
    short = page.split('<section id="short"')[1].split("<nav")[0]
    assert "not the papers" in short and "2 methods" in short and 'src="headline-1.png"' in short
    assert (tmp_path / "report" / "headline-1.png").is_file()


def test_records_without_a_run_folder_have_a_report(tmp_path):
    save_records([record(), record(method="vanilla CLIP", value=0.1)], tmp_path / "mine", "numbers")
    page = write_report([tmp_path / "mine"], tmp_path / "report").read_text()
    assert "12.50" in page and "Records without notebooks" in page
    with pytest.raises(CdirError, match="has no records"):
        (tmp_path / "empty").mkdir()
        write_report([tmp_path / "empty"], tmp_path / "other")


def test_a_progress_bar_shows_its_last_line_only():
    bar = "\r".join(["", *(f"{n}/3 [00:0{n}]" for n in (1, 2, 3))]) + "\n"
    cell = nbformat.v4.new_code_cell("x", outputs=[
        nbformat.v4.new_output("stream", name="stderr", text=f"before\n{bar}after\r\nend\n")])  # fmt: skip
    book = nbformat.v4.new_notebook(cells=[cell])
    strip(book)
    assert book.cells[0].outputs[0].text == "before\n3/3 [00:03]\nafter\r\nend\n"
