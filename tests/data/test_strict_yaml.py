"""YAML of people: what it can do to a program is refused at once, in one line with the line's number."""

import time

import pytest
import yaml

from cdir_nb.data.strict_yaml import read_yaml
from cdir_nb.errors import CdirError
from cdir_nb.paths import MANIFEST, PROFILES

BOMB = "a: &a [1, 2]\n" + "".join(f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefgh", "bcdefghi"))


def test_every_card_and_profile_reads_as_pyyaml_reads_it():
    files = [*MANIFEST.glob("*/card.yaml"), *PROFILES.glob("*.yaml")]
    assert len(files) > 15
    for path in files:
        assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: 'a' appears twice"),
        ("a:\n  b: {c: 1, 'c': 2}", "line 2: 'c' appears twice"),
        ("a: " + "[" * 100_000, "line 1: nested more than 20 deep"),
        ("a: " + "{b: " * 30_000, "line 1: nested more than 20 deep"),
        ("? " * 50_000, "nested more than 20 deep"),
        (BOMB, "line 2: *a is one alias too many, or inside another's value"),
        ("a: &x [*x]", "*x is one alias too many"),
        ("a: &x 1\nb: [" + "*x, " * 101 + "]", "line 2: *x is one alias too many"),
        ("a: " + "1" * 200_000, "200,003 bytes, at most 200,000 are read"),
        ("a: !!python/object/apply:os.getcwd []", "tag tag:yaml.org,2002:python/object/apply:os.getcwd: leave it out"),
        ("a: !!int x", "tag tag:yaml.org,2002:int: leave it out"),
        ("a: 2026-13-45", "month must be in 1..12"),
        ("a: " + "9" * 5000, "not valid YAML: "),
        ("a: 0b_", "not valid YAML: "),
        ("1: a", "line 1: a key must be text: quote it"),
        ("<<: {a: 1}", "line 1: a key must be text: quote it"),
        ("a: \x07", "not valid YAML"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
        ("- 1", "it must consist of `field: value` lines"),
    ],
)
def test_what_can_harm_is_refused_at_once(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    start = time.process_time()
    with pytest.raises(CdirError) as caught:
        read_yaml(tmp_path / "a.yaml")
    assert message in str(caught.value) and str(caught.value).startswith(f"{tmp_path}/a.yaml: ")
    assert "\n" not in str(caught.value) and time.process_time() - start < 1


def test_text_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "a.yaml").write_bytes("about: Stra\xdfe".encode("latin-1"))
    with pytest.raises(CdirError, match=r"a\.yaml: not UTF-8 text \(byte 11\): save it as UTF-8"):
        read_yaml(tmp_path / "a.yaml")


def test_an_alias_of_a_plain_value_is_fine(tmp_path):
    (tmp_path / "a.yaml").write_text("a: &x [1, {b: 2}]\nc: *x")
    assert read_yaml(tmp_path / "a.yaml")["c"] == [1, {"b": 2}]
