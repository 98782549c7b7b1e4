"""UCDIR's trainer on a few small pictures: what a step does, its schedule, states, resuming, and bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cdir_nb.methods.ucdir.settings import CONFIGS, UcdirConfig
from PIL import Image, ImageDraw
from small_clip import make_encoder

from cdir_nb.conventions import BEST_ON_TEST, LAST_EPOCH
from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.moco import HEAD_SHAPES, PREFIX
from cdir_nb.errors import CdirError
from cdir_nb.methods import ucdir
from cdir_nb.methods.checkpoints import save_checkpoint
from cdir_nb.methods.ucdir import method as code
from cdir_nb.methods.ucdir.losses import cluster_wise, distance_of_distance, instance_wise, self_entropy
from cdir_nb.methods.ucdir.network import keys
from cdir_nb.methods.ucdir.views import CachedViews, PixelViews, moco_v2, side_of, start_of, viewed

QUICK = UcdirConfig(
    trains="head",
    hidden=16,
    epochs=4,
    cluster_from=1,
    full_from=3,
    align_from=2,
    batch_size=8,
    learning_rate=0.05,
    encoder_momentum=0.9,
    views=3,
    score_at=2,
    record_every=2,
)


def shapes(per_domain=(20, 13), classes: int = 3) -> ImageSet:
    """Discs, squares and crosses of any colour, filled in domain `ink` and as outlines in domain `line`."""
    rng, pixels = np.random.default_rng(0), {}
    for domain, count in zip(("ink", "line"), per_domain):
        for n in range(count):
            picture = Image.new("RGB", (32, 32), "white")
            draw, kind = ImageDraw.Draw(picture), n % classes
            box, colour = (6, 6, 26, 26), tuple(rng.integers(0, 160, 3).tolist())
            how = {"fill": colour} if domain == "ink" else {"outline": colour, "width": 2}
            if kind == 2:
                draw.line([box[0], box[1], box[2], box[3]], fill=colour, width=5 if domain == "ink" else 2)
            else:
                (draw.ellipse, draw.rectangle)[kind](box, **how)
            pixels[f"{domain}/{('disc', 'square', 'cross')[kind]}/{n}.png"] = np.asarray(picture)
    names = [key.split("/") for key in pixels]
    columns = (np.array([name[i] for name in names]) for i in (0, 1))
    return ImageSet(tuple(pixels), *columns, lambda key: Image.fromarray(pixels[key]), tuple(map(repr, pixels)))


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture(scope="module")
def pair() -> ucdir.TwoDomains:
    return ucdir.TwoDomains(shapes(), ("ink", "line"), 3)


@pytest.fixture(scope="module")
def fitted(encoder, pair):
    return ucdir.fit(encoder, pair, QUICK, seed=1, progress=False)


def training(encoder, pair, config=QUICK) -> code.UcdirTraining:
    return code.UcdirTraining(encoder, pair, config, 1, progress=False)


def first_step(made: code.UcdirTraining, clusters=()):
    """Begin, and see the first batch; returns the step and the state of the networks after it."""
    made.begin()
    generator = torch.Generator().manual_seed(0)
    inputs = next(iter(made.views.epoch([torch.arange(8), torch.arange(8)], 8, generator)))
    return made.see(inputs, list(clusters), generator), inputs


# ---- a step ----------------------------------------------------------------------------------------------------


def test_the_memory_holds_the_keys_before_the_loss_and_only_of_the_batch(encoder, pair):
    made = training(encoder, pair)
    made.begin()
    before = [bank.clone() for bank in made.banks]
    step, _ = first_step(made)
    for bank, old, ids, k in zip(step.banks, before, step.ids, step.k):
        assert torch.equal(bank[ids], k) and torch.equal(bank[8:], old[8:])


def test_the_momentum_encoder_moves_at_every_step_and_before_the_keys(encoder, pair):
    made = training(encoder, pair).begin()
    with torch.no_grad():
        made.model.head[0].weight.add_(1.0)
    slow = made.momentum.head[0].weight.clone()
    inputs = next(iter(made.views.epoch([torch.arange(8), torch.arange(8)], 8, torch.Generator().manual_seed(0))))
    step = made.see(inputs, [], torch.Generator())
    torch.testing.assert_close(made.momentum.head[0].weight, 0.9 * slow + 0.1 * made.model.head[0].weight)
    torch.testing.assert_close(step.k[0], made.momentum(inputs[0][2]))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_total_is_equation_11_by_its_parts(encoder, pair, reduction):
    """As released: means over both domains, L_SE over four pairs. As written: sums over the images and both domains."""
    config = QUICK.changed(reduction=reduction, alpha=0.7, beta=0.3, gamma=0.6)
    made = training(encoder, pair, config).begin()
    made.epoch = 2
    clusters, _ = made.cluster()
    step, inputs = first_step(made, clusters)
    (a,), (b,) = clusters
    both = (a.centroids, b.centroids)
    c = config
    parts = {
        "L_IW": [instance_wise(*(x[d] for x in (step.q, step.k, step.banks, step.ids)), c.tau) for d in (0, 1)],
        "L_CW": [
            cluster_wise(
                step.q[d], step.k[d], step.banks[d], of.labels, step.ids[d], of.centroids, c.tau, c.least_confidence
            )
            for d, of in enumerate((a, b))
        ],
        "L_SE": [self_entropy(x, of, c.phi_entropy) for x in step.q for of in both],
        "L_DD": [distance_of_distance(x, *both, c.phi_distance) for x in step.q],
    }
    for name, values in parts.items():
        mean = sum(float(value.detach()) for value in values) / len(values)
        expected = mean if reduction == "mean" else mean * 8 * len(values)
        found = made.reduced(made.objective.terms(step, config)[name])
        assert float(found.detach()) == pytest.approx(expected, rel=1e-5)
    assert made.objective.weights(config, 2) == {"L_IW": 1, "L_CW": pytest.approx(0.35), "L_SE": 0.6, "L_DD": 0.3}


def test_equation_4_ramps_linearly():
    config = UcdirConfig(alpha=0.5, cluster_from=20, full_from=100)
    assert [config.weight_of_clusters(e) for e in (0, 20, 60, 100, 199)] == [0, 0, 0.25, 0.5, 0.5]


def test_losses_count_from_their_epoch_on(fitted):
    history = fitted[0].history
    assert [row.get("weight L_SE") for row in history] == [None, 0, 0.5, 0.5]
    assert [row.get("weight L_CW") for row in history] == [None, 0.0, 0.5, 1.0]
    assert all("L_DD" in row for row in history[1:]) and "L_CW" not in history[0]


def test_v1_needs_no_clusters_and_as_released_filter_is_off_as_written(encoder, pair):
    last, _ = ucdir.fit(encoder, pair, ucdir.variant("L_IW (v1)", QUICK), progress=False)
    assert all(row["k-means seconds"] == 0 for row in last.history)
    written, released = CONFIGS["as_written"], CONFIGS["as_released"]
    assert (written.least_confidence, released.least_confidence) == (None, 0.2)
    assert (written.align_from, released.align_from) == (20, 100)


def test_every_value_of_a_named_configuration_has_a_source_of_its_own():
    sources = {name: {row["setting"]: row["source"] for row in config.table()} for name, config in CONFIGS.items()}
    assert not [name for name, rows in sources.items() if any(text.startswith("set here") for text in rows.values())]
    assert sources["as_released"]["trains"].startswith("paper") and "domainnet.sh" in sources["as_released"]["alpha"]
    assert "office-home.sh" in sources["as_written, Office-Home"]["alpha"]
    assert sources["as_written"]["reduction"] == "paper, equations 1, 2, 8 and 9"
    assert "NOT the paper's training" in sources["as_released, head"]["trains"]
    changed = {row["setting"]: row["source"] for row in UcdirConfig(tau=0.5).table()}
    assert changed["tau"].startswith("set here; default 0.2")


def test_baselines_have_their_own_rate_for_a_head_and_take_means():
    head, whole = CONFIGS["as_released, head"], CONFIGS["as_released"]
    rates = [ucdir.variant(m, head).learning_rate for m in ("L_IW (v1)", "ID", "ProtoNCE", "CDS", "PCS")]
    assert rates == pytest.approx([0.3, 0.1, 0.3, 0.01, 0.1])
    assert ucdir.variant("CDS", whole).learning_rate == whole.learning_rate
    written = ucdir.variant("PCS", CONFIGS["as_written, head"])
    assert written.reduction == "mean" and written.learning_rate == pytest.approx(0.1)


# ---- the loop and its states -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ucdir.VARIANTS)
def test_every_method_trains_and_embeds(encoder, pair, method):
    last, best = ucdir.fit(encoder, pair, ucdir.variant(method, QUICK.changed(epochs=2, full_from=1)), progress=False)
    emb = last.embed(pair.images)
    assert emb.shape == (33, 128) and torch.isfinite(emb).all()
    torch.testing.assert_close(emb.norm(dim=1), torch.ones(33))
    assert last.steps == 2 * (20 // 8) and best.epoch <= last.epoch == 2
    assert all(math.isfinite(value) for row in last.history for value in row.values())


def test_training_brings_views_of_an_image_together(encoder, pair):
    last, _ = ucdir.fit(encoder, pair, ucdir.variant("L_IW (v1)", QUICK.changed(epochs=12)), progress=False)
    assert last.history[-1]["L_IW"] < last.history[0]["L_IW"] - 0.1
    assert last.history[-1]["moved, parameters"] > 0.01


def test_both_selection_rules_come_from_one_training(fitted):
    last, best = fitted
    scores = [row["P@k by labels"] for row in last.history]
    assert (last.selection, best.selection) == (LAST_EPOCH, BEST_ON_TEST)
    assert best.epoch == 0 or scores[best.epoch - 1] == max(scores)
    assert best.steps == best.epoch * 2 and last.epoch == 4


def test_the_score_is_that_of_the_states_own_embeddings(fitted, pair):
    last, _ = fitted
    a, b = (last.embed(pair.side(d)) for d in (0, 1))
    labels = [pair.side(d).labels for d in (0, 1)]
    by_hand = []
    for x, y, own, other in ((a, b, *labels), (b, a, *labels[::-1])):
        top = (x @ y.T).argsort(dim=1, descending=True)[:, :2]
        by_hand.append(np.mean([other[j] == own[i] for i in range(len(x)) for j in top[i].tolist()]))
    assert last.history[-1]["P@k by labels"] == pytest.approx(np.mean(by_hand))


def test_the_best_state_is_the_momentum_encoder_of_its_epoch(encoder, pair, monkeypatch):
    scores = iter([0.1, 0.2, 0.6, 0.3, 0.4])
    monkeypatch.setattr(code.UcdirTraining, "validate", lambda self: next(scores))
    _, best = ucdir.fit(encoder, pair, QUICK, seed=1, progress=False)
    assert best.epoch == 2
    found = F.normalize(best.recorded[2]["line"], dim=1)
    torch.testing.assert_close(found, best.embed(pair.side(1)), atol=2e-3, rtol=0)


def test_embeddings_of_recorded_epochs_are_those_of_the_embedder(fitted, pair):
    last, _ = fitted
    assert sorted(last.recorded) == [0, 2, 4]
    found = F.normalize(last.at_epoch(4).embed(pair.images), dim=1)
    torch.testing.assert_close(found, last.embed(pair.images), atol=2e-3, rtol=0)
    assert not torch.allclose(last.at_epoch(0).embed(pair.images), found, atol=2e-3)
    with pytest.raises(CdirError, match="epoch 3 were not recorded; recorded: 0, 2, 4"):
        last.at_epoch(3)


def test_an_interrupted_training_goes_on_to_the_same_end(encoder, pair, fitted, tmp_path):
    first = training(encoder, pair)
    first.begin()
    first.next_epoch(), first.next_epoch()
    made_of = code.made_of(encoder, pair, QUICK, 1)
    save_checkpoint(tmp_path / "half.pt", made_of, first.state())
    last, best = ucdir.fit(encoder, pair, QUICK, seed=1, checkpoint=tmp_path / "half.pt", progress=False)
    torch.testing.assert_close(last.embed(pair.images), fitted[0].embed(pair.images))
    torch.testing.assert_close(best.embed(pair.images), fitted[1].embed(pair.images))
    assert sorted(last.recorded) == [0, 2, 4]


def test_a_finished_training_is_read_from_the_cache(encoder, pair, fitted, monkeypatch):
    kept = ucdir.kept_at(encoder, pair, QUICK, 1)
    ucdir.fit(encoder, pair, QUICK, seed=1, checkpoint=kept, progress=False)
    monkeypatch.setattr(code.UcdirTraining, "next_epoch", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(code, "CachedViews", lambda *_, **__: pytest.fail("embedded the images again"))
    again, _ = ucdir.fit(encoder, pair, QUICK, seed=1, checkpoint=kept, progress=False)
    torch.testing.assert_close(again.embed(pair.images), fitted[0].embed(pair.images))
    with pytest.raises(CdirError, match="belongs to another training .different settings."):
        ucdir.fit(encoder, pair, QUICK.changed(tau=0.1), seed=1, checkpoint=kept, progress=False)


# ---- the whole network -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backbone():
    """A small convolutional network with batch norm."""
    return ucdir.at_side(load_encoder("timm:test_efficientnet:random"), 32)


def test_a_backbone_reads_pictures_of_another_size_and_a_clip_does_not(backbone, encoder):
    assert (side_of(backbone), side_of(ucdir.at_side(encoder, 64))) == (32, 32)
    assert ucdir.at_side(backbone, 0) is backbone


def test_the_whole_network_trains_and_the_encoder_given_stays_as_it_was(backbone, pair):
    before = {name: x.clone() for name, x in backbone.model.state_dict().items()}
    config = QUICK.changed(trains="all", epochs=2, full_from=1, align_from=1)
    last, best = ucdir.fit(backbone, pair, config, progress=False)
    assert all(torch.equal(x, before[name]) for name, x in backbone.model.state_dict().items())
    assert last.history[-1]["moved, parameters"] > 0
    found = F.normalize(last.recorded[2]["ink"], dim=1)
    torch.testing.assert_close(found, last.embed(pair.side(0)), atol=5e-3, rtol=0)
    assert "whole network" in last.train_set


def test_the_result_says_that_the_pretraining_saw_training_images(backbone, pair, monkeypatch):
    last, _ = ucdir.fit(
        backbone, pair, QUICK.changed(trains="all", epochs=1, full_from=1, align_from=1), progress=False
    )
    assert "pretraining" not in last.train_set
    monkeypatch.setattr("cdir_nb.encoders.pretraining.seen_in_pretraining", lambda *_: 7)
    assert "two domains; some seen in the encoder's pretraining; whole network" in last.train_set


def test_clip_starts_from_the_image_tower_alone(encoder, pair):
    made = training(encoder, pair, QUICK.changed(trains="all"))
    names = [name for name, p in made.model.named_parameters() if p.requires_grad]
    assert all("visual" in name or name.startswith("head") for name in names) and len(names) > 4
    assert ucdir.recorded_name("UCDIR", encoder) == "CLIP-UCDIR"


def test_the_start_of_a_clip_is_vanilla_clip(encoder, backbone, pair):
    assert [ucdir.frozen_start(start).name for start in (encoder, backbone)] == ["vanilla CLIP", "frozen start"]
    emb = ucdir.frozen_start(backbone).embed(pair.side(1), progress=False)
    torch.testing.assert_close(emb, F.normalize(backbone.embed_images(pair.side(1)), dim=1))


def test_clips_whole_image_tower_trains_and_its_texts_stay(encoder, pair):
    config = QUICK.changed(trains="all", epochs=2, full_from=1, align_from=1)
    last, _ = ucdir.fit(encoder, pair, config, progress=False)
    tuned, own = last.network.trunk.model.state_dict(), encoder.model.state_dict()
    changed = {name.split(".")[0] for name, x in tuned.items() if not torch.equal(x, own[name])}
    assert changed == {"visual"} and last.embed(pair.images).shape == (33, 128)


def test_split_norm_sees_each_half_by_itself_and_keeps_the_order(backbone):
    network = code.Network(code.image_tower(backbone), backbone.dim, QUICK, 0).train()
    x = torch.randn(8, 3, 32, 32)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(5))
    expected = torch.empty(8, 128)
    with torch.no_grad():
        expected[order] = torch.cat([network(x[order[:4]]), network(x[order[4:]])])
    found = keys(network, x, split=True, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, keys(network, x, split=False, generator=torch.Generator()), atol=1e-3)


# ---- views -----------------------------------------------------------------------------------------------------


def test_a_view_is_the_same_each_time_and_differs_from_others(pair, encoder):
    images = pair.side(0)
    one, again, other = (np.asarray(viewed(images, n, 32).image(0)) for n in (4, 4, 5))
    assert one.shape == (32, 32, 3) and np.array_equal(one, again) and not np.array_equal(one, other)
    before = torch.get_rng_state()
    viewed(images, 1, 32).image(0)
    assert torch.equal(before, torch.get_rng_state())
    assert side_of(encoder) == 32 and len({*viewed(images, 1, 32).digests, *images.digests}) == 40


def test_the_augmentation_is_moco_v2s():
    crop, jitter, grey, blur, flip = moco_v2(224).transforms
    assert (tuple(crop.size), tuple(crop.scale)) == ((224, 224), (0.2, 1.0))
    inner = jitter.transforms[0]
    assert (jitter.p, grey.p, blur.p, flip.p) == (0.8, 0.2, 0.5, 0.5)
    assert [tuple(round(v, 2) for v in x) for x in (inner.brightness, inner.contrast, inner.saturation, inner.hue)] == [
        *[(0.6, 1.4)] * 3, (-0.1, 0.1)
    ]  # fmt: skip


def test_cached_views_give_two_different_views_of_each_image(encoder, pair):
    views = CachedViews(encoder, pair, 3, progress=False)
    for (ids, first, second), table in zip(
        next(iter(views.epoch([torch.arange(13)] * 2, 13, torch.Generator()))), views.views
    ):
        for i, x, y in zip(ids, first, second):
            places = [int((table[i] == row).all(dim=1).nonzero()[0]) for row in (x, y)]
            assert places[0] != places[1]


def test_pixel_views_change_from_epoch_to_epoch(encoder, pair):
    views, generator = PixelViews(encoder, pair), torch.Generator().manual_seed(0)
    orders = [torch.arange(8), torch.arange(8)]
    epochs = [list(views.epoch(orders, 4, generator)) for _ in range(2)]
    assert [len(steps) for steps in epochs] == [2, 2] and epochs[0][0][0][1].shape == (4, 3, 32, 32)
    assert not torch.equal(epochs[0][0][0][1], epochs[1][0][0][1])
    assert not torch.equal(epochs[0][0][0][1], epochs[0][0][0][2])


# ---- bad input -------------------------------------------------------------------------------------------------


def test_a_domain_smaller_than_a_batch_is_repeated(encoder):
    small = ucdir.TwoDomains(shapes((20, 5)), ("ink", "line"), 3)
    last, _ = ucdir.fit(encoder, small, QUICK.changed(epochs=2, full_from=1), progress=False)
    assert last.steps == 4 and math.isfinite(last.history[-1]["L_IW"])


def test_both_domains_smaller_than_a_batch_make_one_smaller_step(encoder):
    small = ucdir.TwoDomains(shapes((6, 5)), ("ink", "line"), 3)
    last, _ = ucdir.fit(encoder, small, QUICK.changed(epochs=2, full_from=1), progress=False)
    assert last.steps == 2


def test_more_clusters_than_images_are_refused_before_anything_is_computed(encoder):
    small = ucdir.TwoDomains(shapes((20, 5)), ("ink", "line"), 9)
    with pytest.raises(CdirError, match="UCDIR: 9 clusters, but 5 training images of line: lower `clusters`"):
        ucdir.fit(encoder, small, QUICK, progress=False)
    with pytest.raises(CdirError, match="ProtoNCE: 40 clusters, but 25 training images in both domains"):
        ucdir.fit(encoder, small, ucdir.variant("ProtoNCE", QUICK.changed(clusters=20)), progress=False)


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda images: ucdir.TwoDomains(images, ("ink",), 3), "two domains, got ink"),
        (lambda images: ucdir.TwoDomains(images, ("ink", "sketch"), 3), "domain sketch has no training images"),
        (lambda images: ucdir.TwoDomains(images, ("ink", "line"), 1), "at least two classes"),
        (lambda images: ucdir.TwoDomains(images, ("ink", "line"), 3).sample(-1, 0), "cannot draw -1"),
        (lambda images: UcdirConfig(full_from=10), "full_from .10. is before cluster_from .20."),
        (lambda images: UcdirConfig(trains="trunk"), "trains should be 'all' or 'head', not 'trunk'"),
        (lambda images: ucdir.named_config("as read"), 'unknown settings "as read"; known: as_released'),
        (lambda images: ucdir.variant("SimCLR", QUICK), "unknown variant of UCDIR 'SimCLR'; known: UCDIR"),
    ],
)
def test_bad_input_is_refused_in_one_line(wrong, said):
    with pytest.raises(CdirError, match=said) as error:
        wrong(shapes())
    assert "\n" not in str(error.value)


def test_images_of_other_domains_are_refused(fitted, pair):
    other = replace(pair.images, domains=np.array(["photo"] * len(pair.images)))
    with pytest.raises(CdirError, match="trained for ink and line, but there are images of photo"):
        fitted[0].embed(other)


# ---- MoCo v2's checkpoint --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moco_state() -> dict[str, torch.Tensor]:
    """A checkpoint in MoCo's form: a ResNet-50 of random weights, and a head."""
    model = load_encoder("timm:resnet50:random").model
    state = {**model.state_dict(), **{name: torch.full(shape, 0.01) for name, shape in HEAD_SHAPES.items()}}
    return {f"{PREFIX}{name}": x for name, x in state.items()} | {"module.queue": torch.zeros(128, 4)}


def test_a_moco_checkpoint_gives_trunk_and_head(moco_state, tmp_path):
    torch.save({"state_dict": moco_state, "epoch": 200}, tmp_path / "moco_v2.pth.tar")
    encoder, head = start_of(f"moco-v2:{tmp_path / 'moco_v2.pth.tar'}", 64)
    assert side_of(encoder) == 64 and start_of("mobilenet-v2")[1] is None
    assert torch.equal(encoder.model.conv1.weight, moco_state[f"{PREFIX}conv1.weight"])
    assert encoder.identity.startswith("moco-v2:moco_v2.pth.tar") and "random" not in encoder.identity
    network = code.Network(torch.nn.Identity(), 2048, UcdirConfig(), 0)
    network.load_head(head)
    assert torch.equal(network.head[2].weight, moco_state[f"{PREFIX}fc.2.weight"])
    narrow = code.Network(torch.nn.Identity(), 2048, UcdirConfig(hidden=16), 0)
    with pytest.raises(CdirError, match="head has shapes .* the settings ask for .*: change hidden or dim"):
        narrow.load_head(head)


def test_a_given_head_belongs_to_the_whole_network_only(encoder, pair):
    shapes = {"0.weight": (32, encoder.dim), "0.bias": (32,), "2.weight": (8, 32), "2.bias": (8,)}
    head = {name: torch.full(shape, 0.5) for name, shape in shapes.items()}
    for trains in ("all", "head"):
        config = QUICK.changed(trains=trains, hidden=32, dim=8)
        network = code.UcdirTraining(encoder, pair, config, 1, head=head, progress=False).model
        assert torch.equal(network.head[2].weight, head["2.weight"]) == (trains == "all")


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda s: s.pop(f"{PREFIX}fc.0.weight"), "fc.0.weight is missing, expected .2048, 2048."),
        (lambda s: s.update({f"{PREFIX}conv1.weight": torch.zeros(3)}), "conv1.weight is .3,., expected"),
        (lambda s: s.update({f"{PREFIX}fc.weight": torch.zeros(3)}), "fc.weight is .3,., expected no such tensor"),
    ],
)
def test_a_checkpoint_with_other_shapes_is_refused(moco_state, tmp_path, change, said):
    state = {name: x.half() for name, x in moco_state.items()}
    change(state)
    torch.save({"state_dict": state}, tmp_path / "moco.pth")
    with pytest.raises(CdirError, match=f"is not MoCo v2's ResNet-50: {said}"):
        load_encoder(f"moco-v2:{tmp_path / 'moco.pth'}")


def test_a_damaged_or_missing_checkpoint_is_refused(tmp_path):
    (tmp_path / "moco.pth").write_bytes(b"nothing")
    with pytest.raises(CdirError, match="is damaged or not MoCo's"):
        load_encoder(f"moco-v2:{tmp_path / 'moco.pth'}")
    with pytest.raises(CdirError, match="does not exist"):
        load_encoder(f"moco-v2:{tmp_path / 'no.pth'}")
