"""YAML that users write: read as PyYAML reads it, or refused in one line with the line's number."""

import pytest
import yaml

from cdir_nb.data.strict_yaml import read_yaml
from cdir_nb.errors import CdirError
from cdir_nb.paths import MANIFEST, PROFILES


def test_every_card_and_profile_reads_as_pyyaml_reads_it():
    files = [*MANIFEST.glob("*/card.yaml"), *PROFILES.glob("*.yaml")]
    assert len(files) > 15
    for path in files:
        assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: 'a'"),
        ("a:\n  b: {c: 1, 'c': 2}", "line 2: 'c'"),
        ("a: " + "[" * 100_000, "line 1: nested"),
        ("a: !!python/object/apply:os.getcwd []", "python/object/apply:os.getcwd"),
        ("a: 2026-13-45", "month"),
        ("a: " + "9" * 5000, ""),
        ("a: 0b_", ""),
        ("1: a", "line 1"),
        ("a: \x07", ""),
        ("a: 1\n---\nb: 2", "line 2"),
        ("- 1", "`field: value`"),
        ("about: Stra\xdfe", "byte 11"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, text, value):
    (tmp_path / "a.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(CdirError) as error:
        read_yaml(tmp_path / "a.yaml")
    assert value in str(error.value) and str(error.value).startswith(f"{tmp_path}/a.yaml: ")
    assert "\n" not in str(error.value)
