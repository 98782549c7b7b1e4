"""Strokes to pictures, and every bad line named."""

import numpy as np
import pytest
from toy_data import drawing, write_card

from cdir_nb.data import open_dataset
from cdir_nb.data.quickdraw import MARGIN, SIZE, draw_strokes, parse_strokes, read_drawings
from cdir_nb.errors import CdirError


def ink(strokes, size=SIZE) -> np.ndarray:
    """(size, size) darkness, 0 to 255."""
    return 255 - np.asarray(draw_strokes(parse_strokes(drawing("1", strokes).encode()), size))[..., 0].astype(int)


@pytest.fixture
def root(tmp_path, manifest):
    domains = {"quickdraw": {"word": "quickdraw", "total": 4, "known": "made here"}}
    write_card(manifest, "ink", kind="ndjson", domains=domains, counts=2, protocols=None)
    folder = tmp_path / "ink"
    folder.mkdir()
    (folder / "alarm clock.ndjson").write_text(drawing("7") + "\n" + drawing("8", [((0, 0), (0, 9))]) + "\n")
    (folder / "dog.ndjson").write_text(drawing("7") + "\n" + drawing("9", [((5,), (5,))]))
    return folder


def opened(root, **options):
    return open_dataset("ink", root, progress=False, **options)


@pytest.mark.parametrize("size", [64, 224, 256])
def test_a_drawing_fills_the_picture_and_is_centred(size):
    dark = ink([((0, 200, 200, 0, 0), (0, 0, 100, 100, 0))], size) > 100
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    edge = MARGIN * size / SIZE
    assert columns[0] == pytest.approx(edge, abs=3) and columns[-1] == pytest.approx(size - edge, abs=3)
    assert rows[0] + rows[-1] == pytest.approx(size, abs=2)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(0.5, abs=0.03)  # proportions kept


def test_lines_are_antialiased_black_on_white_and_not_filled():
    dark = ink([((0, 250, 120, 0), (0, 30, 240, 0))])
    assert dark.max() == 255 and dark[0, 0] == 0
    assert ((dark > 0) & (dark < 255)).sum() > 100
    assert dark[SIZE // 2 - 20, SIZE // 2] == 0  # inside of the triangle


def test_a_single_point_is_a_dot_in_the_middle():
    dark = ink([((5,), (5,))])
    rows, columns = np.nonzero(dark)
    assert len(rows) and rows.mean() == pytest.approx(SIZE / 2, abs=1) == columns.mean()


def test_files_names_and_keys(root):
    images = opened(root)
    assert images.keys == ("quickdraw/dog/7", "quickdraw/dog/9", "quickdraw/alarm_clock/7", "quickdraw/alarm_clock/8")
    assert images.labels.tolist() == ["dog", "dog", "alarm_clock", "alarm_clock"]
    assert images.image(0).mode == "RGB" and images.image(0).size == (SIZE, SIZE)
    assert images.digests[0] == images.digests[2] != images.digests[1]  # equal strokes, equal pictures


def test_bad_lines_are_named_and_skipped_only_by_choice(root, caplog):
    lines = [drawing("1"), "{cut", '{"key_id": "2"}', '{"drawing": [[[1, 2], [1]]]}', drawing("1"), '"text"', "[1]"]
    (root / "dog.ndjson").write_text("\n".join(lines))
    with pytest.raises(CdirError) as caught:
        opened(root)
    text = str(caught.value)
    assert "6 drawings bad: dog.ndjson line 2 (unreadable: " in text and "skip_bad=True" in text
    assert "line 3 (unreadable: no drawing)" in text and "line 5 (unreadable: key_id 1 appears twice)" in text
    assert "line 4 (unreadable: a stroke's x and y differ in length or are empty)" in text
    assert len(opened(root, skip_bad=True)) == 3
    assert "skipped 6 drawings (bad)" in caplog.text


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"drawing": ' + "[" * 100_000, "nested too deeply"),
        ('{"drawing": [[[0, 1e308], [0, 1e308]]]}', "a coordinate is not a number between -1,000,000 and 1,000,000"),
        ('{"drawing": [[[0, -1e400], [0, 1]]]}', "a coordinate is not a number between"),
        ('{"drawing": [[[0, ' + "9" * 400 + "], [0, 1]]]}", "a coordinate is not a number between"),
        ('{"drawing": [[[0, ' + "9" * 5000 + "], [0, 1]]]}", "4300 digits"),
        ('{"drawing": [[[0, "7"], [0, 1]]]}', "a coordinate is not a number between"),
        ('{"drawing": [[[0, null], [0, 1]]]}', "a coordinate is not a number between"),
        ('{"drawing": [[[true], [false]]]}', "a coordinate is not a number between"),
        ('{"drawing": [[[[1], [2]], [0, 1]]]}', "a stroke's x and y differ in length or are empty"),
        ('{"drawing": [[[0, 1]]]}', "a stroke has no x or no y"),
        ('{"drawing": ["ab"]}', "a stroke has no x or no y"),
        ('{"drawing": [[[' + "1, " * 400_000 + "1], [1]]]}", "bytes, at most 1,000,000 are read"),
    ],
)
def test_hostile_lines_are_named_and_the_others_read(root, line, problem):
    (root / "dog.ndjson").write_text(f"{drawing('1')}\n{line}\n{drawing('2')}")
    with pytest.raises(CdirError, match=f"1 drawing bad: dog.ndjson line 2 .unreadable: .*{problem}"):
        opened(root)
    assert len(opened(root, skip_bad=True)) == 4
    (wrong,) = read_drawings(root / "dog.ndjson").bad
    assert len(wrong) < 250


def test_wrong_roots_and_unknown_files(root, tmp_path):
    with pytest.raises(CdirError, match="has no .ndjson files; expected .*/<class>.ndjson"):
        opened(tmp_path)
    (root / "zigzag.ndjson").write_text(drawing("1"))
    with pytest.raises(CdirError, match="1 file not in the card: zigzag.ndjson.*skip_unknown=True"):
        opened(root)
    assert len(opened(root, skip_unknown=True)) == 4


def test_nothing_but_bad_lines(root):
    for path in root.iterdir():
        path.write_text("")
    with pytest.raises(CdirError, match="has no drawings"):
        opened(root, skip_bad=True)
