"""TKI: its equations written out with loops, its two stages on a small random CLIP, and bad input."""

import math
import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_clip import make_encoder
from toy_task import shapes, toy_task

from cdir_nb.conventions import LAST_EPOCH
from cdir_nb.data import Protocol, load_card, object_names
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.words import WordTower
from cdir_nb.errors import CdirError
from cdir_nb.methods.table import fit
from cdir_nb.methods.tki import READINGS, TKI, VARIANTS
from cdir_nb.methods.tki.expansion import DomainExpansion
from cdir_nb.methods.tki.losses import loss_agg, loss_max, loss_min
from cdir_nb.methods.tki.method import TkiTraining, loss_agg_in_blocks
from cdir_nb.methods.tki.names import names_for
from cdir_nb.methods.tki.network import Projection
from cdir_nb.methods.tki.settings import ExpansionSettings, TkiSettings
from cdir_nb.methods.training import TrainedEmbedder, Training

NAMES = ["dog", "cat", "light bulb", "house"]
QUICK = TkiSettings(words=3, expansion_steps=15, aggregation_steps=30, learning_rate=0.02)

pytestmark = [pytest.mark.medium, pytest.mark.usefixtures("own_cache")]


def no_image(*_args):
    raise AssertionError("an image was touched")


def task_with(names=NAMES, seen=(), words=None) -> Protocol:
    """A task with these query classes, and no images."""
    images = ImageSet((), np.array([], dtype=str), np.array([], dtype=str), no_image, ())
    names = tuple(names)
    classes = {"seen": tuple(seen), "unseen": names, "classes": names, "gallery_classes": names}
    return toy_task(images, zero_shot=True, train_domains=(), words=words or {}, **classes)


def tki(encoder, settings=QUICK, *, names=NAMES, seed=0, **how) -> TrainedEmbedder:
    """TKI after its last step."""
    fitted = fit("TKI", encoder, task_with(names), settings=settings, seed=seed, progress=False, **how)
    return fitted.states[LAST_EPOCH][0]


def expand(encoder, settings, seed=0) -> DomainExpansion:
    """A finished first stage."""
    stage = DomainExpansion(encoder, task_with(), settings.first_stage(), NAMES, seed=seed, progress=False)
    stage.run()
    return stage


def aggregate(text: torch.Tensor, settings: TkiSettings) -> tuple[Projection, list[dict[str, float]]]:
    """h after the second stage on (P, C, D) features, which stand in for those of the first stage; and its history."""
    encoder = SimpleNamespace(dim=text.shape[2], device=torch.device("cpu"))
    task = task_with([f"class {number}" for number in range(text.shape[1])])
    with pytest.MonkeyPatch.context() as patch:
        first_stage = SimpleNamespace(text_emb=text, run=lambda: None)
        patch.setattr("cdir_nb.methods.tki.method.DomainExpansion", lambda *args, **settings: first_stage)
        training = TkiTraining(encoder, task, (), settings, name="TKI", progress=False)
    training.begin()
    while not training.finished:
        training.run_epoch()
    return training.model.eval(), training.history


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    return make_encoder()


@pytest.fixture(scope="module")
def fitted(encoder, own_cache) -> TrainedEmbedder:
    return tki(encoder, seed=1)


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def cos(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


# ---- equations -------------------------------------------------------------------------------------------------


def test_equations_1_and_2_written_out():
    t, alpha, mu, total = features(5, 7), 3.0, 0.2, 0.0
    for p in range(5):
        for q in range(5):
            if q != p:
                total += math.log(1 + math.exp(alpha * (cos(t[p], t[q]) - mu)))
    assert float(loss_max(t, alpha, mu)) == pytest.approx(total / (5 * 4))


def test_equations_3_and_4_written_out():
    t, prototypes, tau, total = features(3, 4, 7), features(4, 7, seed=1), 0.1, 0.0
    for p in range(3):
        for i in range(4):
            s = [cos(t[p, i], prototypes[j]) for j in range(4)]
            total += math.log(math.exp(s[i] / tau) / sum(math.exp(x / tau) for x in s))
    assert float(loss_min(t, prototypes, torch.arange(4), tau)) == pytest.approx(-total / (3 * 4))


def test_the_mean_over_some_classes_is_equation_3_on_average():
    t, prototypes = features(3, 4, 7), features(4, 7, seed=1)
    single = [loss_min(t[:, i : i + 1], prototypes, torch.tensor([i]), 0.1) for i in range(4)]
    whole = loss_min(t, prototypes, torch.arange(4), 0.1)
    assert float(sum(single) / 4) == pytest.approx(float(whole))


def test_equation_6_written_out():
    h, tau, total = torch.nn.functional.normalize(features(3, 4, 7), dim=-1), 0.1, 0.0
    for p in range(3):
        for i in range(4):
            above = sum(math.exp(float(h[p, i] @ h[q, i]) / tau) for q in range(3) if q != p)
            below = sum(math.exp(float(h[p, i] @ h[q, j]) / tau) for q in range(3) for j in range(4))
            total += math.log(above / below)
    assert float(loss_agg(h, tau)) == pytest.approx(-total / (3 * 4))


def test_equation_6_in_blocks_has_the_same_value_and_gradient():
    for block in (1, 2, 5, 9):
        whole, parts = (features(3, 5, 12).requires_grad_() for _ in range(2))
        (3 * loss_agg(whole, 0.1)).backward()
        loss = loss_agg_in_blocks(parts, 0.1, block)
        (3 * loss).backward()
        assert loss.shape == () and loss.item() == pytest.approx(loss_agg(whole, 0.1).item(), rel=1e-12)
        torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-10, atol=1e-12)


def test_equation_5_weighs_the_two_losses(encoder, monkeypatch):
    domain = 1 + features(3, 7)  # alike, so that L_max is not nearly zero
    text, prototypes, chosen = features(3, 4, 7, seed=1), features(4, 7, seed=2), torch.arange(4)
    monkeypatch.setattr(DomainExpansion, "embed_prompts", lambda self, rows: (domain, text[:, rows]))
    for losses, weight in ((("max", "min"), 1.0), (("max", "min"), 0.3), (("max",), 1.0), (("min",), 1.0)):
        settings = ExpansionSettings(losses=losses, trade_off=weight, expansion_steps=1)
        training = DomainExpansion(encoder, task_with(), settings, NAMES, progress=False)
        training.class_emb = prototypes
        training.begin(), training.run_epoch()
        expected = ("min" in losses) * float(loss_min(text, prototypes, chosen, 0.1))
        expected += ("max" in losses) * weight * float(loss_max(domain, 50.0, 0.5))
        assert training.history[0]["L_total"] == pytest.approx(expected)


# ---- stage 1 ---------------------------------------------------------------------------------------------------


def test_expansion_lowers_its_losses_and_leaves_the_encoder_alone(encoder):
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    stage = expand(encoder, QUICK)
    assert stage.words.shape == (3, 32)
    assert stage.text_emb.shape == (3, 4, 12) and stage.domain_emb.shape == (3, 12)
    first, last = stage.history[0], stage.history[-1]
    assert last["L_min"] + last["L_max"] < 0.8 * (first["L_min"] + first["L_max"])
    assert last["greatest cosine"] < first["greatest cosine"] and len(stage.history) == 15
    assert all(torch.equal(value, before[name]) for name, value in encoder.model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in encoder.model.parameters())


def test_each_word_is_in_its_own_prompts(encoder, fitted):
    tower, stage = WordTower(encoder), fitted.training.expansion

    def embed(prompt: str, word: int) -> torch.Tensor:
        return tower.embed(tower.prompts([prompt]), stage.words[word, None])[0]

    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
    close(embed("A [DOMAIN] style of light bulb.", 0), stage.text_emb[0, 2])
    close(embed("A [DOMAIN] style of cat.", 2), stage.text_emb[2, 1])
    close(embed("A [DOMAIN] style of", 1), stage.domain_emb[1])
    close(encoder.embed_texts(NAMES), stage.class_emb)


def test_a_step_embeds_its_prompts_in_one_pass_of_at_most_classes_per_step(encoder, monkeypatch):
    sizes, embed = [], WordTower.embed
    monkeypatch.setattr(
        WordTower, "embed", lambda self, prompts, words: sizes.append(len(prompts)) or embed(self, prompts, words)
    )
    for settings, passes in (({}, [15, 15]), ({"classes_per_step": 2}, [9, 9])):  # 3 words, alone and with each class
        sizes.clear()
        stage = expand(encoder, QUICK.changed(expansion_steps=2, **settings))
        assert sorted(sizes) == [len(NAMES), *passes] and stage.text_emb.shape == (3, 4, 12)


def test_without_losses_the_words_remain_at_their_start(encoder):
    stage = expand(encoder, QUICK.changed(losses=()))
    start = QUICK.word_std * torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(stage.words, start) and stage.epochs == len(stage.history) == 0


# ---- stage 2 and both ------------------------------------------------------------------------------------------


def trained_h(text: torch.Tensor, **changed) -> torch.Tensor:
    """h of the texts after the second stage."""
    return aggregate(text, QUICK.changed(**changed))[0](text).detach()


def fraction_near_own_class(text: torch.Tensor) -> float:
    """Of (P, C, D) texts, the fraction whose nearest other text has the same class."""
    unit = torch.nn.functional.normalize(text.flatten(0, 1), dim=-1)
    nearest = (unit @ unit.T).fill_diagonal_(-1).argmax(1)
    return float((nearest % text.shape[1] == torch.arange(len(unit)) % text.shape[1]).float().mean())


@pytest.mark.parametrize("geometry", ["hyperbolic", "euclidean", "no bias"])
@pytest.mark.parametrize("residual", [False, True])
def test_aggregation_brings_texts_of_one_class_together(geometry, residual):
    classes, domains = features(1, 4, 12).float(), 2 * features(5, 1, 12, seed=1).float()
    text = classes + domains  # nearest by domain before
    projection, history = aggregate(text, TkiSettings(geometry=geometry, residual=residual))
    with torch.no_grad():
        h = projection(text)
    assert history[-1]["L_agg"] < 0.5 * history[0]["L_agg"]
    torch.testing.assert_close(h.norm(dim=-1), torch.ones(5, 4))
    assert fraction_near_own_class(text) < 0.3
    assert fraction_near_own_class(h) > (0.7 if residual else 0.95)


def test_with_a_large_radius_training_is_that_of_the_euclidean_twin():
    text = features(3, 4, 12).float()
    euclidean = trained_h(text, geometry="euclidean", radius=1e3)
    torch.testing.assert_close(trained_h(text, radius=1e3), euclidean, rtol=0, atol=1e-3)
    assert (trained_h(text, radius=0.2) - euclidean).abs().max() > 0.01


def test_the_seed_determines_the_result_and_the_global_random_state_stays(encoder, fitted, fresh_cache):
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    again, other = tki(encoder, seed=1), tki(encoder, seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    raw = features(6, 12).float()
    torch.testing.assert_close(again.model.project(raw), fitted.model.project(raw))
    assert (other.model.project(raw) - fitted.model.project(raw)).abs().max() > 0.01


def test_the_papers_variants_change_one_thing():
    for name in VARIANTS:
        changed = QUICK.changed(**TKI.changes(name))
        assert len([field for field, value in changed if value != getattr(QUICK, field)]) == 1
        assert TKI.applies(name, QUICK)
    assert all(TKI.applies(name, QUICK) for name in READINGS)


def test_variants_with_the_same_first_stage_share_it(encoder, fresh_cache, monkeypatch):
    trained, run_epoch = [], Training.run_epoch
    monkeypatch.setattr(Training, "run_epoch", lambda self, bar: trained.append(self.name) or run_epoch(self, bar))
    first = tki(encoder)
    assert (trained.count("TKI, domain expansion"), trained.count("TKI")) == (15, 30)
    other = tki(encoder, variant="TKI, Euclidean")
    assert trained.count("TKI, domain expansion") == 15 and trained.count("TKI, Euclidean") == 30
    assert torch.equal(other.training.expansion.text_emb, first.training.expansion.text_emb)
    tki(encoder, variant="TKI, P = 2")
    assert trained.count("TKI, domain expansion") == 30
    trained.clear()
    again, raw = tki(encoder), features(6, 12).float()
    assert trained == [] and torch.equal(again.model.project(raw), first.model.project(raw))


def test_equation_6_over_all_classes_in_every_step():
    text = features(3, 5, 12).float()
    every = trained_h(text, classes_per_step=2, all_classes=True)
    torch.testing.assert_close(every, trained_h(text), rtol=1e-2, atol=1e-3)
    assert (every - trained_h(text, classes_per_step=2)).abs().max() > 1e-2


@pytest.mark.slow
def test_other_readings_of_the_hyperbolic_layer():
    text, unit = features(3, 4, 12).float(), torch.ones(3, 4)
    h = partial(trained_h, text, radius=0.5)
    torch.testing.assert_close(h(output="ball").norm(dim=-1), unit)
    inside = h(output="ball", unit_norm=False).norm(dim=-1)
    assert inside.max() < 0.5 and not torch.allclose(h(unit_norm=False).norm(dim=-1), unit)
    layers = {which: h(hyperbolic_layers=which) for which in ("first", "second", "both")}
    assert torch.equal(layers["second"], h())
    assert all((layers[which] - layers["second"]).abs().max() > 1e-3 for which in ("first", "both"))
    twins = [h(geometry="euclidean", hyperbolic_layers=which) for which in ("first", "both")]
    assert torch.equal(*twins), "a Euclidean h has no hyperbolic layer"
    # radial maps keep directions: with unit outputs the ball and its tangent space are one before training
    start = [Projection(12, QUICK.changed(output=where)) for where in ("ball", "tangent space")]
    start[0].load_state_dict(start[1].state_dict())
    torch.testing.assert_close(*(one(text) for one in start), rtol=1e-4, atol=1e-5)


def test_training_touches_no_image(encoder, fresh_cache, monkeypatch):
    task = task_with()
    for owner, name in ((ClipEncoder, "embed_images"), (ImageSet, "image"), (encoder.model, "encode_image")):
        monkeypatch.setattr(owner, name, no_image)
    assert fit("TKI", encoder, task, settings=QUICK, progress=False).history


def test_an_embedding_is_the_projection_of_the_image_towers_features(encoder, fitted, fresh_cache):
    images = shapes((2, 2))
    emb = fitted.embed(images)
    with torch.no_grad():
        torch.testing.assert_close(emb, fitted.model(encoder.embed_images(images)))
    torch.testing.assert_close(emb.norm(dim=1), torch.ones(4))


# ---- settings and class names ----------------------------------------------------------------------------------


def test_strategy_1_uses_the_names_of_the_query_classes_and_2_other_names():
    task = task_with(["light_bulb", "dog_n01"], seen=["dog_n01", "Hot_Dog", "cat", "guitar"], words={"dog_n01": "dog"})
    assert names_for(task) == ["light bulb", "dog"]
    assert sorted(names_for(task, 2)) == ["cat", "guitar"]  # seen classes that are not query classes, and no dogs
    drawn = [names_for(task_with(["dog", "house"]), 2, seed=seed) for seed in (0, 1, 0)]
    assert drawn[0] != drawn[1] and drawn[0] == drawn[2]


@pytest.mark.parametrize(("count", "size"), [(None, 2), (3, 3), (0, 4)])
def test_strategy_2_draws_the_requested_number_of_names(count, size):
    task = task_with(["dog", "house"], seen=["cat", "tree", "Guitar", "dogs", "apple"])
    names = names_for(task, 2, count=count)
    assert len(names) == size and set(names) <= {"cat", "tree", "guitar", "apple"}
    with pytest.raises(CdirError, match="9 names.* 4"):
        names_for(task, 2, count=9)


# ---- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "TKI.* got none"),
        (["dog"], "got 'dog'"),
        (["dog", " "], "got 'dog', ' '"),
        (["dog", "cat", "dog"], '"dog" appears twice'),
        (["dog", "one " * 20], "one one.* small reads 16"),
    ],
)
def test_bad_class_names_are_refused(encoder, names, message):
    with pytest.raises(CdirError, match=message):
        tki(encoder, names=names)


def test_domainnet_s_other_names_are_from_our_list_of_objects():
    own = load_card("domainnet_original").classes
    names = names_for(task_with(own), 2)
    assert len(names) == 345 and set(names) <= set(object_names())
    assert not {word for name in own for word in re.findall(r"\w+", name.lower())} & set(" ".join(names).split())
