"""The browser of records in Chromium: it filters, sorts, compares and opens records.

Its means, differences and intervals are those of the package.
"""

import re
import shutil

import pytest
from playwright.sync_api import sync_playwright

from cdir_nb.pages.browser import browser_data, browser_page, write_browser
from cdir_nb.paths import ROOT
from cdir_nb.results import compare, load_records, to_frame
from cdir_nb.results.aggregate import means
from cdir_nb.results.published import published

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine: apt-get install chromium")
TABLES = ROOT / "cdir_nb" / "results" / "reproduced"
METRIC, TASK = "P@10:hits_over_k", "pacs-heldout"


@pytest.fixture(scope="module")
def records():
    """A task with every direction, several seeds and values of single queries, and one method without a direction."""
    found = [r for r in load_records(TABLES / "pacs-heldout-real-clip.csv.gz") if r.metric == METRIC]
    gap = [r for r in found if r.method == "TKI, residual" and r.query_domain == "photo"]
    return [r for r in found if r not in gap]


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(chromium, records, tmp_path_factory):
    path = write_browser(records, tmp_path_factory.mktemp("browser") / "records.html", "a test")
    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.complaints.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("main:not([hidden])")
    assert page.complaints.pop(0) == path.as_uri()
    return page


def cells(page, column: int) -> list[str]:
    return page.locator(f"#measured tbody tr td:nth-child({column})").all_inner_texts()


def of(records, method: str):
    return [r for r in records if r.method == method]


def test_means_differences_and_intervals_are_those_of_the_package(page, records):
    page.locator("#choose-direction").select_option("all")
    page.get_by_label("compare with vanilla CLIP").check()
    shown = {m.split("\n")[0]: (v, g, i) for m, v, g, i in zip(*(cells(page, n) for n in (2, 6, 8, 9)))}
    table = means(to_frame([r for r in records if r.method != "TKI, residual"]), by="method")
    for method, row in table.iterrows():
        spread = "" if row["spread"] != row["spread"] else f" ± {100 * row['spread']:.2f}"
        assert shown[method][0] == f"{100 * row['mean']:.2f}{spread}", method
    told = 0
    for method in table.index.drop("vanilla CLIP"):
        pair = of(records, method), of(records, "vanilla CLIP")
        if all(r.queries for r in pair[0]):
            found = compare(*pair, METRIC)
            texts = [f"{x:+.2f}".replace("-", "−") for x in (found.points, *found.by_classes)]
            assert (shown[method][1], shown[method][2]) == (texts[0], f"{texts[1]} to {texts[2]}"), method
            told += 1
    assert told > 0


def test_a_row_without_a_direction_is_marked_and_has_no_mean(page):
    row = page.locator("#measured tbody tr", has=page.get_by_role("button", name="TKI, residual", exact=True))
    texts = row.first.locator("td").all_inner_texts()
    assert texts[5] == "" and texts[10] == "9 of 12" and row.first.locator(".missing").count() == 1


def test_sort_filter_and_open_a_record_by_keyboard(page, records):
    page.locator("#choose-direction").select_option("photo → sketch")
    page.locator("#choose-selection_rule").select_option("nothing selected")
    assert set(cells(page, 3)) == {"nothing selected"}
    page.get_by_role("button", name="mean, percent").focus()
    page.keyboard.press("Enter")
    numbers = [float(text.split()[0]) for text in cells(page, 6)]
    page.keyboard.press("Enter")
    assert len(numbers) > 1 and sorted(numbers) in (numbers, numbers[::-1])
    assert [float(text.split()[0]) for text in cells(page, 6)] == numbers[::-1]
    page.get_by_role("button", name="vanilla CLIP", exact=True).focus()
    page.keyboard.press("Enter")
    record = page.locator("#record")
    text = record.inner_text()
    assert "cdir reproduce --method 'vanilla CLIP' --task pacs-heldout" in text and "git checkout" in text
    shown = re.findall(r"→ \w+\t(\d+\.\d\d)", text)
    assert sorted(shown) == sorted(f"{100 * r.value:.2f}" for r in of(records, "vanilla CLIP"))
    page.keyboard.press("Escape")
    assert not record.is_visible()
    page.locator("#choose-selection_rule").select_option("all")


def test_published_numbers_are_in_a_section_of_their_own(page):
    page.locator("#choose-paper").select_option("tki")
    page.locator("#choose-table").select_option("6")
    printed = page.locator("#published tbody tr td:last-child").all_inner_texts()
    cells = published("tki", "6")
    assert printed == [p for p, v, a in zip(cells["printed"], cells["value"], cells["average"]) if v == v and not a]
    assert page.locator("#measured #published").count() == 0


def test_nothing_is_fetched_and_nothing_complained_of(page):
    assert page.complaints == []


def test_only_the_pages_own_script_runs(chromium, records, tmp_path):
    text = browser_page(browser_data(records[:12]), "</title><script>document.title = 'ran'</script>")
    (tmp_path / "page.html").write_text(text.replace("</main>", "</main><script>document.title = 'ran'</script>"))
    page = chromium.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("main:not([hidden])")
    assert page.title() != "ran"
