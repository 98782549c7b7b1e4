"""The trainer, on a small supervised training with batch norm: stopping, going on, and what is kept."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from cdir_nb.methods.batches import domain_batches
from cdir_nb.methods.checkpoints import save_checkpoint
from cdir_nb.methods.training import Training, peak_memory, update_momentum

MADE_OF = {"task": "a line"}


class Line(Training):
    """Two layers with batch norm between them learn a sum; `scores` stands in for validation."""

    def __init__(self, scores=(), **how) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        how = {"epochs": 4, "patience": None, **how}
        super().__init__(model, optimizer, schedule, steps_per_epoch=5, seed=2, device=torch.device("cpu"), **how)
        self.scores = iter(scores)

    def run_epoch(self, generator, tick):
        self.model.train()
        for _ in range(self.steps_per_epoch):
            x = torch.randn(8, 3, generator=generator)
            loss = (self.model(x)[:, 0] - x.sum(1)).square().mean()
            self.optimizer.zero_grad(), loss.backward(), self.optimizer.step(), tick()
        self.schedule.step()
        return {"loss": float(loss.detach())}

    def validate(self):
        return next(self.scores, math.nan)

    def group_of(self, name):
        return "first" if name.startswith("0.") else "others"


def run(training: Training, checkpoint=None) -> Training:
    training.run(MADE_OF, checkpoint, label="line", progress=False)
    return training


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_without_a_score_the_last_epoch_counts():
    training = run(Line())
    assert training.best_epoch == 4 and training.history[-1]["loss"] < training.history[0]["loss"]
    last = {name: x.clone() for name, x in training.model.state_dict().items()}
    assert all(torch.equal(x, last[name]) for name, x in training.load_best().state_dict().items())


def test_patience_ends_it_and_the_best_state_comes_back_with_its_running_statistics():
    training = run(Line(scores=[0.1, 0.5, 0.4, 0.3, 0.9], patience=2))
    assert training.epoch == 3 and training.best_epoch == 1
    assert not same(training.model, run(Line(epochs=1)).model)
    assert same(training.load_best(), run(Line(epochs=1)).model)
    assert not training.model.training and not any(p.requires_grad for p in training.model.parameters())


def test_an_interrupted_training_goes_on_to_the_same_end(tmp_path):
    first = Line()
    first.begin()
    for _ in range(2):
        first.next_epoch()
    save_checkpoint(tmp_path / "line.pt", MADE_OF, first.state())
    resumed, whole = run(Line(), tmp_path / "line.pt"), run(Line())
    assert same(resumed.model, whole.model)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    assert resumed.moved() == whole.moved() and len(resumed.history) == 4


def test_movement_is_the_relative_distance_from_the_start():
    training = Line().begin()
    before = [x.detach().clone() for x in training.model[0].parameters()]
    with torch.no_grad():
        training.model[0].weight.add_(1.0)
    norm = math.sqrt(sum(float(x.square().sum()) for x in before))
    assert training.moved() == {"first": pytest.approx(math.sqrt(12) / norm, rel=1e-5), "others": 0.0}


def test_update_momentum_by_hand():
    slow, fast = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    slow.weight.data.fill_(1.0), fast.weight.data.fill_(3.0)
    update_momentum(slow, fast, 0.9)
    assert slow.weight.item() == pytest.approx(1.2)


def test_peak_memory_is_that_of_this_process():
    before = peak_memory(torch.device("cpu"))
    assert 0.05 < before <= peak_memory(torch.device("cpu")) < 1000


def test_batches_of_domains_come_round_until_the_length_is_read(monkeypatch):
    monkeypatch.setattr(
        "cdir_nb.methods.batches.pixel_batches",
        lambda encoder, images, rows, size: iter(torch.from_numpy(rows).split(size)),  # the rows stand for their pixels
    )
    rows = [np.arange(100, 107), np.arange(200, 203)]
    steps = list(domain_batches(None, None, rows, 7, 3, torch.Generator().manual_seed(0)))
    assert [[len(places) for places, _ in step] for step in steps] == [[3, 3], [3, 3], [1, 1]]
    first, second = (torch.cat([step[side][1] for step in steps]).tolist() for side in (0, 1))
    assert sorted(first) == list(range(100, 107)) and sorted(second[:3]) == sorted(second[3:6]) == [200, 201, 202]
    for step in steps:
        assert all(own[places.numpy()].tolist() == pixels.tolist() for own, (places, pixels) in zip(rows, step))
