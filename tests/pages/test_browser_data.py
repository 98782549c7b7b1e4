"""Data of the browser of records: every number is in a record and back, and each command gives the settings again."""

import base64
import gzip
import json
import re
import shlex

import pytest
import yaml
from run_folders import record

from cdir_nb.errors import CdirError
from cdir_nb.methods.table import METHODS
from cdir_nb.pages.browser import browser_data, browser_page, write_browser
from cdir_nb.results import load_records
from cdir_nb.results.files import REPRODUCED

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def records():
    return load_records(REPRODUCED / "pacs-heldout-real-clip.csv.gz")[::7]


def column(part, name: str, count: int) -> list:
    found = part[name]
    return [found["values"][code] for code in found.get("codes", [0] * count)]


def test_every_number_and_its_context_is_in_a_record_and_back(records):
    packed = re.search(r'id="data">([^<]+)<', browser_page(browser_data(records), "a & b"))[1]
    data = json.loads(gzip.decompress(base64.b64decode(packed)))
    rows, values = data["records"]["row"], data["records"]["value"]
    names = ["method", "metric", "selection_rule", "settings_digest", "encoder", "protocol"]
    of_rows = list(zip(*(column(data["rows"], name, max(rows) + 1) for name in names)))
    more = ["query_domain", "gallery_domain", "seed", "steps", "measuring_commit", "date"]
    of_records = zip(*(column(data["records"], name, len(rows)) for name in more))
    shown = sorted(map(str, ((*of_rows[row], *rest, value) for row, rest, value in zip(rows, of_records, values))))
    fields = [*names, *more]
    assert shown == sorted(str((*(getattr(r, n) for n in fields), round(r.value, 6))) for r in records)
    assert all(data["settings"][r.settings_digest] == json.loads(json.dumps(r.settings)) for r in records)


def test_a_command_gives_the_settings_of_its_row():
    tables = ("pacs-heldout-real-clip.csv.gz", "snmpnet-sketchy.csv")
    records = [r for name in tables for r in {x.settings_digest: x for x in load_records(REPRODUCED / name)}.values()]
    data = browser_data(records)
    count, checked = max(data["records"]["row"]) + 1, 0
    for command, digest in zip(*(column(data["rows"], name, count) for name in ("command", "settings_digest"))):
        if not command:
            continue
        words = shlex.split(command)
        options = list(zip(words[2::2], words[3::2]))
        method, encoder = METHODS[dict(options)["--method"]], dict(options)["--encoder"]
        given = dict(value.split("=", 1) for name, value in options if name == "--set")
        settings = {name: value if name == "semantics" else yaml.safe_load(value) for name, value in given.items()}
        named = {"named": method.for_encoder[encoder]} if encoder in method.for_encoder else {}
        made = method.configured(variant=dict(options).get("--variant"), settings={**named, **settings})
        wanted = {
            n: v for n, v in data["settings"][digest].items() if n in type(made).model_fields and n != "semantics"
        }
        found = json.loads(made.model_dump_json())
        assert {name: found[name] for name in wanted} == wanted, command
        checked += 1
    assert checked > 30


def test_text_from_a_record_is_no_html():
    page = browser_page(browser_data([record(method="<script>alert(1)</script>")]), "<b>")
    assert "<script>alert" not in page and "<b>" not in page


def test_a_page_of_no_records_is_refused(tmp_path):
    with pytest.raises(CdirError, match="no records"):
        write_browser([], tmp_path / "page.html", "nothing")


@pytest.mark.slow
def test_the_page_of_all_committed_records_is_small(tmp_path):
    records = [r for path in sorted(REPRODUCED.glob("*.csv*")) for r in load_records(path)]
    assert write_browser(records, tmp_path / "page.html", "all").stat().st_size < 5e6
