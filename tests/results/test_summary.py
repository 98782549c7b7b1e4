"""The short summary, against records worked by hand."""

import pytest

from cdir_nb.results import Record, headline, reproduced_records, to_frame
from cdir_nb.results.alike import NOT_BASELINE, identified, notes, other_counts
from cdir_nb.results.summary import WIDTH, summarise

AWAY, BACK = ("real", "sketch"), ("sketch", "real")


def number(method, direction, value, *, metric="P@10:hits_over_k", seed=0, **more) -> Record:
    fields = {
        "dataset": "world",
        "protocol": "world-unseen",
        "metric": metric,
        "encoder": "tiny-clip [1a2b]",
        "selection_rule": "nothing selected",
        "test_set": "queries and gallery of world-unseen",
        **more,
    }
    query, gallery = direction
    return Record(method=method, query_domain=query, gallery_domain=gallery, value=value, seed=seed, **fields)


VANILLA = [number("vanilla CLIP", AWAY, 0.40), number("vanilla CLIP", BACK, 0.60)]


def blocks(*records):
    return summarise(to_frame(records))


def lines(*records):
    (block,) = blocks(*records)
    return {line.method: line for line in block.lines}


def test_one_line_per_method_with_its_gain_over_vanilla_clip():
    found = lines(number("Q", AWAY, 0.50), number("Q", BACK, 0.56), *VANILLA)
    assert list(found) == ["vanilla CLIP", "Q"]
    vanilla, ours = found.values()
    assert vanilla.percent == pytest.approx(50) and vanilla.gain is None and vanilla.spread is None
    assert ours.percent == pytest.approx(53) and ours.gain == pytest.approx(3)
    assert ours.better_in == (1, 2) and ours.seeds == 1 and ours.directions == 2


def test_a_method_of_one_direction_is_compared_over_that_direction_alone():
    found = lines(*VANILLA, number("CLAIR", BACK, 0.58))
    assert found["CLAIR"].percent == pytest.approx(58)  # above vanilla's mean of 50, yet below it in this direction
    assert found["CLAIR"].gain == pytest.approx(-2) and found["CLAIR"].better_in == (0, 1)


def test_seeds_are_averaged_and_have_a_spread_where_each_has_all_directions():
    records = [number("Q", AWAY, value, seed=seed) for seed, value in enumerate([0.42, 0.44, 0.46])]
    assert lines(*VANILLA, *records)["Q"].spread == pytest.approx(2)
    found = lines(*VANILLA, *records, number("Q", BACK, 0.90))["Q"]
    assert found.percent == pytest.approx((44 + 90) / 2) and found.seeds == 3 and found.directions == 2
    assert found.spread is None  # the 90 stands at one seed only
    assert found.gain == pytest.approx((4 + 30) / 2) and found.better_in == (2, 2)


def test_equal_numbers_of_two_settings_are_one_line_and_different_ones_are_two():
    same = [number("Q", AWAY, 0.5, settings={"rate": rate, "steps": 1}) for rate in (0.1, 0.2)]
    assert list(lines(*VANILLA, *same)) == ["vanilla CLIP", "Q"]
    other = number("Q", AWAY, 0.6, settings={"rate": 0.3, "steps": 1})
    found = lines(*VANILLA, same[0], other)
    assert list(found) == ["vanilla CLIP", "Q: rate=0.1", "Q: rate=0.3"]
    assert found["Q: rate=0.1"].gain == pytest.approx(10) and found["Q: rate=0.3"].gain == pytest.approx(20)


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"rerank": True, "similarity": "cosine"}},
        {"settings": None, "settings_digest": "0123456789"},
        {"data_at_test_time": ["all queries"]},
        {"train_set": "none: uses all test queries"},
        {"train_fingerprint": "ab"},
        {"selection_rule": "last epoch"},
    ],
)
def test_another_method_under_the_baseline_s_name_is_marked_and_the_baseline_stays(changes):
    false = number("vanilla CLIP", AWAY, 0.7, **changes)
    frame = to_frame([*VANILLA, false, number("Q", AWAY, 0.5, settings={"x": 1})])
    (block,) = summarise(frame)
    found = {line.method: line for line in block.lines}
    assert block.lines[0].method == "vanilla CLIP" and block.lines[0].percent == pytest.approx(50)
    assert found["Q"].gain == pytest.approx(10) and found[NOT_BASELINE].gain == pytest.approx(30)
    (note,) = notes(frame)
    assert "vanilla CLIP" in note and "\n" not in note
    (alone,) = blocks(false)
    assert [line.method for line in alone.lines] == [NOT_BASELINE]


def test_the_baseline_is_what_it_is_under_any_name():
    frozen = {"settings": {"similarity": "euclidean"}, "train_set": "none: frozen encoder"}
    found = lines(number("mine", AWAY, 0.4, **frozen), number("Q", AWAY, 0.5, settings={"x": 1}))
    assert list(found) == ["mine", "Q"] and found["Q"].gain == pytest.approx(10)
    found = lines(*(number(name, AWAY, 0.4, **frozen) for name in "ab"), number("Q", AWAY, 0.5, settings={"x": 1}))
    assert found["Q"].gain is None  # two frozen encoders, and neither is called vanilla CLIP


def test_a_mean_over_fewer_directions_is_marked():
    (block,) = blocks(*VANILLA, number("B", BACK, 0.7, settings={"x": 1}))
    whole, part = block.lines
    assert not whole.is_partial and part.is_partial
    assert (part.directions, part.all_directions) == (1, 2) and part.texts[1] == "70.00, 1 of 2"
    assert "B †" in str(block) and "† a mean over some of the directions" in str(block)
    (alone,) = blocks(*(record.model_copy(update={"method": "A"}) for record in VANILLA), number("B", BACK, 0.7))
    assert "vs vanilla" in str(block) and "vs vanilla" not in str(alone)
    assert not any(line.is_partial for line in blocks(*VANILLA)[0].lines)


def test_a_method_that_uses_all_queries_is_marked():
    (block,) = blocks(*VANILLA, number("mine", AWAY, 0.7, data_at_test_time=["gallery", "all queries"]))
    assert block.lines[1].name == "mine (uses all queries)" and block.lines[0].name == "vanilla CLIP"
    assert "mine *" in str(block) and "* uses all queries" in str(block) and "vanilla CLIP *" not in str(block)


def test_seeds_with_different_settings_are_no_seeds_of_one_method():
    found = lines(number("Q", AWAY, 0.5, settings={"x": 1}), number("Q", AWAY, 0.6, seed=1, settings={"x": 2}))
    assert {name: line.percent for name, line in found.items()} == pytest.approx({"Q: x=1": 50, "Q: x=2": 60})


# ---- images ----------------------------------------------------------------------------------------------------


def test_numbers_on_different_images_are_in_blocks_of_their_own():
    """Q on the baseline's images in one seed and on others in another; unknown images belong to any."""
    prints = {"query_fingerprint": "aa", "gallery_fingerprint": "bb"}
    records = [
        number("vanilla CLIP", AWAY, 0.4, **prints),
        number("Q", AWAY, 0.5, settings={"x": 1}, **prints),
        number("Q", AWAY, 0.7, settings={"x": 1}, seed=1, **{**prints, "gallery_fingerprint": "cc"}),
        number("R", AWAY, 0.6, settings={"y": 1}),
    ]
    first, second = blocks(*records)
    assert (first.image_set, second.image_set) == ("1", "2")
    assert {line.method: line.percent for line in first.lines} == pytest.approx({"vanilla CLIP": 40, "Q": 50, "R": 60})
    assert [(line.method, line.percent, line.gain) for line in second.lines] == [("Q", pytest.approx(70), None)]
    (note,) = notes(to_frame(records))
    assert "2 different sets of images" in note and "gallery of sketch: bb and cc" in note
    (one,) = blocks(*records[:2], records[3])
    assert one.image_set == "" and notes(to_frame(records[:2])) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_directions_with_other_images_of_one_gallery_are_not_averaged(seed):
    """The two share no direction, but the gallery sketch, whose images differ."""
    records = [
        number("Q", ("real", "sketch"), 0.5, query_fingerprint="aa", gallery_fingerprint="bb"),
        number("Q", ("clipart", "sketch"), 0.7, seed=seed, query_fingerprint="dd", gallery_fingerprint="cc"),
        number("Q", ("real", "painting"), 0.6, query_fingerprint="aa", gallery_fingerprint="ee"),
    ]
    assert to_frame(records).pipe(identified)["image_set"].tolist() == ["1", "2", "1"]
    first, second = blocks(*records)
    assert [first.lines[0].percent, second.lines[0].percent] == pytest.approx([55, 70])
    assert not any(identified(to_frame(records[::2]))["image_set"])


def test_seeds_whose_training_images_come_from_different_pools_are_not_averaged():
    trained = {"settings": {"x": 1}, "selection_rule": "last epoch"}
    records = [
        number("Q", AWAY, 0.1 * seed, seed=seed, train_pool_fingerprint=pool, **trained)
        for seed, pool in enumerate(["aa", "aa", "bb", ""])
    ]
    (block,) = blocks(*records)
    assert [(line.seeds, line.percent) for line in block.lines] == [(3, pytest.approx(40 / 3)), (1, pytest.approx(20))]
    (note,) = notes(to_frame(records))
    assert note.startswith("Q, world-unseen: seeds 0, 1, 3 and 2 drew")


def test_training_images_are_drawn_by_the_seed_and_averaged_within_their_pool():
    """Their accuracy is measured on other images in each seed."""
    drawn = {"metric": "accuracy:top-1", "test_set": "training images of world-unseen"}
    records = [number("CLAIR, initial labels", AWAY, 0.5 + 0.1 * seed, seed=seed, query_fingerprint=f"a{seed}", **drawn)
               for seed in (0, 1)]  # fmt: skip
    table, common = headline(to_frame(records))
    assert table["percent"].tolist() == ["55.00 ± 7.07"] and common["seeds"] == "0, 1"
    other = [record.model_copy(update={"train_pool_fingerprint": str(record.seed)}) for record in records]
    assert headline(to_frame(other))[0]["percent"].tolist() == ["50.00", "60.00"]


def test_images_of_other_number_than_in_the_card_are_named():
    few = number("vanilla CLIP", AWAY, 0.4, dataset="pacs", image_counts="168 of 9,991 images")
    (block,) = blocks(few)
    assert str(block).startswith("pacs, 168 of 9,991 images, ")
    assert other_counts(to_frame([few, *VANILLA])) == ["pacs, 168 of 9,991 images"]


@pytest.mark.parametrize(
    ("galleries", "headline"),
    [((165, 150), "P@50"), ((165, 250), "P@200"), ((None, 150), "P@200"), ((40, 50), "mAP@all")],
)
def test_a_cut_off_that_no_gallery_exceeds_is_no_headline(galleries, headline):
    metrics = "mAP@all:over_relevant", "P@200:hits_over_k", "P@50:hits_over_k"
    records = [number("vanilla CLIP", place, 0.5, metric=metric, gallery_images=size, protocol="")
               for metric in metrics for place, size in zip((AWAY, BACK), galleries)]  # fmt: skip
    (block,) = blocks(*records)
    assert block.metric.short == headline
    assert blocks(number("vanilla CLIP", AWAY, 0.5, metric="P@1:hits_over_k", gallery_images=1)) == []


@pytest.mark.parametrize(
    ("dataset", "protocol", "recorded", "headline"),
    [
        ("domainnet_cleaned", "domainnet-zs", [1, 50, 100], 50),  # CLAIR, Table 2; it lists 50, 100, 200
        ("domainnet_cleaned", "domainnet-zs", [1, 200, 100], 100),
        ("domainnet_cleaned", "domainnet-zs", [5, 1], 5),
        ("my_images", "", [5, 1, 50], 5),  # no card
        ("world", "no such protocol", [50, 1], 50),
    ],
)
def test_the_headline_is_the_first_precision_that_the_card_lists(dataset, protocol, recorded, headline):
    task = {"dataset": dataset, "protocol": protocol}
    records = [number("vanilla CLIP", AWAY, 0.5, metric=f"P@{k}:ucdir_micro", **task) for k in recorded]
    (block,) = blocks(*records)
    assert str(block.metric) == f"P@{headline}:ucdir_micro"


def test_the_headline_has_the_convention_of_the_card():
    measures = ["P@50:hits_over_k", "P@50:ucdir_micro", "P@200:ucdir_micro"]
    task = {"dataset": "domainnet_cleaned", "protocol": "domainnet-zs"}
    records = [number("vanilla CLIP", AWAY, 0.5, metric=name, **task) for name in measures]
    (block,) = blocks(*records)
    assert str(block.metric) == "P@50:ucdir_micro"


def test_methods_without_the_headline_are_named():
    (block,) = blocks(*VANILLA, number("TKI", AWAY, 0.7, metric="P@3:hits_over_k"))
    assert block.without == ("TKI",) and "without P@10: TKI" in str(block)


def test_tasks_encoders_and_test_sets_stay_apart():
    other = [{"encoder": "ViT-B-32 [c]"}, {"protocol": "world-all"}, {"test_set": "half of it"}, {"dataset": "pacs"}]
    found = blocks(*VANILLA, *(number("Q", AWAY, 0.9, **fields) for fields in other))
    assert [len(block.lines) for block in found] == [1] * 5
    assert [line.gain for block in found for line in block.lines] == [None] * 5


def test_only_precision_from_one_domain_to_another_counts():
    assert blocks() == []
    accuracy = number("vanilla CLIP", ("real", ""), 0.5, metric="accuracy:top-1")
    assert blocks(accuracy, number("vanilla CLIP", ("real", "real"), 0.5)) == []


def test_the_printed_block():
    runs = [{"value": 0.5, "seed": 0, "steps": 120}, {"value": 0.52, "seed": 1, "steps": 70}]
    trained = [number("CLAIR", place, selection_rule="last epoch", **run) for run in runs for place in (AWAY, BACK)]
    (block,) = blocks(*VANILLA, number("CLIP + Q", AWAY, 0.38), number("CLIP + Q", BACK, 0.50), *trained)
    assert str(block).splitlines() == [
        "world, queries and gallery of world-unseen, tiny-clip [1a2b]",
        "P@10:hits_over_k in percent, mean over directions ± standard deviation over 2",
        "    seeds; vs vanilla and better in: directions that both have",
        "  method          P@10            steps   vs vanilla  better in",
        "  nothing selected",
        "    vanilla CLIP  50.00 (1 seed)                      (of 2)",
        "    CLIP + Q      44.00 (1 seed)          -6.00       0 of 2",
        "  last epoch",
        "    CLAIR         51.00 ± 1.41    70–120  +1.00       1 of 2",
    ]


def test_a_long_name_is_printed_in_full_and_continues_below_its_numbers():
    """80 columns: the numbers stand on the name's first line, and the words of the name lose nothing."""
    name = "a method of one's own with a name that is longer than any table has room for"
    (block,) = blocks(*VANILLA, number(name, AWAY, 0.7), number(name, BACK, 0.7))
    first, *more = str(block).split("vanilla CLIP ")[1].splitlines()[1:]
    assert "70.00 (1 seed)" in first and "of 2" in first and not any("70.00" in line for line in more)
    assert " ".join(" ".join([first.partition("70.00")[0], *more]).split()) == name


def test_a_number_of_seeds_other_than_the_usual_one_is_stated():
    (block,) = blocks(*VANILLA, *(number(name, place, 0.5 + seed / 100, seed=seed, selection_rule="last epoch")
                                  for name, seeds in (("A", 3), ("B", 3), ("C", 2)) for seed in range(seeds)
                                  for place in (AWAY, BACK)))  # fmt: skip
    assert "over 3 seeds" in block.measure.replace("\n", " ")
    assert [block.row(line)[1] for line in block.lines] == [
        "50.00 (1 seed)", "51.00 ± 1.00", "51.00 ± 1.00", "50.50 ± 0.71 (2 seeds)"
    ]  # fmt: skip


def test_a_block_shows_a_chosen_metric_and_tasks_without_it_are_left_out():
    wanted = "mAP@200:over_found"
    frame = to_frame([*VANILLA, number("Q", AWAY, 0.3, metric=wanted), number("Q", AWAY, 0.9, dataset="pacs")])
    (block,) = summarise(frame, wanted)
    assert (str(block.metric), [line.percent for line in block.lines]) == (wanted, [pytest.approx(30)])


def test_swept_values_are_named_beside_their_digests():
    sweep = [number("Q", AWAY, 0.5 + rate, settings={"learning_rate": rate, "steps": 1}) for rate in (0.1, 0.2)]
    table, _ = headline(to_frame(sweep))
    assert [text.partition(" (")[0] for text in table["settings"]] == ["learning_rate=0.1", "learning_rate=0.2"]
    assert [text.partition(" (")[2][:-1] for text in table["settings"]] == [r.settings_digest for r in sweep]


@pytest.mark.medium
def test_a_printed_block_is_never_wider_than_a_terminal():
    names = ["a method of one's own with a name that is longer than any table has room for", "CLAIR", "TKI"]
    rules = ["validation by labels of seen classes", "last epoch", "validation by validation classes"]
    long = [number(name, AWAY, 0.5, seed=s, selection_rule=rule) for name, rule in zip(names, rules) for s in range(3)]
    texts = map(str, blocks(*VANILLA, *long, *reproduced_records()))
    assert max(len(line) for text in texts for line in text.splitlines()) <= WIDTH
