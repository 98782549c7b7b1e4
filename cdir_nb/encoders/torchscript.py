"""The tensors of a TorchScript archive, read without TorchScript.

`torch.jit.load` runs code of the archive (a module's `__setstate__`) while it loads. Here a restricted unpickler reads
the archive: it accepts tensors, plain containers and the attributes of modules, and rejects everything else.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
LISTS = ("build_boollist", "build_doublelist", "build_intlist", "build_tensorlist")


class ArchiveModule:
    """A module of the archive: its attributes, without the behaviour of its class."""


def is_torchscript(file: Path) -> bool:
    """Whether a file is an archive of `torch.jit.save`."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(member.endswith("/constants.pkl") for member in archive.namelist())


def read_torchscript(file: Path) -> dict[str, torch.Tensor]:
    """All tensors of an archive by their names in `state_dict`. No code of the archive runs.

    Raises pickle.UnpicklingError if the archive contains other objects, and the exceptions of zipfile, pickle or torch
    if it is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        pickled = next((member for member in archive.namelist() if member.endswith("/data.pkl")), None)
        if pickled is None:
            raise pickle.UnpicklingError("the archive has no data.pkl")
        with archive.open(pickled) as stream:
            root = _TensorUnpickler(stream, archive, pickled.removesuffix("data.pkl")).load()
    return _tensors(root)


class _TensorUnpickler(pickle.Unpickler):
    def __init__(self, stream: Any, archive: zipfile.ZipFile, prefix: str) -> None:
        super().__init__(stream)
        self.archive, self.prefix = archive, prefix

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return ArchiveModule
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        allowed = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch.jit._pickle", "restore_type_tag"): _first,
            **{("torch.jit._pickle", kind): _first for kind in LISTS},
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it contains {module}.{name}, which is not a tensor; no code was run")
        return allowed[module, name]

    def persistent_load(self, saved: Any) -> torch.Tensor:
        """A flat tensor with the values of one storage, saved as ("storage", type, key, device, number of values)."""
        _, dtype, key, _, count = saved
        values = bytearray(self.archive.read(f"{self.prefix}data/{key}"))
        return torch.frombuffer(values, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)


def _rebuild_tensor(storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_: Any) -> torch.Tensor:
    return storage.as_strided(size, stride, offset)


def _first(value: Any, *_: Any) -> Any:
    return value


def _tensors(module: Any, prefix: str = "") -> dict[str, torch.Tensor]:
    """Tensors among the attributes of a module and of its submodules."""
    tensors: dict[str, torch.Tensor] = {}
    for name, value in vars(module).items():
        if isinstance(value, torch.Tensor):
            tensors[prefix + name] = value
        elif isinstance(value, ArchiveModule):
            tensors |= _tensors(value, f"{prefix}{name}.")
    return tensors
