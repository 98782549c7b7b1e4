"""Cards and stroke lines changed at random: each is read, or refused as bad input, and never anything else.

A sample here; `make fuzz` runs 10,000 cards and 100,000 lines.
"""

import random

import numpy as np
import pytest
from fuzzing import amount, rounds
from toy_data import CARD, drawing

from cdir_nb import paths
from cdir_nb.data import Card, ImageSet, load_card, load_protocol
from cdir_nb.data.manifest import _load_card, is_bundled
from cdir_nb.data.quickdraw import draw_strokes, parse_strokes, read_drawings
from cdir_nb.errors import CdirError

CARDS, LINES, AT_ONCE = amount(5_000, 50), amount(100_000, 1_000), 100
NASTY = ["null", "~", "true", "[]", "{}", "-1", "0", "1e400", ".nan", "1_000", "0b_", "2026-13-45", "*x", "&x", "!!int",
         "!!python/name:os.system", "<<", '""', "../..", "/dev/zero", "toy", "all", "photo", '"\\0"', "[[[[[[",
         '"\\u202e"', "9" * 22, "{a:{a:{a:", "-", "?", ":", ",", "]", "}", "|", ">", "%", "@", "#"]  # fmt: skip
NUMBERS = ["1e308", "-1e308", "1e400", "NaN", "Infinity", "9" * 400, "9" * 5000, "null", '"7"', "[1]", "{}", "true",
           "-0"]  # fmt: skip


def mutated(rng: random.Random, text: str, tokens: list[str]) -> str:
    """The text after one to four changes: a piece left out, doubled, replaced by a token, nested deeply, or moved."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text) + 1)
        stop = min(len(text), start + rng.choice([0, 1, 3, 10, 40]))
        piece = text[start:stop]
        nested = "[" * rng.choice([5, 5000])
        token = rng.choice(tokens)
        new = rng.choice(["", piece * 2, token, f" {token} ", nested, "\n", piece[::-1]])
        text = text[:start] + new + text[stop:]
    return text


def mutated_lines(rng: random.Random, text: str) -> str:
    """The text with some line's value, or the whole line, changed."""
    lines = text.splitlines()
    i = rng.randrange(len(lines))
    key, colon, _ = lines[i].partition(":")
    kind = rng.randrange(4)
    if kind == 0:
        lines[i] = f"{key}{colon} {rng.choice(NASTY)}"
    elif kind == 1:
        lines.insert(i, rng.choice(lines))
    elif kind == 2:
        del lines[i]
    else:
        lines[i] = " " * rng.randrange(6) + lines[i].strip()
    return "\n".join(lines)


def images_of(card: Card) -> ImageSet:
    """One picture for each domain and class, without a file."""
    rows = [(domain, label) for domain in card.domains for label in card.classes]
    keys = tuple(f"{domain}/{label}/0" for domain, label in rows)
    columns = np.array(rows, dtype=object).reshape(-1, 2).astype(str).T
    return ImageSet(keys, columns[0], columns[1], lambda key: None, keys)


def use(card: Card) -> None:
    """What notebooks do with a card."""
    is_bundled(card)
    for name in card.protocols:
        protocol = load_protocol(name, images_of(card))
        protocol.queries, protocol.galleries, protocol.first_precision  # noqa: B018
    assert all(isinstance(card.display(label), str) for label in card.classes)


@pytest.mark.medium
@pytest.mark.parametrize("name", ["toy", "world_doodle"])
def test_mutated_cards(name, manifest):
    bundled = paths.PACKAGE.parent / "data_manifest"
    if name != "toy":
        for folder in bundled.iterdir():
            (manifest / folder.name).symlink_to(folder)
        (manifest / name).unlink()
        (manifest / name).mkdir()
        for file in (bundled / name).glob("*.*"):
            (manifest / name / file.name).write_bytes(file.read_bytes())
    path, rng, read = manifest / name / "card.yaml", random.Random(7), 0
    whole = path.read_text()
    for _ in rounds(CARDS):
        change = mutated_lines(rng, whole) if rng.random() < 0.6 else mutated(rng, whole, NASTY)
        path.write_text(change, encoding="utf-8")
        _load_card.cache_clear()
        try:
            use(load_card(name))
            read += 1
        except CdirError as error:
            assert "\n" not in str(error), change
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}; the card was\n{change}") from error
    _load_card.cache_clear()
    assert 0 < read < CARDS and CARD["name"] == "toy"


def test_mutated_stroke_lines(tmp_path):
    rng, file = random.Random(7), tmp_path / "dog.ndjson"
    wholes = [drawing("7"), drawing("8", [((0, 5, 200), (0, 9, 31)), ((3,), (4,)), ((7, 8), (2, 1))])]
    read = 0
    for _ in rounds(LINES // AT_ONCE):
        lines = [mutated(rng, rng.choice(wholes), NUMBERS).replace("\n", " ") for _ in range(AT_ONCE)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        found = read_drawings(file)
        assert len(found.drawings) + len(found.bad) == AT_ONCE
        for line in found.drawings.values():
            assert (np.asarray(draw_strokes(parse_strokes(line), 32)) < 255).any(), f"a blank picture of {line!r}"
        read += len(found.drawings)
    assert 0 < read < LINES
