"""Tensors of TorchScript archives, against torch's own reader; and files made to run code."""

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cdir_nb.encoders.torchscript import is_torchscript, read_torchscript
from tests.encoders.test_checkpoints import error_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*plain GELU")


class Whole(nn.Module):
    """Layers in lists, a shared weight, a transposed view, half precision, several data types, lists of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3).half(), nn.BatchNorm1d(3)])
        self.layers[1].bias = self.layers[0].bias
        self.view = nn.Parameter(torch.arange(6.0).view(2, 3).T)
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("empty", torch.empty(0, 5, dtype=torch.int64))
        self.sizes = [2, 3]
        self.weights = [1.5, 2.5]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x) @ self.view * self.sizes[0] * self.weights[0]


class WritesWhenLoaded(nn.Module):
    """TorchScript runs `__setstate__` while it loads; this one makes a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path: str = path
        self.made = torch.zeros(4)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        self.made = torch.from_file(self.path, shared=True, size=4)

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_tensors_are_those_of_torchs_own_reader(tmp_path):
    file = tmp_path / "whole.pt"
    torch.manual_seed(0)
    torch.jit.script(Whole()).save(file)
    expected, tensors = torch.jit.load(file).state_dict(), read_torchscript(file)
    assert is_torchscript(file) and set(tensors) == set(expected)
    for name, tensor in expected.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor), name


def test_a_plain_checkpoint_is_not_an_archive_of_torchscript(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "plain.pt")
    (tmp_path / "text.pt").write_text("hello")
    assert not is_torchscript(tmp_path / "plain.pt") and not is_torchscript(tmp_path / "text.pt")


def test_code_of_a_module_does_not_run(small_models, tmp_path):
    file, trace = tmp_path / "model.pt", tmp_path / "trace"
    torch.jit.script(WritesWhenLoaded(str(trace))).save(file)
    torch.jit.load(file)
    assert trace.exists(), "the file is harmless to torch: this test checks nothing"
    trace.unlink()
    assert "model.pt is damaged" in error_of(f"small:{file}")
    assert not trace.exists()


class RunsWhenUnpickled:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("suffix", ["pt", "bin"])
@pytest.mark.parametrize("archive", [True, False])
def test_a_pickle_that_calls_something_is_refused(small_models, tmp_path, suffix, archive):
    file, trace = tmp_path / f"model.{suffix}", tmp_path / "trace"
    pickled = pickle.dumps({"weight": RunsWhenUnpickled(trace)}, protocol=2)
    pickle.load(io.BytesIO(pickled))
    assert trace.exists(), "the pickle is harmless: this test checks nothing"
    trace.unlink()
    if archive:
        with zipfile.ZipFile(file, "w") as members:
            members.writestr("model/data.pkl", pickled)
            members.writestr("model/constants.pkl", pickle.dumps((), protocol=2))
    else:
        file.write_bytes(pickled)
    message = error_of(f"small:{file}")
    assert f"model.{suffix} is damaged" in message
    assert not archive or "__builtin__.getattr" in message
    assert not trace.exists()


def test_damaged_archives_are_one_line(small_models, tmp_path):
    file = tmp_path / "model.pt"
    for members in ({}, {"model/data.pkl": b""}, {"model/data.pkl": pickle.dumps(3)}):
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("model/constants.pkl", b"")
            for name, content in members.items():
                archive.writestr(name, content)
        assert "model.pt is damaged" in error_of(f"small:{file}")
