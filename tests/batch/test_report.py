"""Pages that need no network: equations, figures, numbers and warnings are all in the file."""

import base64
import re
from pathlib import Path

import matplotlib
import nbformat.v4
import pytest
from tiny_notebooks import write_notebook, write_profile

from cdir_nb.batch.html import mathml, strip, to_html, web_references
from cdir_nb.batch.plan import make_plan
from cdir_nb.batch.profile import load_profile
from cdir_nb.batch.report import summary, write_report
from cdir_nb.batch.runner import Outcome
from cdir_nb.results import Record, save_records

matplotlib.use("agg")
TEXT = r"""# How far does it <get>?
Inline $x_i \in \mathbb{R}$ and

$$\mathrm{P@}k = \frac{1}{k}\sum_{i=1}^{k}\mathbb{1}[y_{\pi(i)} = y_q]$$

see [the paper](https://example.org/paper), `$not$ math`"""


def record(**changes) -> Record:
    return Record(
        **{
            "method": "zero-shot",
            "dataset": "world",
            "query_domain": "real",
            "gallery_domain": "sketch",
            "metric": "precision",
            "convention": "hits_over_k",
            "k": 10,
            "value": 0.125,
            "seed": 3,
            "encoder": "tiny-clip [1a2b]",
            "selection_rule": "best on test",
            "train_set": "no image at all",
            "test_set": "40 classes of the world",
            **changes,
        }
    )


@pytest.fixture
def report(tmp_path):
    """Make a report of a finished notebook with a figure and these records, and a failed one; its text."""
    import matplotlib.pyplot as plt

    write_notebook(tmp_path / "a.ipynb", text=TEXT)
    write_notebook(tmp_path / "b.ipynb", text="# Why not?")

    def make(*records: Record, dataset: str = "world", caption: str | None = "A <line> & more") -> str:
        profile = load_profile(str(write_profile(tmp_path, dataset=dataset)))
        plan = make_plan(profile, data=[] if dataset == "world" else [f"{dataset}={tmp_path}"])
        good, bad = (tmp_path / job.folder for job in plan.jobs)
        save_records(records, good, "r")
        bad.mkdir(exist_ok=True)
        (bad / "traceback.txt").write_text("Traceback\nValueError: <b>no</b>\n")
        fig, _ = plt.subplots(figsize=(1, 1))
        fig.savefig(good / "heat_map.png", metadata={"Description": caption})
        for folder, name in ((good, "a"), (bad, "b")):
            (folder / f"{name}.html").touch()
        outcomes = [
            Outcome(plan.jobs[0], good, "done", 75),
            Outcome(plan.jobs[1], bad, "failed", 2, "ValueError: <b>no</b>"),
        ]
        make.summary = summary(outcomes)
        return write_report(plan, outcomes, tmp_path).read_text()

    return make


def test_the_report_names_everything_that_a_number_depends_on(report):
    page = report(record())
    for text in (
        "12.50",
        "precision@10",
        "hits_over_k",
        "tiny-clip [1a2b]",
        "best on test",
        "no image at all",
        "40 classes of the world",
        "seeds: 3",
        "1 direction",
    ):
        assert text in page


def test_the_report_shows_status_time_and_title(report):
    page = report(record())
    assert "How far does it &lt;get&gt;?" in page and "1:15" in page
    assert "ValueError: &lt;b&gt;no&lt;/b&gt;" in page and "<b>no" not in page
    assert re.search(r'class="failed">failed', page)


def test_figures_are_embedded_with_captions(report):
    page = report(record())
    assert "<figcaption>A &lt;line&gt; &amp; more</figcaption>" in page
    data = re.search(r'src="data:image/png;base64,([^"]+)"', page).group(1)
    assert base64.b64decode(data).startswith(b"\x89PNG")
    assert "<figcaption>heat map</figcaption>" in report(record(), caption=None)


def test_the_report_needs_no_network_and_its_links_lie_beside_it(report, tmp_path):
    page = report(record())
    assert web_references(page) == [] and "http" not in page and "<script" not in page
    links = [link for link in re.findall(r'href="([^"#]+)"', page)]
    assert len(links) == 2 and all((tmp_path / link).is_file() for link in links)
    assert str(tmp_path) not in page


def test_the_report_says_what_the_data_are(report):
    assert "bundled drawn world, not the papers&#39; data" in report(record()).replace(
        "papers' data", "papers&#39; data"
    )
    page = report(record(dataset="pacs"), dataset="pacs")
    assert "Dataset: pacs" in page and "drawn world" not in page


def test_random_weights_are_said_loudly(report):
    assert 'class="loud"' not in report(record())
    page = report(record(encoder="ViT-B-32:random (RANDOM WEIGHTS)"))
    assert (
        'class="loud">Harness run (random weights): these numbers only show that the machinery works' in page
    )
    assert "HARNESS RUN, NOT A RESULT: random weights" in page


def test_the_summary_says_which_notebook(report):
    report(record(), record(query_domain="sketch", gallery_domain="real", value=0.375))
    table, common = report.summary
    assert table[["notebook", "percent", "over what"]].values.tolist() == [["a", "25.00", "2 directions"]]
    assert common["selection rule"] == "best on test"


def test_numbers_of_a_failed_notebook_do_not_count(report, tmp_path):
    report(record())
    failed = next(path for path in tmp_path.glob("b-*"))
    save_records([record(value=0.99)], failed, "r")
    assert "99.00" not in report(record())


def test_a_report_without_numbers_is_a_report(report):
    assert "How far" in report()


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


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://a.b/c.js">',
        "<link rel=x href='//a.b/c.css'>",
        "<img alt=a src=http://a.b/c.png>",
        "a { background: url(https://a.b/c) }",
        '@import "https://a.b/c.css"',
        'import("https://a.b/c.mjs")',
    ],
)
def test_web_references_are_found(html):
    assert len(web_references(f"<p>{html}</p>")) == 1


def test_widget_state_and_views_are_stripped():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "IntSlider()"}
    outputs = [
        nbformat.v4.new_output("display_data", data=view),
        nbformat.v4.new_output("stream", text="kept"),
    ]
    injected = nbformat.v4.new_code_cell(
        'seed = 1\nout_dir = "/a/b"\n', metadata={"tags": ["injected-parameters"]}
    )
    notebook = nbformat.v4.new_notebook(
        cells=[injected, nbformat.v4.new_code_cell("x", outputs=outputs)],
        metadata={"widgets": {"s": 1}, "papermill": {"input_path": "/a"}},
    )
    strip(notebook)
    assert not notebook.metadata and [o.output_type for o in notebook.cells[1].outputs] == ["stream"]
    assert notebook.cells[0].source == 'seed = 1\nout_dir = ""\n'
