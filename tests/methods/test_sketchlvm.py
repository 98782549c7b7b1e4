"""SketchLVM on small images: its losses, what trains, what it reads, and its split of the seen classes."""

import copy
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from small_clip import make_encoder, make_timm_encoder
from toy_task import toy_task

from cdir_nb.conventions import BY_SEEN_LABELS, LAST_EPOCH
from cdir_nb.data import load_card
from cdir_nb.data.images import ImageSet
from cdir_nb.data.protocols import Protocol
from cdir_nb.encoders.variants import IMAGENET, with_preprocessing
from cdir_nb.errors import CdirError
from cdir_nb.methods.sketchlvm import SKETCHLVM, SketchLvmSettings, SketchLvmTraining
from cdir_nb.methods.sketchlvm.losses import class_text, triplet
from cdir_nb.methods.sketchlvm.network import Network
from cdir_nb.methods.sketchlvm.sampling import quadruples
from cdir_nb.methods.table import fit
from cdir_nb.methods.training import trainable_parameters
from cdir_nb.results import measure

DOMAINS = ("clipart", "sketch")
SEEN = ("airplane", "apple", "bicycle", "bird", "bus", "car", "castle", "cat", "chair", "clock")
UNSEEN = ("pear", "robot", "sun")
QUICK = {"epochs": 3, "batch_size": 8, "score_at": 2, "learning_rate_prompts": 0.01, "learning_rate_norms": 0.01}

pytestmark = [pytest.mark.medium, pytest.mark.usefixtures("own_cache")]


def picture(key: str) -> Image.Image:
    """Stripes whose width is that of the class, in colours of the domain, with noise of the image."""
    domain, label, number = key.split("/")
    rng = np.random.default_rng([DOMAINS.index(domain), (*SEEN, *UNSEEN).index(label), int(number)])
    stripes = (np.arange(32) // (1 + (*SEEN, *UNSEEN).index(label)) % 2)[:, None, None]
    colour = np.array([200, 40, 90] if domain == "clipart" else [90, 90, 90])
    return Image.fromarray((stripes * colour + rng.integers(0, 40, (32, 32, 3))).astype(np.uint8))


def small_task(seen=SEEN, per_class: int = 4) -> Protocol:
    keys = [f"{domain}/{label}/{n}" for domain in DOMAINS for label in (*seen, *UNSEEN) for n in range(per_class)]
    domains, labels = (np.array([key.split("/")[part] for key in keys]) for part in (0, 1))
    images = ImageSet(tuple(keys), domains, labels, picture, tuple(keys))
    classes = {"seen": tuple(seen), "unseen": UNSEEN, "classes": UNSEEN, "gallery_classes": UNSEEN}
    return toy_task(images, zero_shot=True, train_domains=DOMAINS, directions=(DOMAINS, DOMAINS[::-1]), **classes)


@pytest.fixture(scope="module")
def encoder():
    return with_preprocessing(make_encoder(), **IMAGENET, interpolation="bicubic")


@pytest.fixture(scope="module")
def task() -> Protocol:
    return small_task()


def training(encoder, task, seed: int = 1, **changes) -> SketchLvmTraining:
    settings = SketchLvmSettings(**{**QUICK, **changes})
    return SketchLvmTraining(encoder, task, DOMAINS, settings, name="SketchLVM", seed=seed, progress=False)


def begun(encoder, task, **changes) -> SketchLvmTraining:
    made = training(encoder, task, **changes)
    made.generator = torch.Generator().manual_seed(0)
    return made


# ---- losses ----


def test_triplet_of_a_worked_case_and_by_a_loop():
    anchor, positive = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 3.0], [5.0, 0.0]])
    negative = torch.tensor([[1.0, 1.0], [-1.0, 0.0]])
    # d(a, p) = 1 and 0, d(a, n) = 1 - 1 / sqrt(2) and 2: the second is far beyond the margin
    assert triplet(anchor, positive, negative, 0.3) == pytest.approx((0.3 + 2**-0.5) / 2)
    a, p, n = torch.randn(3, 20, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = []
    for i in range(20):
        near = 1 - (a[i] @ p[i]) / (a[i].norm() * p[i].norm())
        far = 1 - (a[i] @ n[i]) / (a[i].norm() * n[i].norm())
        values.append(max(0.0, float(0.2 + near - far)))
    assert 0 in values and triplet(a, p, n, 0.2) == pytest.approx(np.mean(values))


def test_class_text_of_a_worked_case_and_by_a_loop():
    texts = torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    expected = -np.log(np.exp(2) / (np.exp(2) + 1))
    assert class_text(torch.tensor([[7.0, 0.0]]), texts, torch.tensor([0]), 2.0) == pytest.approx(expected)
    generator = torch.Generator().manual_seed(0)
    x, t = (torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (9, 4))
    labels, values = torch.randint(4, (9,), generator=generator), []
    for i, label in enumerate(labels.tolist()):
        exponentials = [float(torch.exp(14.1 * (x[i] @ t[k]) / (x[i].norm() * t[k].norm()))) for k in range(4)]
        values.append(-np.log(exponentials[label] / sum(exponentials)))
    assert class_text(x, t, labels, 14.1) == pytest.approx(np.mean(values))


def test_a_step_has_both_losses_in_both_domains(encoder, task):
    made = begun(encoder, task)
    (s, p, s_other, p_other), labels = next(made.batches())
    found = made.losses(([s, p, s_other, p_other], labels))
    with torch.no_grad():
        a, n = (made.model(x, 0) for x in (s, s_other))
        b, m = (made.model(x, 1) for x in (p, p_other))
    triplets = [float(triplet(a, b, m, 0.3)), float(triplet(b, a, n, 0.3))]
    assert found["L_triplet"].item() == pytest.approx(sum(triplets) / 2, rel=1e-4)
    card = load_card("world")
    texts = encoder.embed_texts([_a_photo_of(card.display(label)) for label in made.classes])
    each = [float(class_text(x, texts, labels, encoder.logit_scale)) for x in (a, b)]
    assert found["L_class_text"].item() == pytest.approx(sum(each) / 2, rel=1e-4)


def _a_photo_of(name: str) -> str:
    return f"a photo of {'an' if name[0] in 'aeiou' else 'a'} {name}"


def test_anchors_of_the_first_domain_only(encoder, task):
    made = begun(encoder, task, anchors="first domain")
    batch = next(made.batches())
    (s, p, p_other), _ = batch
    expected = triplet(made.model(s, 0), made.model(p, 1), made.model(p_other, 1), 0.3)
    assert torch.allclose(made.losses(batch)["L_triplet"], expected, rtol=1e-4)


# ---- what trains, and what is read ----

TRAINED = {  # patterns of the names of the trained tensors; ln_pre.prompts is a placeholder
    "norms": r"prompts|clip\.visual\..*ln_\w+\.(weight|bias)",
    "as released": r"prompts|clip\.visual\.(.*ln_\w+\.(weight|bias)|.*_embedding|proj|.*in_proj_(weight|bias))",
    "all but the head": r"prompts|clip\.visual\.proj",
    "nothing": r"prompts|clip\.visual\.(?!ln_pre\.prompts).*",
}


@pytest.mark.parametrize("freeze", TRAINED)
def test_exactly_the_tensors_of_a_setting_are_trained(encoder, task, freeze):
    made = begun(encoder, task, freeze=freeze)
    expected = {name for name, _ in made.model.named_parameters() if re.fullmatch(TRAINED[freeze], name)}
    sum(made.losses(next(made.batches())).values()).backward()
    with_gradient = {name for name, x in made.model.named_parameters() if x.grad is not None and x.grad.any()}
    assert with_gradient == expected == set(trainable_parameters(made.model))
    in_optimizer = {id(x) for group in made.optimizer.param_groups for x in group["params"]}
    assert in_optimizer == {id(x) for x in trainable_parameters(made.model).values()}
    assert all(x.grad is None for x in encoder.model.parameters())


def test_each_group_has_its_learning_rate(encoder, task):
    made = training(encoder, task, freeze="as released", learning_rate_prompts=0.3, learning_rate_norms=0.2)
    names = {id(x): name for name, x in made.model.named_parameters()}
    rates = {names[id(x)]: group["lr"] for group in made.optimizer.param_groups for x in group["params"]}
    assert len(rates) == 14  # prompts, 8 of norms, 5 others
    for name, rate in rates.items():
        assert rate == (0.3 if name == "prompts" else 0.2 if "ln_" in name else 1e-6)


def test_a_convolutional_tower_trains_its_norms_or_its_head_and_keeps_its_statistics(task):
    encoder = make_timm_encoder()
    head = training(encoder, task, prompts=0, freeze="all but the head")
    assert set(trainable_parameters(head.model)) == {"clip.visual.head.proj.weight"}
    made = training(encoder, task, prompts=0)
    before = {name: x.clone() for name, x in made.model.named_buffers()}
    made.run()
    assert all(torch.equal(x, before[name]) for name, x in made.model.named_buffers())
    assert made.moved()["norms"] > 0
    with pytest.raises(CdirError, match="prompts=0"):
        training(encoder, task)


def test_the_first_prompt_is_another_vector_than_the_class_token(encoder):
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    made = {
        read: Network(encoder, prompts=3, std=0.02, read=read, freeze="norms", seed=0)
        for read in ("class token", "first prompt")
    }
    by_token, by_prompt = (network(pixels, 0) for network in made.values())
    assert not torch.allclose(by_token, by_prompt, atol=1e-3)
    # the same tokens in another order: where prompts come last, the first of them is the third from the end
    tower, network = copy.deepcopy(encoder.model.visual), made["class token"]
    tower.ln_pre = torch.nn.Identity()
    tokens = torch.cat([tower._embeds(pixels), network.prompts[0].expand(2, -1, -1)], dim=1)
    out = tower.ln_post(tower.transformer(encoder.model.visual.ln_pre(tokens)))
    assert torch.allclose(by_token, F.normalize(out[:, 0] @ tower.proj, dim=-1), atol=1e-5)
    assert torch.allclose(by_prompt, F.normalize(out[:, -3] @ tower.proj, dim=-1), atol=1e-5)


def test_images_are_embedded_with_the_prompts_of_their_domain(encoder, task):
    state = fit(SKETCHLVM, encoder, task, settings={**QUICK, "prompt_std": 1.0}, progress=False).states[LAST_EPOCH][0]
    images = task.images.select(labels=UNSEEN)
    pixels = torch.stack([encoder.preprocess(images.image(row)) for row in range(len(images))])
    both = [state.model(pixels, number) for number in (0, 1)]
    number = torch.from_numpy(images.domains == "sketch")
    expected = torch.where(number[:, None], both[1], both[0])
    assert torch.allclose(state.embed(images, progress=False), expected, atol=1e-5)
    assert not torch.allclose(*both, atol=1e-2)


# ---- data ----


def test_quadruples_are_of_two_classes_and_of_the_right_domains():
    domains = [
        {0: np.array([0, 1, 2]), 1: np.array([3]), 2: np.array([4, 5])},
        {n: np.array([10 + n]) for n in range(3)},
    ]
    rows, labels = quadruples(domains, torch.Generator().manual_seed(0))
    assert sorted(rows[:, 0]) == [0, 1, 2, 3, 4, 5]
    class_of = {row: label for part in domains for label, members in part.items() for row in members.tolist()}
    classes = np.vectorize(class_of.get)(rows)
    assert (classes[:, 0] == labels).all() and (classes[:, 1] == labels).all()
    assert (classes[:, 2] == classes[:, 3]).all() and (classes[:, 2] != labels).all()
    assert (rows[:, [0, 2]] < 10).all() and (rows[:, [1, 3]] >= 10).all()
    many = np.concatenate([quadruples(domains, torch.Generator().manual_seed(n))[0] for n in range(300)])
    others = np.bincount(np.vectorize(class_of.get)(many[many[:, 0] < 3])[:, 2], minlength=3) / (3 * 300)
    assert np.abs(others - [0, 0.5, 0.5]).max() < 0.06


def test_names_and_images_of_unseen_classes_are_never_read(encoder, task, monkeypatch):
    read, texts = [], []
    images = replace(task.images, load=lambda key: read.append(key) or picture(key))
    embed_texts = type(encoder).embed_texts
    monkeypatch.setattr(type(encoder), "embed_texts", lambda self, new: texts.extend(new) or embed_texts(self, new))
    made = training(encoder, replace(task, images=images))
    made.begin()
    made.run_epoch()
    words = " ".join([*read, *texts])
    assert read and len(set(texts)) == len(made.classes) == 8
    assert not any(load_card("world").display(label) in words or label in words for label in UNSEEN)


def test_validation_holds_out_classes_or_images(encoder, task):
    by_class = training(encoder, task)
    held_out = set(by_class.validation.labels)
    assert len(held_out) == 2 and set(by_class.classes) == set(by_class.images.labels) == set(SEEN) - held_out
    by_image = training(encoder, task, validation="images", validation_fraction=0.25)
    assert set(by_image.validation.labels) == set(by_image.images.labels) == set(SEEN)
    assert len(by_image.validation) == 20 and not set(by_image.validation.keys) & set(by_image.images.keys)
    without = fit(SKETCHLVM, encoder, task, settings={**QUICK, "validation_fraction": 0.0}, progress=False)
    assert set(without.states) == {LAST_EPOCH} and len(without.trainings[0].images) == 80


def test_bad_input_is_refused(encoder, task):
    with pytest.raises(CdirError, match="6 seen classes"):
        training(encoder, small_task(SEEN[:6]))
    with pytest.raises(CdirError, match="zero-shot"):
        training(encoder, replace(task, classes=("cat", *UNSEEN)))
    with pytest.raises(CdirError, match="prompts = 0"):
        SketchLvmSettings(read="first prompt", prompts=0)
    with pytest.raises(CdirError, match="at least two training classes"):
        images = task.images.take((task.images.domains == "clipart") | (task.images.labels == "cat"))
        training(encoder, replace(task, images=images))


# ---- training ----


@pytest.mark.parametrize("variant", SKETCHLVM.variants)
def test_every_variant_is_fitted_and_measured(encoder, task, variant):
    result = fit("SketchLVM", encoder, task, variant=variant, settings={**QUICK, "epochs": 1}, progress=False)
    assert set(result.states) == {BY_SEEN_LABELS, LAST_EPOCH}
    assert all(result.states[LAST_EPOCH][0].moved.values())
    records = measure(result.states[LAST_EPOCH], task, 0)
    assert {(record.query_domain, record.gallery_domain) for record in records} == {DOMAINS, DOMAINS[::-1]}


def test_training_lowers_its_losses(encoder, task):
    history = fit("SketchLVM", encoder, task, settings=QUICK, progress=False).history
    assert history[-1]["L_total"] < history[0]["L_total"]
