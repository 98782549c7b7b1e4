"""Tables of random records: no number is an average over two settings, and damaged tables are refused in one line.

All numbers of a setting are equal here, and those of two settings differ, so that a mean over two settings shows.
"""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fuzzing import FRACTION, amount, rounds

from cdir_nb.conventions import SELECTION_RULES
from cdir_nb.errors import CdirError
from cdir_nb.results import Record, load_records, to_frame
from cdir_nb.results.files import save_table
from cdir_nb.results.summary import summarise
from cdir_nb.results.tables import by_direction, direction_tables, headline

FRAMES, ROWS, TABLES = amount(80, 1), 10_000 if FRACTION else 500, amount(2_000, 5)
DOMAINS = ("real", "sketch", "clipart", "quickdraw")
FIRST = ("real", "sketch")
OTHERS = [(query, gallery) for query in DOMAINS for gallery in DOMAINS if query == FIRST[0] or gallery == FIRST[1]]
METRICS = ("P@10:hits_over_k", "P@200:hits_over_k", "mAP@all:over_relevant", "mAP@200:over_found", "accuracy:top-1")
CHOICES = {
    "method": ("vanilla CLIP", "UCDIR", "mine", "m: a"),
    "dataset": ("world", "pacs"),
    "protocol": ("", "world-unseen", "no such"),
    "metric": METRICS,
    "encoder": ("tiny-clip [1a2b]", "ViT-B-32:random [3c4d]"),
    "selection_rule": SELECTION_RULES,
    "train_set": ("no image", "seen classes"),
    "test_set": ("20 classes", "training images of the seed"),
    "settings": ({}, {"rate": 0.1}, {"rate": 0.2}, {"rate": {"a": 1, "b": [1, None]}}, {"similarity": "cosine"}),
    "data_at_test_time": ((), ("gallery",), ("all queries", "gallery")),
    "seen_in_pretraining": (0, 3),
}
NASTY = (
    *(
        "",
        "nan",
        "inf",
        "-1",
        "1e400",
        "2",
        "None",
        "null",
        "True",
        "[1]",
        "{}",
        '"',
        "''",
        ",",
        ";",
        "\n",
        "\r",
        "\x00",
    ),
    *("\ufeff", "\t", "9" * 400, "{" * 3000, "\u65e5", "unknown", "2026-13-45", "P@0:hits_over_k", "0x1", "\x00"),
)


def random_records(rng: random.Random, count: int) -> tuple[list[Record], dict[tuple, float]]:
    """Records of settings that often differ in one field, and {setting: its value}.

    Each run has the direction real -> sketch, and others with the same queries or gallery, which tell its images apart.
    """
    records, values = [], {}
    images = rng.choice([("",), ("1",), ("1", "2")])
    common = {name: rng.choice(choices) for name, choices in CHOICES.items()}
    varied = rng.sample(list(CHOICES), rng.randint(1, len(CHOICES)))
    while len(records) < count:
        fields = common | {name: rng.choice(CHOICES[name]) for name in varied}
        image_set = rng.choice(images)
        key = (*map(str, fields.values()), image_set)
        value = values.setdefault(key, rng.random())
        seeds = rng.sample(range(3), rng.randint(1, 3))
        for direction in [FIRST, *rng.sample(OTHERS, rng.randint(0, len(OTHERS)))]:
            place = dict(zip(("query_domain", "gallery_domain"), direction))
            if image_set:
                fingerprints = [f"{image_set}{domain}".encode().hex()[:16] for domain in direction]
                place |= dict(zip(("query_fingerprint", "gallery_fingerprint"), fingerprints))
            for seed in seeds if direction == FIRST else rng.sample(seeds, rng.randint(1, len(seeds))):
                records.append(Record(**fields, **place, value=value, seed=seed, steps=rng.choice([None, 0, 7])))
    return records, values


def check_summary(frame, values: np.ndarray) -> None:
    """Every percentage of the summary is the value of one setting, and every gain the difference of two."""
    for block in summarise(frame):
        for line in block.lines:
            assert np.abs(values - line.percent / 100).min() < 1e-9, f"{line} is an average over settings"
            assert not line.spread or line.spread < 1e-9
            if line.gain is not None:
                assert np.abs(values - (line.percent - line.gain) / 100).min() < 1e-9, f"{line}: the gain"
        assert str(block)


def check_tables(records: list[Record], frame, values: np.ndarray) -> None:
    printed = {f"{100 * value:.2f}" for value in values}
    for text in headline(frame)[0]["percent"]:
        assert text.removesuffix(" ± 0.00") in printed, f"{text} is an average over settings"
    for name, _, table in direction_tables(frame):
        numbers = table.to_numpy(float)
        for number in numbers[~np.isnan(numbers)]:
            assert np.abs(values - number / 100).min() < 1e-9, f"{name}: {number} is an average over settings"
    for metric in METRICS:
        numbers = by_direction([record for record in records if record.seed < 2], metric).to_numpy(float)
        assert all(np.abs(values - number / 100).min() < 1e-9 for number in numbers[~np.isnan(numbers)])


def refused(check: Callable, *arguments: object) -> bool:
    """Whether a check raises CdirError, with a message of one line."""
    try:
        check(*arguments)
    except CdirError as error:
        assert "\n" not in str(error)
        return True
    return False


def test_no_number_is_an_average_over_two_settings(tmp_path):
    rng, checked = random.Random(7), 0
    for _ in rounds(FRAMES):
        records, by_setting = random_records(rng, ROWS)
        save_table(records, tmp_path / "n.csv")
        refused(load_records, tmp_path / "n.csv")  # one setting on two sets of images
        values, frame = np.array(list(by_setting.values())), to_frame(records)
        checked += not refused(check_summary, frame, values)
        refused(check_tables, records, frame, values)
    assert checked


def use(table: Path) -> None:
    frame = to_frame(load_records(table))
    for block in summarise(frame):
        str(block)
    headline(frame)


@pytest.mark.medium
def test_damaged_tables_are_read_or_refused(tmp_path):
    rng, read, path, text = random.Random(8), 0, tmp_path / "n.csv", ""
    for number in rounds(TABLES):
        if number % 100 == 0:
            save_table(random_records(rng, 100)[0], path)
            text = path.read_text(encoding="utf-8")
        cells = text.split(",")
        for _ in range(rng.randint(1, 3)):
            cells[rng.randrange(len(cells))] = rng.choice(NASTY)
        damaged = ",".join(cells)
        end = rng.choice([len(damaged), rng.randrange(len(damaged))])
        path.write_text(damaged[:end], encoding="utf-8", newline="")
        read += not refused(use, path)
    assert read < TABLES
