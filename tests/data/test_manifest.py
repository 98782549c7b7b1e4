"""Cards are read strictly; a wrong one is an error that names the file and the field."""

import pytest
from toy_data import CARD, write_card

from cdir_nb.data import card_names, load_card, open_dataset
from cdir_nb.errors import CdirError

METRIC = {"kind": "precision", "k": 1, "convention": "hits_over_k", "paper": "p", "known": "our default"}


def refused(manifest, **changes) -> str:
    write_card(manifest, "bad", **changes)
    with pytest.raises(CdirError) as caught:
        load_card("bad")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", card_names())
def test_every_card_of_the_workbook_is_sound(name):
    card = load_card(name)
    assert card.name == name and card.licence and card.citation and card.source
    assert all(info.known for info in card.domains.values())
    words = [card.display(label) for label in card.classes]
    assert len(set(words)) == len(words) and not any("_" in word for word in words)
    for other, names in card.renames.items():
        assert set(names) <= set(card.classes) and set(names.values()) <= set(load_card(other).classes)


def test_display_names():
    assert load_card("office_home").display("Alarm_Clock") == "alarm clock"
    assert load_card("office_home").display("TV") == "TV"
    assert load_card("domainnet_original").display("The_Eiffel_Tower") == "Eiffel Tower"
    assert load_card("pacs").display("something_else") == "something else"


def test_domain_words():
    world = load_card("world")
    words = {"real": "photo", **{d: d for d in ("painting", "clipart", "infograph", "sketch", "quickdraw")}}
    assert {domain: world.domain_word(domain) for domain in world.domains} == words
    assert load_card("pacs").domain_word("art_painting") == "art painting"
    with pytest.raises(CdirError, match="pacs has no domain 'real'; its domains: photo, art_painting"):
        load_card("pacs").domain_word("real")


def test_an_unknown_dataset_lists_the_known_ones(manifest):
    with pytest.raises(CdirError, match=r"'my'; available: toy .*open_folder"):
        open_dataset("my", ".")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"colour": "red"}, "bad/card.yaml: colour: Extra inputs are not permitted; fix the card"),
        ({"licence": None}, "licence: Field required"),
        ({"classes": []}, "classes: "),
        ({"classes": ["dog", "dog", "alarm_clock"], "counts": None}, "classes lists a class more than once"),
        ({"classes": ["dog", 7]}, "classes.1: "),
        ({"domains": {"photo": {"word": "x", "total": "4", "known": "y"}}}, "domains.photo.total: "),
        ({"counts": {"photo": {"dog": 1, "alarm_clock": 1}}}, "domains.photo.total is 4, but its classes sum to 2"),
        ({"counts": {"photo": {"cat": 1}}}, "counts.photo has names that are not in the card: cat"),
        ({"counts": {"real": {}}}, "counts has names that are not in the card: real"),
        ({"words": {"cat": "cat"}}, "words has names that are not in the card: cat"),
        ({"words": ["none.csv", "name"]}, "card.yaml: invalid field, or invalid file named in a field"),
        ({"kinds": ["../../../etc/passwd", "x"]}, "outside of the folder data_manifest"),
        ({"kinds": {"cat": "animal"}}, "kinds has names that are not in the card: cat"),
        ({"class_sets": {"seen": ["cat"], "unseen": []}}, "class_sets.seen has names that are not in the card: cat"),
        ({"classes": "none.txt"}, "card.yaml: invalid field, or invalid file named in a field"),
        ({"like": "bad"}, "circular `like`: bad"),
        ({"like": "../../bad"}, "'../../../bad' is outside of the folder data_manifest"),
        ({"classes": "../../../etc/passwd"}, "outside of the folder data_manifest"),
        ({"parts": {"bad": {}}, "kind": "combined"}, "parts: bad consists of parts itself"),
        ({"like": "nowhere"}, "nowhere"),
    ],
)
def test_a_bad_card_names_the_file_and_the_field(manifest, changes, text):
    message = refused(manifest, **changes)
    assert "data_manifest/bad/card.yaml: " in message and text in message


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"train": "unseen"}, "training classes and query classes overlap: ['alarm_clock']"),
        ({"validation": "seen"}, "training classes and validation classes overlap: ['dog']"),
        ({"validation": "unseen"}, "validation classes and query classes overlap"),
        ({"unseen_domain": True, "directions": [["photo", "photo"]], "train_domains": ["photo"]}, "overlap: ['photo']"),
        ({"gallery": {"unseen": 1.5}}, ".gallery"),
        ({"gallery": {"unseen": 0.5, "none": 1.0}}, "not in the card: none"),
        ({"gallery": {"unseen": 0.5, "all": 0.1}}, "class set unseen and class set all overlap"),
        ({"query": "none"}, "not in the card: none"),
        ({"by_kind": 1}, ".by_kind: no kind has 1 classes"),
        ({"by_kind": 0}, ".by_kind: "),
        ({"train_domains": ["real"]}, "not in the card: real"),
        ({"directions": [["photo", "real"]]}, "not in the card: real"),
        ({"directions": [["photo"]]}, ".directions."),
        ({"metrics": []}, ".metrics: "),
        ({"metrics": [METRIC | {"convention": "over_found"}]}, ".metrics.0: 'precision', k=1, 'over_found'"),
        ({"metrics": [METRIC | {"k": None}]}, ".metrics.0: 'precision', k=None"),
        ({"metrics": [METRIC | {"k": 0}]}, ".metrics.0: 'precision', k=0"),
    ],
)
def test_a_bad_protocol_names_the_file_and_the_field(manifest, changes, text):
    message = refused(manifest, protocols={"toy-unseen": {**CARD["protocols"]["toy-unseen"], **changes}})
    assert "data_manifest/bad/card.yaml: protocols.toy-unseen" in message and text in message


def test_the_name_of_a_card_is_that_of_its_folder(manifest):
    path = write_card(manifest, "bad")
    path.write_text(path.read_text().replace("name: bad", "name: other"))
    with pytest.raises(CdirError, match="name is 'other' but the folder is 'bad'"):
        load_card("bad")


@pytest.mark.parametrize("text", ["a: [1", "- 1", ""])
def test_a_card_that_is_not_yaml_with_fields(manifest, text):
    write_card(manifest, "bad").write_text(text)
    with pytest.raises(CdirError, match="data_manifest/bad/card.yaml: "):
        load_card("bad")


def test_cards_like_each_other(manifest):
    write_card(manifest, "other", like="bad")
    assert "circular `like`: bad" in refused(manifest, like="other")


def test_lists_and_counts_in_files_beside_the_card(manifest):
    path = write_card(
        manifest, "filed", classes="classes.txt", counts="counts.csv", class_sets={"seen": "seen.txt"}, protocols=None
    )
    (path.parent / "classes.txt").write_text("# a remark\ndog\nalarm_clock\n\n")
    (path.parent / "seen.txt").write_text("dog\n")
    (path.parent / "counts.csv").write_text("class,photo,sketch\ndog,1,\nalarm_clock,3,2\n")
    card = load_card("filed")
    assert card.classes == ["dog", "alarm_clock"] and card.class_sets == {"seen": ["dog"]}
    assert card.counts == {"photo": {"dog": 1, "alarm_clock": 3}, "sketch": {"alarm_clock": 2}}
    write_card(manifest, "alike", like="filed", classes=None, counts=None, class_sets=None, protocols=None)
    assert load_card("alike").counts == card.counts


def test_words_and_kinds_are_columns_of_a_file(manifest):
    path = write_card(manifest, "filed", words=["names.csv", "name"], kinds=["names.csv", "kind"])
    (path.parent / "names.csv").write_text("class,kind,name\ndog,animal,Dog\nalarm_clock,thing,Alarm clock\n")
    card = load_card("filed")
    assert card.words == {"dog": "Dog", "alarm_clock": "Alarm clock"} and card.display("dog") == "Dog"
    assert card.kinds == {"dog": "animal", "alarm_clock": "thing"}
    assert "'none'" in refused(manifest, kinds=["../filed/names.csv", "none"])


def test_class_sets_come_in_the_cards_order(manifest):
    write_card(
        manifest, "toy2", class_sets={"seen": ["dog"], "unseen": ["alarm_clock"], "back": ["alarm_clock", "dog"]}
    )
    card = load_card("toy2")
    assert card.class_set("back") == card.class_set("all") == ("dog", "alarm_clock")
    assert card.class_set(None) == ()


def test_a_combined_dataset_opens_its_parts(toy, tmp_path, manifest):
    names = ["hound", "alarm_clock"]
    write_card(
        manifest,
        "both",
        kind="combined",
        parts={"toy": {"dog": "hound"}},
        classes=names,
        class_sets=None,
        protocols=None,
    )
    assert set(open_dataset("both", tmp_path, progress=False).labels) == set(names)
    with pytest.raises(CdirError, match="toy is not a folder"):
        open_dataset("both", toy, progress=False)
