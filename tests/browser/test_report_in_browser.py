"""The report in a real browser without a network: it is drawn, fits a desk and a phone, and complains of nothing."""

import re
import shutil
import subprocess
from pathlib import Path

import nbformat.v4
import pytest
from PIL import Image
from run_folders import record, write_run

from cdir_nb.pages.html import POLICY, to_html
from cdir_nb.pages.page import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine: apt-get install chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--allow-file-access-from-files", "--enable-logging=stderr"),
]
# A browser window can't be as narrow as a phone, a frame can. What sticks out is named in the title.
PHONE = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe src="index.html" style="width:420px;height:1500px;border:0" onload="
  const page = this.contentDocument.documentElement;
  document.title = page.scrollWidth + ' of ' + page.clientWidth;"></iframe>"""


def chromium(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([CHROMIUM, *FLAGS, *map(str, words)], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report of twelve directions, with a wide table, a failed notebook, a claim and a published table."""
    folder = tmp_path_factory.mktemp("browser")
    domains = ("real", "sketch", "clipart", "quickdraw", "infograph", "painting")
    measured = {"metric": "mAP@200:over_min_k_relevant", "protocol": "world-unseen"}
    rule = {"vanilla CLIP": "nothing selected", "TKI": "last epoch"}
    records = [
        record(method=method, query_domain=q, gallery_domain=g, value=value, selection_rule=rule[method], **measured)
        for method, value in (("vanilla CLIP", 0.25), ("TKI", 0.5))
        for q in domains
        for g in domains
        if q != g
    ]
    page = write_report([write_run(folder / "mine-1", records)], folder / "report")
    (page.parent / "phone.html").write_text(PHONE)
    return page


@pytest.fixture(scope="module")
def visit(report):
    """What the browser made of the page, and what it said."""
    return chromium("--window-size=1280,2400", "--dump-dom", report.as_uri())


def test_title_and_numbers_are_on_the_page(visit):
    assert "<title>Cross-domain image retrieval, measured: mine</title>" in visit.stdout
    assert re.search(
        r'<th scope="row">TKI</th>(<td><span class="at">[^<]+</span><span>50.00</span></td>)+', visit.stdout
    )
    assert "✓ holds" in visit.stdout and "ValueError: &lt;b&gt;no&lt;/b&gt;" in visit.stdout


def test_nothing_is_fetched_and_nothing_complained_of(visit):
    assert "CONSOLE" not in visit.stderr and "ERR_" not in visit.stderr
    links = re.findall(r'<(?:img|link|script|iframe|source)\b[^>]*\b(?:src|href)="([^"]+)"', visit.stdout)
    assert links and not [link for link in links if ":" in link or link.startswith("/")]


def test_the_browser_does_complain_of_a_page_that_fetches(report):
    """Else the test above would prove nothing."""
    spoilt = report.with_name("spoilt.html")
    spoilt.write_text('<script src="https://example.org/x.js" onerror="console.error(1)"></script>')
    assert "CONSOLE" in chromium("--dump-dom", spoilt.as_uri()).stderr


@pytest.mark.parametrize("page,size,width", [("index.html", (1280, 2400), 1280), ("phone.html", (600, 1500), 420)])
def test_a_picture_of_the_page_is_not_blank(report, tmp_path, page, size, width):
    shot = tmp_path / "shot.png"
    chromium(f"--window-size={size[0]},{size[1]}", f"--screenshot={shot}", report.with_name(page).as_uri())
    image = Image.open(shot).convert("RGB").crop((0, 0, width, size[1]))
    colours = image.getcolors(maxcolors=2**20)
    white = sum(count for count, colour in colours if colour == (255, 255, 255)) / (width * size[1])
    assert image.size == (width, size[1]) and len(colours) > 50 and 0.3 < white < 0.98


def test_a_phone_scrolls_tables_not_the_page(report):
    title = re.search(
        r"<title>(\d+) of (\d+)</title>", chromium("--dump-dom", report.with_name("phone.html").as_uri()).stdout
    )
    assert title and title.group(1) == title.group(2) == "420"


HOSTILE = """<script>document.title = "ran"</script><svg onload="document.title = 'ran'"></svg>
<img src="data:,x" onerror="document.title = 'ran'"><iframe srcdoc="<script>parent.document.title = 'ran'</script>">
</iframe>"""


@pytest.mark.parametrize("guarded", [True, False])
def test_no_script_in_a_notebook_output_runs(tmp_path, guarded):
    output = nbformat.v4.new_output("display_data", data={"text/html": HOSTILE})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])
    page = to_html(notebook, "harmless", tmp_path)
    (tmp_path / "a.html").write_text(page if guarded else page.replace(POLICY, ""))
    found = chromium("--dump-dom", (tmp_path / "a.html").as_uri()).stdout
    assert ("<title>harmless</title>" in found) == guarded and ("<title>ran</title>" in found) != guarded


@pytest.mark.parametrize("guarded", [True, False])
def test_no_notebook_output_leads_to_another_page(tmp_path, guarded):
    (tmp_path / "other.html").write_text("<title>another page</title>")
    away = '<meta http-equiv="refresh" content="0; url=other.html">'
    output = nbformat.v4.new_output("display_data", data={"text/html": away})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[output])])
    page = to_html(notebook, "harmless", tmp_path)
    (tmp_path / "a.html").write_text(page if guarded else page.replace("&lt;meta", "<meta"))
    dom = chromium("--virtual-time-budget=3000", "--dump-dom", (tmp_path / "a.html").as_uri()).stdout
    assert ("<title>harmless</title>" in dom) == guarded and ("<title>another page</title>" in dom) != guarded
