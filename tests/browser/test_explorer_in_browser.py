"""The explorer as people use it: in Voilà and in JupyterLab, moved and drawn on in Debian's Chromium.

Screenshots go to `test-output/browser` in the checkout: look at them.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import psutil
import pytest
from explorer.drawn_folder import draw_folder
from nbformat.v4 import new_code_cell, new_notebook

from cdir_nb.explorer.serve import ONE_THREAD, page_script, serve_command, write_page
from cdir_nb.paths import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine: apt-get install chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SHOTS = ROOT / "test-output" / "browser"
SLOW = 500_000  # milliseconds: a kernel starts, imports torch and embeds, on a machine that also does other things
KNOWN_COMPLAINTS = ("fontawesome", "ERR_NAME_NOT_RESOLVED", "ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A user's folder: three domains, four classes."""
    root = tmp_path_factory.mktemp("mine") / "flea market"
    return draw_folder(root, ("photo", "sketch", "quickdraw"), ("banana", "guitar", "scissors", "tree"), 6)


@pytest.fixture(scope="module")
def notebook(pictures, tmp_path_factory):
    """The explorer's notebook on that folder; caches are this test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("CDIR_HEADLESS", raising=False)
        yield write_page({"folder": str(pictures), "encoder": "tiny-clip", "map_points": 60})


@pytest.fixture
def serve():
    """Start a server and wait until it answers; it is ended with all its kernels."""
    running = []

    def start(command: list[str], url: str) -> str:
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for _ in range(240):
            assert running[-1].poll() is None, "the server ended by itself"
            try:
                urlopen(url.rsplit("/", 1)[0] + "/static/", timeout=1)
            except URLError as error:
                if "refused" not in str(error):
                    return url
            except OSError:
                pass
            time.sleep(0.5)
        raise AssertionError("the server did not answer within two minutes")

    yield start
    for server in running:
        server.terminate()
        server.wait(30)


@pytest.fixture
def visit():
    """Opens a page; `complaints` collects what the browser's console says."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1100})
        page.set_default_timeout(SLOW)
        page.complaints = []
        page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        yield page
        browser.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tiles(page, label: str) -> list[str]:
    """The alt texts of a grid's pictures, in order."""
    images = page.locator(f'.cdir-grid[aria-label^="{label}"] img')
    return images.evaluate_all("found => found.map(image => image.alt)")


def until(page, condition, what: str, seconds: float = 60) -> None:
    for _ in range(int(10 * seconds)):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"after {seconds} s still not: {what}")


def slider(page, name: str):
    """The handle of a slider, by its description."""
    return page.locator(f'.widget-hslider:has(label:text-is("{name}")) .noUi-handle').first


def moves_a_slider(page) -> None:
    """The keyboard moves k, and the grid follows."""
    until(page, lambda: len(tiles(page, "results, best")) == 10, "ten results")
    slider(page, "k").focus()
    page.keyboard.press("ArrowRight")
    until(page, lambda: len(tiles(page, "results, best")) == 11, "eleven results")
    page.keyboard.press("ArrowLeft")
    until(page, lambda: len(tiles(page, "results, best")) == 10, "ten results again")


def follows_a_result(page) -> None:
    """Enter on a result says where its rank comes from; a button makes it the query, and "back" returns."""
    before = tiles(page, "results, best")
    page.locator('.cdir-grid[aria-label^="results, best"] button').nth(1).press("Enter")
    until(page, lambda: page.get_by_text("Rank 2:").count() == 1, "the formula of the second result's score")
    page.get_by_role("button", name="make it the query").click()
    until(page, lambda: tiles(page, "results, best") != before, "the neighbours of the second result")
    page.get_by_role("button", name="back").first.click()
    until(page, lambda: tiles(page, "results, best") == before, "the first results again")


def draws(page) -> None:
    """Strokes on the canvas are ranked; an empty canvas gets a polite answer, and no error."""
    canvas = page.locator(".paint-canvas-area canvas")
    canvas.scroll_into_view_if_needed()
    page.get_by_title("Clear").click()
    until(page, lambda: page.get_by_text("the canvas is empty").count() == 1, "a polite message")
    assert tiles(page, "results for the query") == []
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 240, box["y"] + 250, steps=12)
    page.mouse.up()
    until(page, lambda: len(tiles(page, "results for the query")) == 10, "results for the drawing")
    until(page, lambda: page.get_by_text("Embedded and ranked in").count() == 1, "the time it took")
    page.get_by_title("Undo").click()
    until(page, lambda: page.get_by_text("the canvas is empty").count() == 1, "undone")


def selects_on_a_map(page) -> None:
    """A lasso on the left map shows images, and changes the right map."""
    maps = page.locator("canvas:not(.paint-canvas-area canvas):not([style*=pointer-events])")
    left, right = maps.nth(0), maps.nth(1)
    left.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)  # points arrive one frame after the canvas
    before = right.screenshot()
    box = left.bounding_box()
    corners = [(0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95), (0.05, 0.1)]
    page.get_by_title("Activate lasso selection").first.click()
    for number, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=20)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
    until(page, lambda: len(tiles(page, "selected images")) > 0, "selected images")
    until(page, lambda: len(tiles(page, "nearest images")) == 10, "what the first of them finds")
    until(page, lambda: right.screenshot() != before, "the selection on the other map")


def is_accessible(page) -> None:
    """Every picture of a grid has a text, every slider can be reached by keyboard, and nothing sticks out sideways."""
    assert page.locator('.cdir-grid img:not([alt]), .cdir-grid img[alt=""]').count() == 0
    handles = page.locator(".widget-hslider .noUi-handle")
    assert handles.count() >= 5
    assert handles.evaluate_all("found => found.every(handle => handle.tabIndex === 0)")
    page.set_viewport_size({"width": 1024, "height": 768})  # a projector
    page.wait_for_timeout(500)
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1]


def picture_of(page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def unknown_complaints(page) -> list[str]:
    return [text for text in page.complaints if not any(known in text for known in KNOWN_COMPLAINTS)]


def test_voila_shows_no_code_and_everything_moves(notebook, serve, visit):
    port = free_port()
    visit.goto(serve(serve_command(notebook, port=port, browser=False, lab=False), f"http://127.0.0.1:{port}/"))
    visit.wait_for_selector(".paint-canvas-area canvas")
    assert visit.get_by_text("import numpy").count() == 0
    moves_a_slider(visit)
    follows_a_result(visit)
    visit.locator('.cdir-grid[aria-label^="results, best"]').scroll_into_view_if_needed()
    picture_of(visit, "voila_retrieval")
    selects_on_a_map(visit)
    picture_of(visit, "voila_maps")
    draws(visit)
    picture_of(visit, "voila_drawing")
    is_accessible(visit)
    picture_of(visit, "voila_projector")
    assert unknown_complaints(visit) == []


def test_a_link_restores_a_state(notebook, serve, visit):
    """A click on "link to this state" opens the page again, with the same query and as many results."""
    port = free_port()
    visit.goto(serve(serve_command(notebook, port=port, browser=False, lab=False), f"http://127.0.0.1:{port}/"))
    until(visit, lambda: len(tiles(visit, "results, best")) == 10, "ten results")
    before = tiles(visit, "results, best")
    visit.locator('.cdir-grid[aria-label^="queries"] button').nth(3).press("Enter")
    until(visit, lambda: tiles(visit, "results, best") != before, "the results of another query")
    slider(visit, "k").focus()
    visit.keyboard.press("ArrowRight")
    until(visit, lambda: len(tiles(visit, "results, best")) == 11, "eleven results")
    shown = tiles(visit, "results, best")
    visit.get_by_role("link", name="link to this state").click()
    visit.wait_for_url("**k=11**")
    until(visit, lambda: tiles(visit, "results, best") == shown, "the same results", seconds=300)
    picture_of(visit, "voila_link")


def kernels() -> list[psutil.Process]:
    """The running kernels of all servers that this process has started."""
    return [child for child in psutil.Process().children(recursive=True) if _is_kernel(child)]


def _is_kernel(process: psutil.Process) -> bool:
    try:
        return "ipykernel_launcher" in " ".join(process.cmdline())
    except psutil.Error:  # it has ended since it was listed
        return False


def test_a_page_ends_its_kernel_and_says_when_it_has_ended(tmp_path, serve, visit):
    page = new_notebook(cells=[page_script(), new_code_cell("import ipywidgets\nipywidgets.IntSlider()")])
    nbformat.write(page, tmp_path / "page.ipynb")
    port = free_port()
    command = serve_command(tmp_path / "page.ipynb", port=port, browser=False, lab=False)
    visit.goto(serve(command, f"http://127.0.0.1:{port}/"))
    visit.wait_for_selector(".widget-slider")
    (first,) = kernels()
    visit.reload()
    visit.wait_for_selector(".widget-slider")
    until(visit, lambda: len(kernels()) == 1, "the kernel of the page before it was reloaded ends")
    (second,) = kernels()
    assert second.pid != first.pid
    visit.wait_for_timeout(6000)  # the page asks for its kernel every 5 s
    assert not visit.locator("#cdir-banner").is_visible() and visit.locator(".noUi-handle").is_enabled()
    second.kill()
    visit.locator("#cdir-banner").wait_for(state="visible")
    assert "reload" in visit.locator("#cdir-banner").inner_text()
    assert visit.locator(".widget-slider").evaluate("slider => slider.closest('[inert]') !== null")
    picture_of(visit, "voila_ended")
    visit.reload()
    visit.wait_for_selector(".widget-slider")
    visit.goto("about:blank")
    until(visit, lambda: kernels() == [], "a page that was left ends its kernel")


def runs_all_cells(visit):
    """Run > Run All Cells, again if nothing started: the notebook's own entries join the menu a moment later."""
    started = "[...document.querySelectorAll('.jp-InputPrompt')].some(prompt => prompt.textContent.includes('*'))"
    for _ in range(5):
        visit.wait_for_timeout(3000)
        visit.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        visit.locator('.lm-Menu [data-command="runmenu:run-all"]').click()
        try:
            return visit.wait_for_function(started, timeout=20_000)
        except sync_api.TimeoutError:
            visit.keyboard.press("Escape")
    pytest.fail("Run > Run All Cells started no cell")


@pytest.mark.slow
def test_jupyterlab_runs_all_and_everything_moves(notebook, serve, visit):
    port = free_port()
    settings = [
        "--IdentityProvider.token=",
        "--allow-root",
        "--LabApp.news_url=",
        f"--ServerApp.root_dir={notebook.parent}",
    ]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", *settings]
    url = serve(command, f"http://127.0.0.1:{port}/lab")
    visit.goto(f"{url}/tree/{notebook.name}")
    visit.wait_for_selector(".jp-Notebook .jp-Cell")
    runs_all_cells(visit)
    visit.wait_for_selector('.cdir-grid[aria-label^="results, best"]', state="attached")
    visit.locator('.cdir-grid[aria-label^="results, best"]').scroll_into_view_if_needed()
    moves_a_slider(visit)
    follows_a_result(visit)
    picture_of(visit, "lab_retrieval")
    visit.wait_for_selector(".paint-canvas-area canvas", state="attached")
    draws(visit)
    picture_of(visit, "lab_drawing")
    assert unknown_complaints(visit) == []
