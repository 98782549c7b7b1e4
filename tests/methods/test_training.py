"""The training loop, on a small supervised training with batch norm: stopping, resuming, selection, cache keys."""

import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from small_clip import make_encoder
from torch import nn
from toy_task import toy_task

from cdir_nb.conventions import BY_PSEUDO_LABELS, BY_SEEN_LABELS, LAST_EPOCH
from cdir_nb.errors import CdirError
from cdir_nb.methods import METHODS, Method, Settings, fit, setting
from cdir_nb.methods import training as engine
from cdir_nb.methods.batches import domain_batches
from cdir_nb.methods.checkpoints import cache_key, checkpoint_file
from cdir_nb.methods.training import Training
from cdir_nb.paths import PACKAGE

pytestmark = [pytest.mark.medium, pytest.mark.usefixtures("own_cache")]


class LineSettings(Settings):
    method = "line"
    learning_rate: float = setting(0.1, "our default", gt=0)
    epochs: int = setting(4, "our default", ge=0)


class Line(Training):
    """Two layers with batch norm between them learn a sum; `scores` stands in for validation."""

    scores: tuple = ()
    weight = 1.0

    def build(self):
        torch.manual_seed(0)
        self.steps_per_epoch = 5
        self.images = self.task.images
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def make_optimizer(self):
        return torch.optim.SGD(self.model.parameters(), lr=self.settings.learning_rate, momentum=0.9)

    def make_schedule(self):
        return torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)

    def batches(self):
        for _ in range(self.steps_per_epoch):
            yield torch.randn(8, 3, generator=self.generator)

    def losses(self, x):
        self.note(largest=float(x.max()))
        error = (self.model(x)[:, 0] - x.sum(1)).square().mean()
        return {"error": error, "twice": 2 * error.detach()}

    def weights(self):
        return {"error": self.weight, "twice": 0.0}

    def validate(self):
        return {BY_PSEUDO_LABELS: self.scores[self.epoch], BY_SEEN_LABELS: -self.epoch} if self.scores else {}

    def group_of(self, name):
        return "first" if name.startswith("0.") else "others"

    def stores_snapshot(self, epoch):
        return epoch != 1

    def embed(self, model, images, progress):
        return model(torch.linspace(-1, 1, 3 * len(images)).reshape(-1, 3))


def line(kind=Line, *, seed=2, **settings) -> Training:
    return kind(make_encoder(), toy_task(), (), LineSettings(**settings), name="line", seed=seed, progress=False)


def scored(*scores: float, patience: int | None = None) -> type[Training]:
    return type("Scored", (Line,), {"scores": scores, "patience": patience})


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """Classes that a test makes have no source that could enter a cache key."""
    monkeypatch.setattr(engine, "cache_key", lambda training: None)


def run(training: Training) -> Training:
    training.run()
    return training


def same(left: dict, right: dict) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_the_loop_is_plain_gradient_descent():
    training = run(line())
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer, rate = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), 0.1
    for epoch in range(4):
        generator = torch.Generator().manual_seed(2000 + epoch)
        losses = []
        for _ in range(5):
            x = torch.randn(8, 3, generator=generator)
            loss = (model(x)[:, 0] - x.sum(1)).square().mean()
            optimizer.zero_grad(), loss.backward(), optimizer.step()
            losses.append(loss.item())
        rate *= 0.9
        optimizer.param_groups[0]["lr"] = rate
        row = training.history[epoch]
        assert row["error"] == pytest.approx(np.mean(losses), rel=1e-5)
        assert (row["twice"], row["L_total"]) == pytest.approx((2 * row["error"], row["error"]), rel=1e-5)
    for name, x in model.state_dict().items():
        torch.testing.assert_close(training.model.state_dict()[name], x)


def test_without_a_score_there_is_the_last_epoch_alone():
    assert {rule: epoch for rule, (epoch, _) in run(line()).states().items()} == {LAST_EPOCH: 4}


def test_patience_counts_on_the_first_rule_and_the_best_state_has_its_running_statistics():
    training = run(line(scored(0.1, 0.5, 0.4, 0.3, 0.9, patience=2)))
    states = training.states()
    epochs = {rule: epoch for rule, (epoch, _) in states.items()}
    assert epochs == {BY_PSEUDO_LABELS: 1, BY_SEEN_LABELS: 0, LAST_EPOCH: 3}
    assert same(states[BY_PSEUDO_LABELS][1], run(line(epochs=1)).current_state())
    assert not same(states[LAST_EPOCH][1], states[BY_PSEUDO_LABELS][1])


def test_the_first_of_equal_scores_is_selected():
    assert run(line(scored(0.1, 0.5, 0.5, 0.2, 0.5))).best[BY_PSEUDO_LABELS]["epoch"] == 1


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(CdirError, match="NaN in epoch 1"):
        run(line(scored(0.1, math.nan)))


def test_a_loss_that_is_not_finite_is_refused():
    with pytest.raises(CdirError, match="learning_rate, now"):
        run(line(learning_rate=1e30))


def test_an_epoch_in_which_no_loss_counts_changes_nothing():
    training = line(type("Weightless", (Line,), {"weight": 0.0}))
    before = {name: x.clone() for name, x in training.model.named_parameters()}
    run(training)
    assert same(before, dict(training.model.named_parameters()))


def test_an_interrupted_training_goes_on_to_the_same_end():
    first, resumed, whole = line(scored(1, 2, 3, 4, 5)), line(scored(1, 2, 3, 4, 5)), run(line(scored(1, 2, 3, 4, 5)))
    first.begin(), first.run_epoch(), first.run_epoch()
    resumed.restore(first.state())
    while not resumed.finished:
        resumed.run_epoch()
    for rule, (epoch, state) in whole.states().items():
        assert resumed.states()[rule][0] == epoch and same(resumed.states()[rule][1], state)
    for row in resumed.history + whole.history:
        del row["seconds"], row["peak GB"]
    assert resumed.history == whole.history
    assert sorted(resumed.snapshots) == [0, 2, 3, 4] and same(resumed.snapshots[0], whole.snapshots[0])


def test_movement_is_the_relative_distance_from_the_start():
    training = line()
    training.begin()
    before = [x.detach().clone() for x in training.model[0].parameters()]
    with torch.no_grad():
        training.model[0].weight.add_(1.0)
    norm = math.sqrt(sum(float(x.square().sum()) for x in before))
    assert training.moved() == {"first": pytest.approx(math.sqrt(12) / norm, rel=1e-5), "others": 0.0}


def test_the_momentum_encoder_by_hand():
    training = line()
    training.model, training.momentum = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    training.model.weight.data.fill_(3.0), training.momentum.weight.data.fill_(1.0)
    training.update_momentum(0.9)
    assert training.momentum.weight.item() == pytest.approx(1.2)


# ---- fit, and the cache ----------------------------------------------------------------------------------------

LINE = Method(
    name="line",
    paper="a test",
    build=Line,
    settings=LineSettings,
    variants={"slow line": {"learning_rate": 0.01}},
    named={"short": LineSettings(epochs=2)},
    for_encoder={"small": "short"},
)


def test_fit_gives_states_history_and_stored_epochs():
    fitted = fit(LINE, make_encoder(), toy_task(), settings={"epochs": 3}, seed=5, progress=False)
    (last,) = fitted.states[LAST_EPOCH]
    assert (last.name, last.steps, last.epoch, fitted.seed) == ("line", 15, 3, 5)
    assert last.settings == {"learning_rate": 0.1, "epochs": 3} == fitted.settings.plain()
    assert [row["epoch"] for row in fitted.history] == [1, 2, 3] and fitted.stored_epochs == (0, 2, 3)
    (start,) = fitted.at_epoch(0)
    assert start.steps == 0 and set(start.moved.values()) == {0.0}
    images = toy_task().images
    assert not torch.equal(start.embed(images), last.embed(images))
    assert torch.equal(fitted.at_epoch(3)[0].embed(images), last.embed(images))
    with pytest.raises(CdirError, match="epoch 1 was not stored; stored: 0, 2, 3"):
        fitted.at_epoch(1)


def test_settings_are_those_of_the_encoder_then_the_variant_then_overrides():
    encoder = make_encoder()
    assert LINE.configured(encoder) == LineSettings(epochs=2)
    assert LINE.configured(encoder, variant="slow line") == LineSettings(epochs=2, learning_rate=0.01)
    given = LINE.configured(encoder, variant="slow line", settings={"learning_rate": 0.5})
    assert given == LineSettings(epochs=2, learning_rate=0.5)
    assert LINE.configured(settings={"epochs": 1}) == LineSettings(epochs=1)
    assert LINE.configured(settings="short").epochs == 2 == LINE.configured(settings={"named": "short"}).epochs
    assert LINE.configured(encoder, variant="slow line", settings=LineSettings()) == LineSettings(learning_rate=0.01)
    assert LINE.applies("slow line", LineSettings()) and not LINE.applies("slow line", LineSettings(learning_rate=0.01))


@pytest.mark.parametrize(
    "how, value",
    [
        ({"variant": "fast line"}, "fast line"),
        ({"settings": "long"}, "long"),
        ({"settings": {"rate": 1.0}}, "rate"),
        ({"settings": {"epochs": -1}}, "-1"),
        ({"directions": [("ink", "ink")]}, "ink -> ink"),
        ({"method": "CLARE"}, "'CLARE'.*UCDIR"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(how, value):
    with pytest.raises(CdirError, match=value) as error:
        fit(**{"method": LINE, "encoder": make_encoder(), "task": toy_task(), **how})
    assert "\n" not in str(error.value)


def test_a_finished_training_is_read_and_another_setting_or_seed_is_another_file(monkeypatch):
    monkeypatch.undo()  # with cache keys
    encoder, task = make_encoder(), toy_task()
    first = fit(LINE, encoder, task, progress=False)
    files = {
        checkpoint_file("line", cache_key(line(**how)))
        for how in ({"epochs": 2}, {"epochs": 3}, {"epochs": 2, "learning_rate": 0.2}, {"epochs": 2, "seed": 3})
    }
    assert len(files) == 4
    monkeypatch.setattr(Line, "losses", lambda *_: pytest.fail("trained again"))
    again = fit(LINE, encoder, task, progress=False)
    assert again.history == first.history
    assert torch.equal(again.states[LAST_EPOCH][0].embed(task.images), first.states[LAST_EPOCH][0].embed(task.images))


def test_a_damaged_checkpoint_is_named(monkeypatch):
    monkeypatch.undo()
    fit(LINE, make_encoder(), toy_task(), seed=8, progress=False)
    file = checkpoint_file("line", cache_key(line(epochs=2, seed=8)))
    file.write_bytes(b"nothing")
    with pytest.raises(CdirError, match=file.name):
        fit(LINE, make_encoder(), toy_task(), seed=8, progress=False)


def test_a_changed_loss_changes_the_keys_of_what_imports_it_and_of_nothing_else(tmp_path):
    """In a copy of the package: a constant in ucdir/losses.py is part of the code of UCDIR, PCS and CDS only."""
    package = tmp_path / "cdir_nb"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("*.safetensors", "*.gz", "__pycache__"))
    shutil.copytree(PACKAGE.parent / "data_manifest", tmp_path / "data_manifest")
    (tmp_path / "pyproject.toml").touch()
    before = _codes(tmp_path)
    losses = package / "methods" / "ucdir" / "losses.py"
    losses.write_text(losses.read_text().replace("square()", "pow(3)"))
    after = _codes(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"UCDIR", "PCS", "CDS"}
    assert before.keys() == {row.name for row in METHODS.values() if isinstance(row.build, type)}


def _codes(folder) -> dict[str, str]:
    """{method: digest of its training's code} of the copy of the package in `folder`."""
    script = (
        "from cdir_nb.methods import METHODS\nfrom cdir_nb.sources import code_digest\n"
        "for m in METHODS.values():\n    if isinstance(m.build, type): print(m.name, code_digest(m.build.__module__), "
        "sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return dict(line.split("|") for line in done.stdout.splitlines())


# ---- memory and batches ----------------------------------------------------------------------------------------


def test_the_smaller_domain_starts_over_until_the_larger_one_is_read(monkeypatch):
    monkeypatch.setattr(
        "cdir_nb.methods.batches.pixel_batches",
        lambda encoder, images, rows, size: iter(torch.from_numpy(rows).split(size)),  # the rows stand for their pixels
    )
    rows = [np.arange(100, 107), np.arange(200, 203)]
    steps = list(domain_batches(None, None, rows, 7, 3, torch.Generator().manual_seed(0)))
    assert [[len(indices) for indices, _ in step] for step in steps] == [[3, 3], [3, 3], [1, 1]]
    larger, smaller = (torch.cat([step[domain][1] for step in steps]).tolist() for domain in (0, 1))
    assert sorted(larger) == list(range(100, 107)) and sorted(smaller[:3]) == sorted(smaller[3:6]) == [200, 201, 202]
    for step in steps:
        assert all(rows[d][indices.numpy()].tolist() == pixels.tolist() for d, (indices, pixels) in enumerate(step))
