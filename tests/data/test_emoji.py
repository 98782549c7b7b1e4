"""The bundled emoji: images sound and different, every concept in every style, split and chance levels as stated."""

import csv
import io
import re
from collections import Counter

import emoji_lists
import numpy as np
import pytest

from cdir_nb import paths
from cdir_nb.data import ImageSet, credit_line, load_card, load_protocol, open_folder, open_task, protocol_names, verify
from cdir_nb.data.manifest import is_bundled, open_dataset
from cdir_nb.retrieval import evaluate_embeddings

pytestmark = pytest.mark.medium
FOLDER = paths.MANIFEST / "emoji"
STYLES = ("3d", "flat", "silhouette", "noto", "twemoji", "openmoji")


@pytest.fixture(scope="module")
def emoji() -> ImageSet:
    return open_dataset("emoji", progress=False)


@pytest.fixture(scope="module")
def concepts() -> list[dict[str, str]]:
    with (FOLDER / "concepts.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_images_are_sound_and_no_two_of_a_style_are_equal(emoji):
    pictures = {style: set() for style in STYLES}
    for row in range(len(emoji)):
        pixels = np.asarray(emoji.image(row))
        assert pixels.shape == (112, 112, 3), emoji.keys[row]
        assert (pixels < 250).any(axis=2).mean() > 0.02, emoji.keys[row]  # not blank
        assert (pixels.reshape(-1, 3)[[0, 111, -112, -1]] == 255).any(), emoji.keys[row]  # on white
        pictures[emoji.domains[row]].add(pixels.tobytes())
    assert {style: len(different) for style, different in pictures.items()} == dict.fromkeys(STYLES, 828)


def test_every_concept_is_in_every_style(emoji, concepts):
    names = [row["concept"] for row in concepts]
    assert len(names) == len(set(names)) == 828 and len(emoji) == 4968
    for style in STYLES:
        part = emoji.select(style)
        assert part.labels.tolist() == names and part.keys == tuple(f"{style}/{name}.png" for name in names)
    card = load_card("emoji")
    assert is_bundled(card) and [card.display(row["concept"]) for row in concepts] == [row["name"] for row in concepts]
    assert verify(card, progress=False).ok


def test_the_images_are_those_of_the_source(shared, emoji):
    source = open_folder(shared / "data" / "emoji", progress=False)
    assert dict(zip(source.keys, source.digests)) == dict(zip(emoji.keys, emoji.digests))
    assert dict(zip(source.keys, source.labels.tolist())) == dict(zip(emoji.keys, emoji.labels.tolist()))


def test_the_split_is_disjoint_and_stratified(concepts):
    card, kind_of = load_card("emoji"), {row["concept"]: row["subgroup"] for row in concepts}
    seen, unseen = card.class_set("seen_579"), card.class_set("unseen_249")
    assert len(seen) == 579 and len(unseen) == 249 and not set(seen) & set(unseen)
    assert set(seen) | set(unseen) == set(card.classes)
    drawn, sizes = Counter(kind_of[name] for name in unseen), Counter(kind_of.values())
    assert all(abs(drawn[kind] - size * 249 / 828) < 1 for kind, size in sizes.items())
    assert list(unseen) == emoji_lists.unseen(kind_of, emoji_lists.UNSEEN, emoji_lists.SEED)


def test_protocols(emoji):
    assert protocol_names("emoji") == [
        "emoji-same", "emoji-all", "emoji-kind", *(f"emoji-unseen-style-{style}" for style in STYLES),
    ]  # fmt: skip
    every = load_protocol("emoji-all", emoji)
    assert len(every.classes) == 828 and not every.seen and len(every.train) == 0 and len(every.directions) == 30
    same = load_protocol("emoji-same", emoji)
    assert len(same.train) == 579 * 6 and set(same.train.labels).isdisjoint(same.classes)
    for task in (every, same):
        assert (task.query("3d").labels == task.gallery("openmoji").labels).all() and task.headline == "P@1:hits_over_k"
    for style in STYLES:
        task = load_protocol(f"emoji-unseen-style-{style}", emoji)
        assert {a for a, _ in task.directions} == {style} and {b for _, b in task.directions} == {*STYLES} - {style}
        assert set(task.train.domains) == {*STYLES} - {style}
        assert task.classes == same.classes and task.seen == same.seen


def test_kinds_are_subgroups_of_six_concepts_or_more(emoji, concepts):
    sizes = Counter(row["subgroup"] for row in concepts)
    large = {kind: size for kind, size in sizes.items() if size >= 6}
    card, images, task = open_task("emoji", protocol="emoji-kind")
    assert set(task.classes) == set(card.classes) == set(images.labels) == set(large) and len(large) == 47
    kind_of = {row["concept"]: row["subgroup"] for row in concepts}
    for style in STYLES:
        part = task.query(style)
        assert Counter(part.labels.tolist()) == large
        names = [key.removeprefix(f"{style}/").removesuffix(".png") for key in part.keys]
        assert [kind_of[name] for name in names] == part.labels.tolist()
    again = load_protocol("emoji-kind", images)  # the notebook `experiment` opens it so
    assert again.images.fingerprint == task.images.fingerprint and task.headline == "P@10:hits_over_k"
    assert sum(size < 10 for size in large.values()) == 16  # as the card's note says
    assert emoji.labels[0] == "monkey-face"  # the images of other protocols are not changed


def test_statistics_are_those_of_the_protocols(emoji):
    text = (FOLDER / "statistics.csv").read_text(encoding="utf-8")
    rows = {row["protocol"]: row for row in csv.DictReader(io.StringIO(text))}
    for name in protocol_names("emoji"):
        task = load_protocol(name, emoji)
        assert rows[name] == {key: str(value) for key, value in emoji_lists.statistics(task).items()}
        stated = re.search(r"chance of P@\d+ is ([\d.]+) %", task.about)
        assert stated and float(stated[1]) == float(rows[name]["chance of P@k (%)"])


def test_chance_levels_are_means_over_random_rankings():
    rng = np.random.default_rng(0)
    labels = np.array(list("aabbbbc"))
    relevant = np.array([sum(labels == label) for label in labels])
    drawn = []
    for _ in range(4000):
        gallery = labels[rng.permutation(7)]
        hits = gallery == labels[:, None]
        drawn.append(((hits.cumsum(1) / np.arange(1, 8)) * hits).sum(1) / relevant)
    assert np.allclose(np.mean(drawn, axis=0), emoji_lists.chance_ap(relevant, 7), atol=0.02)
    assert emoji_lists.chance_ap(np.array([1]), 3)[0] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_with_one_relevant_image_every_average_precision_is_the_reciprocal_rank():
    import torch

    rng = torch.Generator().manual_seed(0)
    query, gallery = torch.randn(40, 8, generator=rng), torch.randn(40, 8, generator=rng)
    labels = np.arange(40).astype(str)
    cosine = torch.nn.functional.normalize(query, dim=1) @ torch.nn.functional.normalize(gallery, dim=1).T
    rank = 1 + (cosine > cosine.diagonal()[:, None]).sum(1)
    results = evaluate_embeddings(query, gallery, labels, labels, ks=(1, 5), ap_ks=(None,))
    by_name = {str(result.metric): result for result in results}
    all_ap = [result for name, result in by_name.items() if name.startswith("mAP@all")]
    assert len(all_ap) >= 3 and all(np.allclose(result.values, 1 / rank) for result in all_ap)
    assert np.array_equal(by_name["P@1:hits_over_k"].values, rank == 1)
    assert by_name["P@5:hits_over_k"].values.max() == pytest.approx(1 / 5)  # what the card says of larger k
    assert np.array_equal(by_name["P@5:hits_over_min_k_relevant"].values, rank == 1)


def test_each_style_has_its_source_and_its_licence(emoji):
    card, lines = load_card("emoji"), {style: credit_line(emoji.select(style)) for style in STYLES}
    assert "OpenMoji" in lines["openmoji"] and "CC BY-SA 4.0" in lines["openmoji"]
    licences = {"3d": "MIT", "noto": "Apache-2.0", "twemoji": "CC BY 4.0", "openmoji": "CC BY-SA 4.0"}
    notices = [path.read_text(encoding="utf-8") for path in (paths.ROOT / "NOTICE", FOLDER / "ATTRIBUTION.md")]
    for style, licence in licences.items():
        assert licence in lines[style] and licence in card.licence
        assert all(f"{style}.zip" in notice for notice in notices)
    assert credit_line(open_dataset("doodles", progress=False)) == ""


def test_the_notice_names_every_folder_with_material_of_others():
    text = (paths.ROOT / "NOTICE").read_text(encoding="utf-8")
    bundled = [f"data_manifest/{path.parent.name}/" for path in paths.MANIFEST.glob("*/ATTRIBUTION.md")]
    weights = [path.relative_to(paths.ROOT).as_posix() for path in paths.PACKAGE.rglob("*.safetensors")]
    assert all(name in text for name in [*bundled, *(name for name in weights if "tiny_clip" not in name)])


def test_the_script_writes_what_is_committed(monkeypatch):
    written = {}
    monkeypatch.setattr(emoji_lists, "write", lambda name, lines: written.update({name: lines}))
    emoji_lists.main()
    assert written == {name: (FOLDER / name).read_text(encoding="utf-8").splitlines() for name in written}
    assert set(written) == {"classes.txt", "seen_579.txt", "unseen_249.txt", "statistics.csv"}
