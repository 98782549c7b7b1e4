"""The command line: help that teaches, one-line errors, exit codes. (Running notebooks: tests/run.)"""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from run_folders import GOOD, record, write_run
from typer.testing import CliRunner

from cdir_nb.cli import app
from cdir_nb.errors import CdirError
from cdir_nb.results import Record, load_records, save_records


def cdir(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def error_of(*words) -> str:
    done = cdir(*words)
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    return done.stderr


def test_help_teaches_with_examples():
    assert "cdir reproduce --profile pacs --data pacs=PATH" in cdir("--help").stdout
    assert "cdir reproduce --set seed=1 --set 03_frozen_vectors.seed=2" in cdir("reproduce", "--help").stdout
    for command in ("results", "verify", "search", "export", "card"):
        help_text = cdir(command, "--help").stdout
        assert "Example" in help_text and f"cdir {command} " in help_text.split("Example", 1)[1]


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from cdir_nb.cli import app; "
        "CliRunner().invoke(app, ['--help']); CliRunner().invoke(app, ['reproduce', '--list']); "
        "print({'torch', 'pandas', 'nbconvert', 'matplotlib', 'open_clip'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_list_says_what_each_profile_needs():
    text = cdir("reproduce", "--list").stdout
    assert "needs: --data pacs=PATH" in text and "needs: nothing" in text and "01_clip_zero_shot" in text
    sketchy = text.split("\nsketchy-21\n")[1].split("\nsketchy_mini\n")[0]
    assert "encoder: ViT-B-32:openai; settings CLAIR-A\n" in sketchy and "needs: --data sketchy_extended" in sketchy
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    "words,message",
    [
        (["--profile", "moon"], "unknown profile 'moon'; known: "),
        (["--profile", "pacs"], "profile pacs needs the images of pacs: add --data pacs=PATH"),
        (["--profile", "pacs", "--data", "pacs=/no/where"], "--data pacs=/no/where: folder not found"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(words, message, tmp_path):
    assert message in error_of("reproduce", "--out", tmp_path, *words)
    assert not list(tmp_path.iterdir())


def test_results_prints_numbers_with_their_context(tmp_path):
    save_records([Record(**GOOD)], tmp_path / "a", "r")
    save_records(
        [Record(**{**GOOD, "value": 0.25, "query_domain": "sketch", "gallery_domain": "real"})], tmp_path / "b", "r"
    )
    done = cdir("results", tmp_path / "a", tmp_path / "b", "--csv", tmp_path / "n.csv")
    assert done.exit_code == 0 and "37.50" in done.stdout and "P@10:hits_over_k" in done.stdout
    assert "PIPELINE TEST" not in done.stdout and "(a drawn world: not the papers' data)" in done.stdout
    assert max(map(len, done.stdout.split(f"2 records written to {tmp_path}")[0].splitlines())) <= 100
    assert (tmp_path / "n.csv").read_text().count("\n") == 3 and len(load_records(tmp_path)) == 2


def test_results_are_short_unless_all_are_asked_for(tmp_path):
    records = [Record(**{**GOOD, "metric": f"P@{k}:hits_over_k", "value": k / 100}) for k in (10, 1, 50)]
    save_records(records, tmp_path, "r")
    short, full = cdir("results", tmp_path).stdout, cdir("results", tmp_path, "--all").stdout
    assert "10.00" in short and "50.00" not in short and "add --all" in short
    assert all(
        text in full for text in ("P@1:hits_over_k ", "P@10:hits_over_k ", "P@50:hits_over_k ", "50.00", "seeds: 0")
    )
    assert "--all" not in full and "(a drawn world: not the papers' data)" in full


def test_results_without_precision_between_domains_say_where_the_others_are(tmp_path):
    save_records([Record(**{**GOOD, "metric": "accuracy:top-1"})], tmp_path, "r")
    done = cdir("results", tmp_path)
    assert done.exit_code == 0 and "no precision was measured between two domains" in done.stdout
    assert "--all" in done.stdout
    assert "accuracy" in cdir("results", tmp_path, "--all").stdout


def test_results_kept_as_tables_give_the_same_records_back(tmp_path):
    import pandas as pd
    from fastparquet import ParquetFile

    more = {"moved": {"head": 0.5}, "steps": 7, "settings": {"rate": 0.1}, "data_at_test_time": ["gallery"]}
    found = [Record(**GOOD), Record(**{**GOOD, "metric": "mAP@all:over_found", "value": 1 / 3, **more})]
    save_records(found, tmp_path / "run", "r")
    files = tmp_path / "n.csv", tmp_path / "n.parquet"
    done = cdir("results", tmp_path / "run", "--csv", files[0], "--parquet", files[1])
    assert all(f"2 records written to {file}" in done.stdout for file in files)
    assert load_records(files[0]) == found
    whole, csv = ParquetFile(str(files[1])).to_pandas(), pd.read_csv(files[0], keep_default_na=False, dtype=str)
    assert list(whole.columns) == list(csv.columns) and whole["metric"].tolist() == csv["metric"].tolist()
    assert whole["value"].tolist() == [0.5, 1 / 3] and whole["moved"].tolist() == ["", '{"head": 0.5}']
    assert cdir("results", files[0]).stdout.splitlines()[:4] == done.stdout.splitlines()[:4]


def test_results_begin_with_a_dataset_of_other_size_than_its_card_s(tmp_path):
    few = {**GOOD, "dataset": "pacs", "image_counts": "168 of 9,991 images"}
    save_records([Record(**few)], tmp_path, "r")
    for options in ((), ("--all",)):
        assert cdir("results", tmp_path, *options).stdout.startswith("pacs, 168 of 9,991 images\n")


def test_tables_are_written_although_the_reader_of_the_output_ends(tmp_path, monkeypatch):
    save_records([Record(**GOOD)], tmp_path / "run", "r")

    def closed(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr("typer.echo", closed)
    cdir("results", tmp_path / "run", "--csv", tmp_path / "a.csv", "--parquet", tmp_path / "b.parquet", "--all")
    assert load_records(tmp_path / "a.csv") == load_records(tmp_path / "b.parquet") == [Record(**GOOD)]


def test_results_of_runs_on_different_images_are_apart_and_named(tmp_path):
    for seed, prints in enumerate("ab"):
        record = Record(**{**GOOD, "seed": seed, "value": 0.4 + 0.2 * seed, "query_fingerprint": prints})
        save_records([record], tmp_path / prints, "r")
    output = cdir("results", tmp_path / "a", tmp_path / "b").stdout
    assert "40.00" in output and "60.00" in output and "50.00" not in output and "different sets of images" in output


def test_results_refuses_two_values_of_one_setting(tmp_path):
    for name, value in (("a", 0.5), ("b", 0.6)):
        save_records([Record(**{**GOOD, "value": value})], tmp_path / name, "r")
    message = error_of("results", tmp_path / "a", tmp_path / "b", "--csv", tmp_path / "n.csv")
    assert "two values of one setting" in message and str(tmp_path / "b") in message
    assert not (tmp_path / "n.csv").exists()


def test_results_marks_random_weights(tmp_path):
    save_records([Record(**{**GOOD, "encoder": "ViT-B-32:random"})], tmp_path, "r")
    for words in ([], ["--all"]):
        text = cdir("results", tmp_path, *words).stdout
        assert "*** PIPELINE TEST (random weights): these numbers are not results ***" in text


def test_results_without_numbers_is_an_error(tmp_path):
    assert f"no numbers in {tmp_path}: run `cdir reproduce` first" in error_of("results", tmp_path)
    assert "no run folder" in error_of("results", tmp_path / "gone")


@pytest.mark.parametrize("ok,code", [(True, 0), (False, 1)])
def test_verify_prints_its_report_and_fails_if_not_ok(ok, code, monkeypatch, tmp_path):
    import cdir_nb.data

    class Report(SimpleNamespace):
        def __str__(self) -> str:
            return "3 files missing"

    monkeypatch.setattr(cdir_nb.data, "load_card", lambda name: name)
    monkeypatch.setattr(cdir_nb.data, "verify", lambda card, root: Report(ok=ok))
    done = cdir("verify", "pacs", tmp_path)
    assert done.exit_code == code and done.stdout == "3 files missing\n"


@pytest.mark.parametrize("charset", ["cp1252", "utf-8"])
def test_characters_that_the_terminal_lacks_are_escaped(charset, monkeypatch, tmp_path):
    import cdir_nb.data

    name = "broken \u2192 \U0001f3b8.jpg"
    monkeypatch.setattr(cdir_nb.data, "load_card", lambda name: name)
    monkeypatch.setattr(cdir_nb.data, "verify", lambda card, root: Shown(name))
    done = CliRunner(charset=charset).invoke(app, ["verify", "pacs", str(tmp_path)])
    assert done.exit_code == 0
    assert done.stdout == (name if charset == "utf-8" else r"broken \u2192 \U0001f3b8.jpg") + "\n"


class Shown(SimpleNamespace):
    """A report with this text."""

    def __init__(self, text: str) -> None:
        super().__init__(ok=True, text=text)

    def __str__(self) -> str:
        return self.text


def test_verify_of_an_unknown_dataset_is_one_line(tmp_path):
    assert "moon" in error_of("verify", "moon", tmp_path)


def test_ctrl_c_says_how_to_go_on(monkeypatch, tmp_path):
    from cdir_nb.run import profile

    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(profile, "load_profile", interrupted)
    done = cdir("reproduce")
    assert done.exit_code == 130 and "run the same command again to resume" in done.stderr


def test_an_error_is_never_a_traceback(monkeypatch, tmp_path):
    from cdir_nb.run import profile

    def wrong(name):
        raise CdirError("what, where, and the remedy")

    monkeypatch.setattr(profile, "load_profile", wrong)
    assert error_of("reproduce") == "error: what, where, and the remedy\n"


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("ViT-B32:openai", "ViT-B-32"),
        ("ViT-B-32:openai", "could not be downloaded"),
        ("ViT-B-32:/nowhere/weights.pt", "/nowhere/weights.pt"),
    ],
)
@pytest.mark.medium
def test_an_encoder_that_cannot_be_had_is_refused_before_any_notebook_runs(encoder, message, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert message in error_of("reproduce", "--encoder", encoder, "--out", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


# --- disks that are full or read-only, and other trouble of the system


@pytest.mark.medium
def test_what_cannot_be_written_is_one_line(tmp_path):
    save_records([Record(**GOOD)], tmp_path / "run", "r")
    (tmp_path / "file").touch()
    for words in (
        ["results", tmp_path / "run", "--csv", tmp_path / "file" / "n.csv"],
        ["results", tmp_path / "run", "--parquet", "/proc/n.parquet"],
    ):
        assert "; check the path, its permissions and the free disk space" in error_of(*words)
    for folder in (tmp_path / "file" / "runs", tmp_path / ("x" * 300)):
        assert "--out" in error_of("reproduce", "--out", folder)


def test_a_report_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    run = write_run(tmp_path / "run", [record()])
    assert "file" in error_of("report", run, "--out", tmp_path / "file" / "report")
    assert "File name too long" in error_of("report", run, "--out", tmp_path / ("x" * 300))


def test_names_that_the_system_refuses_are_one_line(tmp_path):
    assert "File name too long" in error_of("results", tmp_path / ("x" * 300))
    assert "unknown profile" in error_of("reproduce", "--profile", "x" * 300)
    assert "File name too long" in error_of("reproduce", "--profile", f"{'x' * 300}.yaml")
    assert "no such user" in error_of("reproduce", "--profile", "pacs", "--data", "pacs=~nouser/x")
    assert "no such user" in error_of("reproduce", "--encoder", "ViT-B-32:~nouser/x.pt")
