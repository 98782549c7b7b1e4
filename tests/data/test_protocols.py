"""Protocols: properties over all of them, the published numbers of classes, and what they select."""

import re

import numpy as np
import pytest
from PIL import Image

from cdir_nb.data import (
    ImageSet,
    card_names,
    dataset_of,
    default_protocol,
    load_card,
    load_protocol,
    open_dataset,
    protocol_names,
)
from cdir_nb.data.halves import listed_keys
from cdir_nb.data.protocols import protocol_directions, protocol_spec, sample
from cdir_nb.errors import CdirError


def pictures_of(dataset: str, per_class: int = 1) -> ImageSet:
    """An image set with every class of a card in every domain, without pictures."""
    card = load_card(dataset)
    rows = [(d, c, i) for d in card.domains for c in card.classes for i in range(per_class)]
    keys = tuple(f"{d}/{c}/{i}" for d, c, i in rows)
    columns = [np.array(column) for column in zip(*rows)]
    return ImageSet(keys, columns[0], columns[1], lambda key: Image.new("RGB", (1, 1)), keys)


def pictures_for(dataset: str, name: str) -> ImageSet:
    """`pictures_of`, or for a protocol on listed images those and one more of each class and domain."""
    file, others = load_card(dataset).protocols[name].keys, pictures_of(dataset)
    if not file:
        return others
    keys = (*others.keys, *(f"{key}.jpg" for key in sorted(listed_keys(dataset, file))))
    domains, labels, _ = (np.array(column) for column in zip(*(key.split("/") for key in keys)))
    return ImageSet(keys, domains, labels, others.load, keys)


def every_protocol():
    return [(dataset, name) for dataset in card_names() for name in protocol_names(dataset)]


def test_names_are_unique():
    assert len(protocol_names()) == len(set(protocol_names())) > 20


@pytest.mark.parametrize(("dataset", "name"), every_protocol())
def test_properties_of_every_protocol(dataset, name):
    protocol = load_protocol(name, pictures_for(dataset, name))
    assert protocol.dataset == dataset and protocol.about and protocol.metrics
    if protocol.zero_shot:
        assert not set(protocol.seen) & set(protocol.classes) and protocol.seen
        assert not set(protocol.train.keys) & {k for d, _ in protocol.directions for k in protocol.query(d).keys}
    assert set(protocol.classes) <= set(protocol.gallery_classes)  # each query has something to find
    assert set(protocol.unseen) == set(protocol.classes) - set(protocol.seen)
    assert len(set(protocol.directions)) == len(protocol.directions)
    for query, gallery in protocol.directions:
        assert query != gallery
        assert set(protocol.query(query).domains) == {query} and set(protocol.query(query).labels) == set(
            protocol.classes
        )
        assert set(protocol.gallery(gallery).domains) == {gallery}
    assert not set(protocol.validation) & {*protocol.seen, *(protocol.classes if protocol.zero_shot else ())}
    if "-ucdr-" in name or "-udcdr-" in name:
        assert protocol.unseen_domain or dataset == "world_doodle"
    if protocol.unseen_domain:
        assert not set(protocol.train.domains) & {query for query, _ in protocol.directions}


SIZES = {
    "domainnet_cleaned": "zs_train80 zs_test30 ucdr_train245 ucdr_val55 ucdr_test45 ucdr_train300",
    "domainnet_original": "ucdr_train245",
    "sketchy_extended": "seen_104 unseen_21 seen_100 unseen_25 uccdr_train93 uccdr_val11 uccdr_train89",
    "sketchy_mini": "seen_104 unseen_21 seen_100 unseen_25",
    "tuberlin_extended": "seen_220 unseen_30 train_200 val_20",
    "quickdraw_extended": "seen_80 unseen_30",
    "sketchy_quickdraw": "seen_77 unseen_16",
    "pacs": "seen_4 unseen_3",
    "world": "seen_30 unseen_10 ucdr_train25 ucdr_val5",
    "world_doodle": "seen_29 unseen_10",
}
CLASSES = {"domainnet_cleaned": 345, "domainnet_original": 345, "sketchy_extended": 125, "sketchy_mini": 125,
           "tuberlin_extended": 250, "quickdraw_extended": 110, "sketchy_quickdraw": 93, "office_home": 65, "pacs": 7,
           "quickdraw25": 344, "world": 40, "world_doodle": 39}  # fmt: skip


def test_numbers_of_classes_are_the_published_ones():
    assert {name: len(load_card(name).classes) for name in CLASSES} == CLASSES
    for dataset, names in SIZES.items():
        for name in names.split():  # a name ends with its number of classes
            assert len(load_card(dataset).class_set(name)) == int(re.findall(r"\d+$", name)[0]), (dataset, name)
    others = [("domainnet_cleaned", "ucdir7"), ("sketchy_extended", "uccdr_val11_of_100")]
    assert [len(load_card(dataset).class_set(name)) for dataset, name in others] == [7, 11]


@pytest.mark.parametrize(
    ("dataset", "parts"),
    [
        ("domainnet_cleaned", "ucdr_train245 ucdr_val55 ucdr_test45"),
        ("sketchy_extended", "seen_104 unseen_21"),
        ("sketchy_extended", "seen_100 unseen_25"),
        ("tuberlin_extended", "seen_220 unseen_30"),
        ("tuberlin_extended", "train_200 val_20 unseen_30"),
        ("quickdraw_extended", "seen_80 unseen_30"),
        ("world", "seen_30 unseen_10"),
        ("world", "ucdr_train25 ucdr_val5 unseen_10"),
        ("domainnet_cleaned", "ucdr_train300 ucdr_test45"),
        ("sketchy_extended", "uccdr_train93 uccdr_val11 unseen_21"),
        ("sketchy_extended", "uccdr_train89 uccdr_val11_of_100 unseen_25"),
        ("sketchy_quickdraw", "ucdr_train67 ucdr_val10 unseen_16"),
        ("world_doodle", "seen_29 unseen_10"),
        ("pacs", "seen_4 unseen_3"),
    ],
)
def test_splits_partition_the_classes(dataset, parts):
    card = load_card(dataset)
    labels = [label for part in parts.split() for label in card.class_set(part)]
    assert sorted(labels) == sorted(card.classes)


def test_domainnet_zero_shot_is_quickdraw_extended_renamed():
    quickdraw, domainnet = load_card("quickdraw_extended"), load_card("domainnet_cleaned")
    names = quickdraw.renames["domainnet_cleaned"]
    for theirs, ours in (("seen_80", "zs_train80"), ("unseen_30", "zs_test30")):
        assert {names.get(c, c) for c in quickdraw.class_set(theirs)} == set(domainnet.class_set(ours))
    spelt_otherwise = {c for c in names if c.replace(" ", "_") != names[c]}
    assert spelt_otherwise == {"crocodilian", "eiffel tower", "hot-air_balloon", "motorcycle", "teddy_bear"}


def test_world_is_named_as_domainnet_and_shares_unseen_classes_with_quickdraw():
    world = load_card("world")
    assert set(world.classes) - set(load_card("domainnet_cleaned").classes) == {"person"}
    assert set(load_card("pacs").classes) <= set(world.classes)
    assert len(set(world.class_set("unseen_10")) & set(load_card("quickdraw_extended").class_set("unseen_30"))) == 7


DIRECTIONS = {"world-unseen": 30, "world_doodle-unseen": 6, "pacs-all": 12, "domainnet-tki": 30, "domainnet-zs": 12,
              "domainnet-ucdir7": 12, "officehome-ucdir": 12, "sketchy-21": 1, "domainnet-ucdr-quickdraw": 1,
              "sketchy_quickdraw-16": 6}  # fmt: skip


def test_numbers_of_directions():
    assert {name: len(protocol_directions(name)) for name in DIRECTIONS} == DIRECTIONS


def test_six_pairs_both_ways_use_each_domain_twice():
    directions = protocol_directions("domainnet-zs")
    assert {(b, a) for a, b in directions} == set(directions)
    assert sorted(a for a, _ in directions) == sorted([*load_card("domainnet_cleaned").domains] * 2)


def test_metrics_of_the_papers():
    def metrics(name):
        return [(m.kind, m.k, m.convention) for m in protocol_spec(name).metrics]

    assert metrics("domainnet-zs")[0] == ("precision", 50, "ucdir_micro")
    assert [k for _, k, _ in metrics("officehome-ucdir")] == [1, 5, 15]
    assert [k for _, k, _ in metrics("domainnet-ucdir7")] == [50, 100, 200]
    assert ("average_precision", 200, "over_found") in metrics("domainnet-ucdr-sketch")
    assert ("average_precision", 200, "over_min_k_relevant") in metrics("pacs-all")
    assert metrics("tuberlin-30")[0] == ("precision", 100, "ucdir_micro")


def test_what_a_zero_shot_protocol_selects():
    protocol = load_protocol("pacs-unseen", pictures_of("pacs", per_class=2))
    assert protocol.seen == ("elephant", "giraffe", "horse", "person")
    assert protocol.unseen == protocol.classes == ("dog", "guitar", "house")
    assert len(protocol.train) == 4 * 4 * 2
    assert protocol.query("photo").keys == protocol.gallery("photo").keys
    assert protocol.query("photo").keys[:3] == ("photo/dog/0", "photo/dog/1", "photo/guitar/0")
    assert protocol.domains == ("photo", "art_painting", "cartoon", "sketch")


def test_a_protocol_on_listed_images_uses_no_other():
    protocol = load_protocol("pacs-heldout", pictures_for("pacs", "pacs-heldout"))
    used = [
        key for domain in protocol.domains for key in (*protocol.query(domain).keys, *protocol.gallery(domain).keys)
    ]
    listed = listed_keys("pacs", "real_clip_held_out.txt.gz")
    assert {key.rpartition(".")[0] for key in used} == listed and len(listed) == 5001
    assert len(protocol.directions) == 12 and len(protocol.train) == 0
    with pytest.raises(CdirError, match="pacs-heldout needs images that are missing: photo/dog"):
        load_protocol("pacs-heldout", pictures_of("pacs"))


def test_a_data_free_protocol_trains_on_nothing():
    protocol = load_protocol("pacs-all", pictures_of("pacs"))
    assert len(protocol.train) == 0 and protocol.seen == () and len(protocol.unseen) == 7


def test_cleaned_protocols_run_on_the_original_release_too():
    assert load_protocol("domainnet-zs", pictures_of("domainnet_original")).dataset == "domainnet_cleaned"


def test_defaults_are_the_first_of_the_card():
    assert default_protocol("world") == "world-unseen" and default_protocol("pacs") == "pacs-all"
    with pytest.raises(CdirError, match="quickdraw25 has no protocol of its own; name one of "):
        default_protocol("quickdraw25")


def test_an_unknown_protocol_is_named_with_the_nearest_ones():
    with pytest.raises(CdirError, match="'pacs-al'.*pacs-all"):
        load_protocol("pacs-al", pictures_of("pacs"))


@pytest.mark.parametrize(
    ("dataset", "name", "removed", "missing"),
    [
        ("pacs", "pacs-all", "cartoon/", "cartoon/dog, .* and 2 more; open pacs"),
        ("pacs", "pacs-unseen", "photo/horse/0", "photo/horse; "),  # a training class
        ("sketchy_extended", "sketchy-21", "sketch/bat/0", "sketch/bat; "),  # a query
        ("pacs", "world-unseen", "", "real/airplane"),
    ],
)
def test_images_that_lack_a_domain_or_a_class(dataset, name, removed, missing):
    images = pictures_of(dataset)
    images = images.take([row for row, key in enumerate(images.keys) if not removed or not key.startswith(removed)])
    with pytest.raises(CdirError, match=f"{name} needs images that are missing: {missing}"):
        load_protocol(name, images)


def test_a_domain_that_is_no_query():
    protocol = load_protocol("sketchy-21", pictures_of("sketchy_extended"))
    with pytest.raises(CdirError, match="sketchy-21 has no query domain 'photo'; it has sketch"):
        protocol.query("photo")
    with pytest.raises(CdirError, match="sketchy-21 has no gallery domain 'sketch'; it has photo"):
        protocol.gallery("sketch")


def test_the_drawn_world_opens_by_name(monkeypatch):
    world = pytest.importorskip("cdir_nb.data.world")
    monkeypatch.setattr(world, "load_world", lambda images_per_class, seed: (images_per_class, seed))
    assert open_dataset("world") == (30, 0)
    assert set(load_card("world").counts["real"].values()) == {30}


# ---- samples: galleries of several class sets, some of whose images are held out of training


def test_a_mixed_gallery_holds_all_unseen_and_some_seen_images_which_are_not_trained_on():
    images = pictures_of("world", per_class=30)
    plain, mixed = (load_protocol(f"world-ucdr-quickdraw{end}", images) for end in ("", "-mixed"))
    gallery = mixed.gallery("real")
    assert len(plain.gallery("real")) == 300 and len(gallery) == 300 + 25 * 6
    counts = {label: int((gallery.labels == label).sum()) for label in mixed.gallery_classes}
    assert {counts[label] for label in mixed.unseen} == {30} and {counts[label] for label in mixed.seen} == {6}
    assert len(plain.train) - len(mixed.train) == 150 and not set(mixed.train.keys) & set(gallery.keys)
    assert mixed.query("quickdraw").keys == plain.query("quickdraw").keys


def test_a_sample_of_queries():
    protocol = load_protocol("world-udcdr-sketch", pictures_of("world", per_class=30))
    assert len(protocol.query("sketch")) == 25 * 8 and len(protocol.gallery("real")) == 25 * 6  # round(7.5) = 8
    assert set(protocol.classes) == set(protocol.seen) and protocol.unseen_domain
    mixed = load_protocol("world-ucdr-sketch-mixed", protocol.images)
    assert set(protocol.gallery("real").keys) <= set(mixed.gallery("real").keys)  # one training serves both


def test_samples_do_not_depend_on_order_or_extension_and_smaller_ones_are_parts():
    images = pictures_of("pacs", per_class=20)
    shuffled = images.take(np.random.default_rng(0).permutation(len(images)))
    half, tenth = (dict.fromkeys(load_card("pacs").classes, share) for share in (0.5, 0.1))
    found = sample(images, half)
    assert set(found.keys) == set(sample(shuffled, half).keys) and len(found) == len(images) // 2
    assert set(sample(images, tenth).keys) < set(found.keys)
    renamed = ImageSet(tuple(f"{k}.png" for k in images.keys), images.domains, images.labels, images.load, images.keys)
    assert {k.removesuffix(".png") for k in sample(renamed, half).keys} == set(found.keys)
    assert sample(images, {}) is images and len(sample(images, {"dog": 0.001})) == len(images) - 4 * 19


def n_images(protocol: str, domain: str, part: str) -> int | None:
    """Images of a domain among the queries or the gallery, by the counts of the card; None if they are unknown."""
    card = load_card(dataset_of(protocol))
    classes = card.fractions(getattr(card.protocols[protocol], part))
    return sum(card.counts[domain][label] for label in classes) if domain in card.counts else None


@pytest.mark.parametrize(
    ("domain", "queries"),
    [("clipart", 6317), ("infograph", 6195), ("painting", 10418), ("sketch", 9626), ("quickdraw", 22500)],
)
def test_numbers_of_unseen_queries_are_those_of_the_published_lists(domain, queries):
    for prefix in ("domainnet", "domainnet300"):
        assert n_images(f"{prefix}-ucdr-{domain}-mixed", domain, "query") == queries


def test_numbers_of_sketchy_and_tuberlin():
    def test_images(name):
        return n_images(name, "sketch", "query"), n_images(name, "photo", "gallery")

    assert test_images("sketchy-uccdr-21") == (12694, 12553) and test_images("sketchy-uccdr-25") == (15229, 17101)
    assert test_images("tuberlin-uccdr-30") == (2400, 27989)


def test_figures_show_the_first_precision_of_the_card():
    task = load_protocol("world-unseen", pictures_of("world", per_class=2))
    assert (task.first_precision.k, task.first_precision.convention) == (10, "hits_over_k")
    assert task.headline == "P@10:hits_over_k"


def test_a_cut_off_at_the_end_of_every_gallery_is_no_headline():
    task = load_protocol("world-unseen", pictures_of("world"))  # galleries of 10 images
    assert all(len(gallery) == 10 for gallery in task.galleries.values())
    assert task.headline == "P@1:hits_over_k"
