"""The bundled real-clip: its tower, its vocabulary, the images of its pretraining, and its card's accuracies."""

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from cdir_nb.data import ImageSet, load_card, load_protocol, open_dataset
from cdir_nb.data.halves import HELD_OUT, SEEN, in_list, listed_keys
from cdir_nb.encoders import ClipEncoder, load_encoder
from cdir_nb.encoders.bundled import KNOWN_TOKENS
from cdir_nb.encoders.pretraining import seen_in_pretraining
from cdir_nb.encoders.zero_shot import accuracy, prompt_embeddings, zero_shot_labels, zero_shot_scores
from cdir_nb.methods.clair import CLAIR, ClairTraining
from cdir_nb.paths import REAL_CLIP
from cdir_nb.results import reproduced_records
from tests.encoders.test_checkpoints import error_of


@pytest.fixture(scope="module")
def clip() -> ClipEncoder:
    return load_encoder("real-clip", device="cpu")


def test_it_is_a_linear_head_on_the_bundled_backbone(clip, pictures, fresh_cache):
    assert clip.dim == 256 and not clip.model.training
    batch = torch.stack([clip.preprocess(pictures.image(i)) for i in range(3)])
    tower = load_encoder("mobilenet-v2", device="cpu").model
    with torch.no_grad():
        expected = clip.model.visual.head(tower(batch))
    assert torch.allclose(clip.embed_images(pictures.take([0, 1, 2]), progress=False), expected, atol=1e-5)
    assert clip.embed_texts(["a photo of a dog"]).shape == (1, 256) and 1 < clip.logit_scale <= 100


def test_words_outside_its_vocabulary_have_the_same_embedding(clip):
    table, known = clip.model.text.token_embedding.weight, load_file(REAL_CLIP / "model.safetensors")[KNOWN_TOKENS]
    assert len(table) == 49408 and len(known) < 5000
    assert (table.abs().sum(dim=1) > 0).sum() == len(known)
    read, encode = set(known.tolist()), clip.tokenizer.encode
    assert set(encode("a painting of a giraffe and an american lobster")) - read <= set(encode("and"))
    assert len(encode("democracy")) == len(encode("tuesday")) == 1 and not {*encode("democracy tuesday")} & read
    democracy, tuesday, dog = clip.embed_texts([f"a photo of a {word}" for word in ("democracy", "tuesday", "dog")])
    assert torch.equal(democracy, tuesday) and not torch.allclose(democracy, dog, atol=0.01)


def encoded(image: Image.Image, quality: int, size: tuple[int, int]) -> Image.Image:
    """The image after a JPEG of this quality and size."""
    file = io.BytesIO()
    image.resize(size).save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def changed(images: ImageSet, load, name: str) -> ImageSet:
    """Other files under the same names."""
    return replace(images, load=load, digests=tuple(f"{name} {key}" for key in images.keys))


@pytest.mark.parametrize("dataset", ["pacs", "sketchy_mini"])
def test_images_of_the_pretraining_are_recognised_by_their_content(clip, shared, dataset):
    images = open_dataset(dataset, shared / "data" / dataset, progress=False)
    seen, held_out = (in_list(images, dataset, half) for half in (SEEN, HELD_OUT))
    assert seen_in_pretraining(clip, seen) == len(seen) and seen_in_pretraining(clip, held_out) == 0
    few = seen.take(range(0, len(seen), len(seen) // 40))
    renamed = replace(few, keys=tuple(f"drawings/{row}.jpg" for row in range(len(few))))
    assert seen_in_pretraining(clip, renamed) == len(few)
    assert seen_in_pretraining(clip, changed(few, lambda key: encoded(few.load(key), 60, (90, 90)), "small")) == len(
        few
    )
    assert seen_in_pretraining(clip, changed(few, lambda key: Image.new("RGB", (99, 99), "white"), "blank")) == 0
    following = dict(zip(few.keys, np.roll(few.keys, 1).tolist()))
    assert seen_in_pretraining(clip, changed(few, lambda key: few.load(following[key]), "other")) <= 1
    assert seen_in_pretraining(load_encoder("tiny-clip", device="cpu"), few) == 0


def test_doodles_of_the_pretraining_are_recognised_although_the_bundled_ones_have_other_digests(clip):
    doodles = open_dataset("world_doodle")
    seen = {key.rpartition("/")[2] for key in listed_keys("quickdraw25", SEEN)}
    assert seen_in_pretraining(clip, doodles) == sum(Path(key).stem in seen for key in doodles.keys) > 300
    assert seen_in_pretraining(clip, changed(doodles, lambda key: Image.new("RGB", (99, 99)), "blank")) == 0


@pytest.mark.slow
def test_committed_counts_of_training_images_that_the_pretraining_saw(clip, shared):
    task = load_protocol("sketchy_mini-21", open_dataset("sketchy_mini", shared / "data/sketchy_mini", progress=False))
    records = [record for record in reproduced_records() if record.test_set == "training images of sketchy_mini-21"]
    for seed in (0, 1, 2):
        settings = CLAIR.configured(clip, settings={"train_images": 1300})
        training = ClairTraining(clip, task, ("sketch", "photo"), settings, name="CLAIR", seed=seed, progress=False)
        count = seen_in_pretraining(clip, training.images.take(np.concatenate(training.rows)))
        assert {record.seen_in_pretraining for record in records if record.seed == seed} == {count}


def test_another_training_of_it_is_loaded_from_a_folder(clip, tmp_path):
    folder = tmp_path / "without-pacs"
    shutil.copytree(REAL_CLIP, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pretraining": ["quickdraw25"]}))
    state = load_file(folder / "model.safetensors")
    save_file(state | {"logit_scale": state["logit_scale"] - 1}, folder / "model.safetensors")
    other = load_encoder(f"real-clip:{folder}", device="cpu")
    assert other.built.name == "real-clip:without-pacs" and other.identity != clip.identity
    pacs = sorted(listed_keys("pacs", SEEN))[:3]
    columns = np.array([key.split("/")[:2] for key in pacs]).T
    assert seen_in_pretraining(other, ImageSet(tuple(pacs), *columns, lambda key: None, tuple(pacs))) == 0
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert "model.safetensors is damaged" in error_of(f"real-clip:{folder}")
    (folder / "config.json").unlink()
    assert "config.json is missing" in error_of(f"real-clip:{folder}")


def held_out_accuracy(clip: ClipEncoder, dataset: str, images: ImageSet, classes: list[str], step: int) -> float:
    card, images = load_card(dataset), images.take(range(0, len(images), step))
    texts = prompt_embeddings(clip, [card.display(c) for c in classes], card.domain_word(images.domains[0]))
    scores = zero_shot_scores(clip.embed_images(images, progress=False), texts)
    return accuracy(zero_shot_labels(scores, classes), images.labels)


def card_accuracy(title: str) -> float:
    text = (REAL_CLIP / "MODEL_CARD.md").read_text(encoding="utf-8")
    return float(re.search(rf"^\| {title} \| [\d,]+ \| \d+ \| ([\d.]+)%", text, flags=re.M)[1]) / 100


@pytest.mark.slow
def test_held_out_images_are_named_as_well_as_the_card_says(clip, shared, fresh_cache):
    pacs = in_list(open_dataset("pacs", shared / "data/pacs", progress=False), "pacs", HELD_OUT)
    assert seen_in_pretraining(clip, pacs) == 0
    for domain in load_card("pacs").domains:
        images = pacs.select(domain)
        measured = held_out_accuracy(clip, "pacs", images, load_card("pacs").classes, step=len(images) // 100)
        expected = card_accuracy(f"PACS {domain}")
        assert measured == pytest.approx(expected, abs=0.12), domain  # 100 images: two standard errors are 10 points
    folder = shared / "data/sketchy_mini"
    sketchy = in_list(open_dataset("sketchy_mini", folder, progress=False), "sketchy_mini", HELD_OUT)
    seen = list(load_card("sketchy_mini").class_set("seen_104"))
    measured = held_out_accuracy(clip, "sketchy_mini", sketchy.select("photo", seen), seen, step=10)
    assert measured == pytest.approx(card_accuracy("Sketchy, seen classes, photo"), abs=0.12)
