"""Class lists and counts of the cards against published list files and real images (skipped without them)."""

import gzip
import json
from collections import Counter

import pytest

from cdir_nb.data import load_card, load_protocol, open_dataset, verify


def lines(path) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        return [line.strip() for line in file if line.strip()]


def classes_in(path) -> set[str]:
    """Class names of a file of names, or of names with an index."""
    return {line.rsplit(" ", 1)[0] if line.rsplit(" ", 1)[-1].isdigit() else line for line in lines(path)}


def counts_in(*paths) -> Counter:
    """Images per class in list files of "<...>/<class>/<file> <index>"."""
    return Counter(line.rsplit(" ", 1)[0].split("/")[-2] for path in paths for line in lines(path))


@pytest.mark.parametrize(
    ("dataset", "name", "file"),
    [
        ("domainnet_cleaned", "ucdr_train245", "domainnet/ucdr_train_classes.txt"),
        ("domainnet_cleaned", "ucdr_val55", "domainnet/ucdr_val_classes.txt"),
        ("domainnet_cleaned", "ucdr_test45", "domainnet/ucdr_test_classes.txt"),
        ("sketchy_extended", "seen_104", "sketchy/zeroshot0_seen_classes.txt"),
        ("sketchy_extended", "unseen_21", "sketchy/unseen_21.txt"),
        ("sketchy_extended", "seen_100", "sketchy/zeroshot1_seen_classes.txt"),
        ("sketchy_extended", "unseen_25", "sketchy/unseen_25.txt"),
        ("tuberlin_extended", "seen_220", "tuberlin/seen_classes.txt"),
        ("tuberlin_extended", "unseen_30", "tuberlin/unseen_30.txt"),
        ("quickdraw_extended", "seen_80", "quickdraw/seen_classes.txt"),
        ("quickdraw_extended", "unseen_30", "quickdraw/unseen_30.txt"),
    ],
)
def test_class_sets_are_the_published_ones(shared, dataset, name, file):
    assert set(load_card(dataset).class_set(name)) == classes_in(shared / "splits" / file)


def test_domainnet_classes_come_in_the_order_of_its_labels(shared):
    assert load_card("domainnet_cleaned").classes == lines(shared / "splits/domainnet/domainnet_345_classes.txt")
    split = json.loads((shared / "splits/domainnet/domainnet_zeroshot_from_quickdraw_split.json").read_text())
    for name, key in (("zs_train80", "train80"), ("zs_test30", "test30")):
        assert set(load_card("domainnet_cleaned").class_set(name)) == set(split[key])
    ucdir = json.loads((shared / "splits/domainnet/ucdir7.json").read_text())
    assert set(load_card("domainnet_cleaned").class_set("ucdir7")) == set(ucdir["classes"])


def test_tuberlin_validation_classes(shared):
    def plain(names):
        return {name.replace("-", "_").replace(" ", "_") for name in names}

    published = lines(shared / "splits/tuberlin/ucdr_val_20.txt")
    assert plain(load_card("tuberlin_extended").class_set("val_20")) == plain(published)


@pytest.mark.parametrize("domain", ["clipart", "infograph", "painting", "sketch"])
def test_domainnet_counts_per_class(shared, domain):
    folder = shared / "splits/domainnet"
    assert load_card("domainnet_cleaned").counts[domain] == counts_in(
        folder / f"{domain}_train.txt.gz", folder / f"{domain}_test.txt.gz"
    )


def test_seven_classes_alone_have_over_200_images_in_every_domain(shared):
    """Real's counts per class are unknown; they are estimated from its test list, 30 % of the images."""
    counts = dict(load_card("domainnet_cleaned").counts)
    tested = counts_in(shared / "splits/domainnet/real_test.txt.gz")
    counts["real"] = {label: count / 0.3 for label, count in tested.items()}
    passing = {c for c in counts["sketch"] if all(counts[domain][c] > 200 for domain in counts)}
    assert set(load_card("domainnet_cleaned").class_set("ucdir7")) == passing


@pytest.mark.parametrize(
    ("dataset", "domain", "files"),
    [
        ("office_home", "art", ["officehome/Art.txt.gz"]),
        ("office_home", "clipart", ["officehome/Clipart.txt.gz"]),
        ("office_home", "product", ["officehome/Product.txt.gz"]),
        ("office_home", "real", ["officehome/Real_World.txt.gz"]),
        ("pacs", "photo", ["pacs/photo_test_kfold.txt"]),
        ("pacs", "art_painting", ["pacs/art_painting_test_kfold.txt"]),
        ("pacs", "cartoon", ["pacs/cartoon_test_kfold.txt"]),
        ("pacs", "sketch", ["pacs/sketch_test_kfold.txt"]),
        ("tuberlin_extended", "sketch", ["tuberlin/png_ready_filelist_zero.txt.gz"]),
        ("tuberlin_extended", "photo", ["tuberlin/ImageResized_ready_filelist_zero.txt.gz"]),
        ("quickdraw_extended", "quickdraw", ["quickdraw/sketch_zero.txt.gz"]),
        ("quickdraw_extended", "photo", ["quickdraw/all_photo_zero.txt.gz"]),
    ],
)
def test_counts_per_class(shared, dataset, domain, files):
    assert load_card(dataset).counts[domain] == counts_in(*(shared / "splits" / file for file in files))


@pytest.mark.parametrize(("split", "name"), [(0, "unseen_21"), (1, "unseen_25")])
def test_sketchy_counts_per_class(shared, split, name):
    card, folder = load_card("sketchy_extended"), shared / "splits/sketchy"
    for domain, kind in (("photo", "all_photo_filelist"), ("sketch", "sketch_tx_000000000000_ready_filelist")):
        published = counts_in(folder / f"zeroshot{split}_{kind}_zero.txt.gz")
        assert {label: card.counts[domain][label] for label in card.class_set(name)} == published


@pytest.mark.parametrize("name", ["pacs", "sketchy_mini", "quickdraw25"])
@pytest.mark.medium
@pytest.mark.slow
def test_real_images_pass(shared, name):
    report = verify(load_card(name), shared / "data" / name, progress=False)
    assert report.ok, str(report)


@pytest.mark.medium
@pytest.mark.slow
def test_three_domains_of_real_images(shared, fresh_cache):
    images = open_dataset("sketchy_quickdraw", shared / "data", progress=False)
    counts = {domain: int((images.domains == domain).sum()) for domain in ("photo", "sketch", "quickdraw")}
    assert counts == {"photo": 2325, "sketch": 2325, "quickdraw": 2325}
    protocol = load_protocol("sketchy_quickdraw-ucdr-quickdraw", images)
    assert len(protocol.query("quickdraw")) == len(protocol.gallery("photo")) == 16 * 25
    assert len(protocol.train) == 67 * 2 * 25  # ten of the 77 classes are for validation
    assert protocol.query("quickdraw").image(0).mode == protocol.gallery("photo").image(0).mode == "RGB"
