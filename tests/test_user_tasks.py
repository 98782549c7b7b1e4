"""What a new user wants to do with runs and results, done with the commands of the README."""

import csv
import gzip
import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import pytest
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.paths import ROOT
from cdir_nb.results import Record, load_records, save_records
from cdir_nb.results.files import REPRODUCED, SETTINGS

TABLE = REPRODUCED / "pacs-heldout-real-clip.csv.gz"
METRIC = "mAP@200:over_min_k_relevant"
LATEX_ROW = re.compile(r"^ +([^&\n]+?) & (.+) \\\\$", re.M)


def cdir(*words) -> str:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return done.output


def rows() -> list[dict[str, str]]:
    """The committed numbers of one task, read without the package."""
    with gzip.open(TABLE, "rt") as handle:
        return [row for row in csv.DictReader(handle) if row["protocol"] == "pacs-heldout"]


@pytest.mark.medium
def test_a_latex_table_of_one_task_in_tki_s_convention():
    latex = cdir("results", TABLE, "--task", "pacs-heldout", "--metric", "mAP@200", "--as", "TKI", "--latex")
    printed = {name: cells.split(" & ")[0] for name, cells in LATEX_ROW.findall(latex)}
    by_seed = defaultdict(lambda: defaultdict(list))
    for row in rows():
        if row["metric"] == METRIC and row["gallery_domain"] != row["query_domain"]:
            by_seed[row["method"]][row["seed"]].append(100 * float(row["value"]))
    for name in ("TKI", "TKI, Euclidean", "TKI, strategy 2"):
        runs = [mean(values) for values in by_seed[name].values()]
        assert printed[name] == rf"{mean(runs):.2f} $\pm$ {stdev(runs):.2f}"
    assert printed["vanilla CLIP"] == f"{mean(by_seed['vanilla CLIP']['0']):.2f} (1 seed)"
    assert latex.count(r"\begin") == latex.count(r"\end") == 2 and r"over\_min\_k\_relevant" in latex
    assert "hits" not in latex and not re.search(r"(?<!\\)[%_]", latex)
    reported = cdir("results", TABLE, "--task", "pacs-heldout", "--as", "TKI", "--csv", "-")
    conventions = {row["metric"].partition(":")[2] for row in csv.DictReader(reported.splitlines())}
    assert conventions == {"over_min_k_relevant", "hits_over_k"}, "and not mAP@all:over_relevant"


@pytest.mark.medium
def test_the_settings_of_a_committed_number():
    row = next(row for row in rows() if row["method"] == "TKI, small ball")
    shown = cdir("settings", row["settings_digest"])
    stored = json.loads((REPRODUCED / SETTINGS).read_text())[row["settings_digest"]]
    values = dict(re.findall(r"(?m)^  (\S+) += (.*)$", shown))
    plain = {name: str(value) for name, value in stored.items() if type(value) in (int, float, str)}
    assert plain and plain.items() <= values.items()
    assert "TKI, small ball, pacs-heldout" in shown


@pytest.mark.medium
def test_a_paired_comparison():
    words = ["--task", "pacs-heldout", "--metric", METRIC, "--run", TABLE]
    shown = cdir("compare", "TKI", "vanilla CLIP", *words)
    printed = cdir("results", TABLE, "--task", "pacs-heldout", "--method", "TKI", "--metric", METRIC)
    gain = float(re.search(r"(?m)^ +TKI .*?([+-]\d+\.\d\d) ", printed)[1])
    assert float(re.search(r"minus vanilla CLIP: ([+-]\d+\.\d\d)", shown)[1]) == pytest.approx(gain, abs=0.02)
    assert "95 % interval" in shown


def number(method, direction, value, **more):
    task = {"dataset": "world", "protocol": "world-unseen", "encoder": "tiny-clip [1a2b]"}
    about = {**task, "metric": "P@10:hits_over_k", "selection_rule": "nothing selected", "seed": 0, **more}
    query, gallery = direction
    return Record(method=method, query_domain=query, gallery_domain=gallery, value=value, **about)


AWAY, BACK = ("real", "sketch"), ("sketch", "real")
VANILLA = [number("vanilla CLIP", AWAY, 0.40), number("vanilla CLIP", BACK, 0.60)]


def test_a_choice_that_no_number_meets_names_those_that_there_are(tmp_path):
    save_records(VANILLA, tmp_path, "r")
    for words, known in (
        (["--task", "elsewhere"], "world-unseen"),
        (["--direction", "sketch:photo"], "real:sketch"),
        (["--metric", "P@11"], "P@10:hits_over_k"),
        (["--method", "mine"], "vanilla CLIP"),
        (["--rule", "the best"], "last epoch"),
        (["--as", "nobody"], "TKI"),
        (["--as", "UCDIR"], "ucdir_micro"),
    ):
        done = CliRunner().invoke(app, ["results", str(tmp_path), *words])
        assert done.exit_code == 2 and words[1] in done.output and known in done.output
        assert done.output.count("\n") == 1


def test_a_choice_of_numbers_reaches_the_table_and_the_file(tmp_path):
    last = {"selection_rule": "last epoch", "settings": {"x": 1}}
    mine = [number("mine", place, value, **last) for place, value in ((AWAY, 0.7), (BACK, 0.9))]
    save_records([*VANILLA, *mine, number("other", AWAY, 0.8, **last)], tmp_path / "run", "r")
    words = ["--method", "mine", "--direction", "real:sketch", "--rule", "last epoch"]
    shown = cdir("results", tmp_path / "run", *words, "--markdown", "--csv", tmp_path / "n.csv")
    table = [re.split(r" *\| *", line)[1:3] for line in shown.splitlines() if line.startswith("| ")]
    assert table[1:] == [["vanilla CLIP", "40.00 (1 seed)"], ["mine", "70.00 (1 seed)"]]
    assert [record.value for record in load_records(tmp_path / "n.csv")] == [0.4, 0.7]
    printed = list(csv.DictReader(cdir("results", tmp_path / "run", *words, "--csv", "-").splitlines()))
    assert [(row["method"], row["value"]) for row in printed] == [("vanilla CLIP", "0.4"), ("mine", "0.7")]
    assert not (Path.cwd() / "-").exists()


@pytest.mark.medium
@pytest.mark.parametrize("words", [[], ["--slides"]])
def test_an_exported_notebook_needs_no_network_and_shows_its_formulas(words, tmp_path):
    cdir("export", "07", "--out", tmp_path / "a.html", *words)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<math" in page and "data:image/" in page and "<script" not in page
    assert not re.search(r"(?:src|<link[^>]*href)=[\"']?https?:", page)
    assert (page.count('<section class="slide">') > 10) == bool(words)


@pytest.mark.slow
def test_an_own_trained_method_with_three_seeds_beside_clair(tmp_path, monkeypatch):
    """The README's second method, and the committed numbers of CLAIR on the same images."""
    code = (ROOT / "README.md").read_text(encoding="utf-8").split("## A method of your own")[1].split("```python\n")[2]
    monkeypatch.chdir(tmp_path)
    exec(compile(code.split("```")[0], "README.md", "exec"), {"__name__": "mine"})
    runs = [Path("runs/mine"), REPRODUCED / "clair-world.csv.gz"]
    shown = cdir(
        "results", *runs, "--task", "world-unseen", "--method", "turned CLIP", "--method", "CLAIR", "--markdown"
    )
    block = next(part for part in shown.split("\n\n") if "| turned CLIP" in part)
    assert re.search(r"\| turned CLIP \| \d+\.\d\d ± \d", block) and re.search(r"\| CLAIR\b.* \| \d+\.\d\d ± ", block)
