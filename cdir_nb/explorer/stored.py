"""What the explorer computes once and reads from the cache later."""

from collections.abc import Callable, Mapping

import torch

from cdir_nb import paths
from cdir_nb.methods.checkpoints import digest_of, load_checkpoint, save_checkpoint


def stored(kind: str, key: Mapping[str, str], compute: Callable[[], torch.Tensor]) -> torch.Tensor:
    """The tensor that is in the cache under this key; computed and stored if there is none.

    kind  a folder of the cache; key: everything that determines the tensor, by name
    """
    key = {"kind": kind, **key}
    path = paths.cache_dir() / kind / f"{digest_of(key)}.pt"
    state = load_checkpoint(path, key, torch.device("cpu"))
    if state is None:
        state = {kind: compute()}
        save_checkpoint(path, key, state)
    return state[kind]
