"""Image models as encoders: images to vectors, kept on disk. CLIP's text part is in `clip.py`."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import torch
from timm.data import create_transform
from torchvision.transforms import Compose
from tqdm import tqdm

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders import options
from cdir_nb.encoders.backbones import BuiltBackbone, BuiltModel
from cdir_nb.encoders.batches import image_batches
from cdir_nb.encoders.cache import SHARD_ROWS, EmbeddingStore
from cdir_nb.errors import CdirError
from cdir_nb.sources import provenance

READERS = ("cdir_nb.data.pictures", "cdir_nb.data.quickdraw")  # from the bytes that a digest names to pixels


class ImageEncoder:
    """An image model with all that is needed to use it.

    built        the model as it was built: name, config, origin of the weights
    model        in evaluation mode; methods may tune its weights, the cache follows them
    preprocess   picture -> (3, H, W) float32, from the model's own config
    dim          D, the length of an embedding
    device       where the model is
    precision    "fp32" or "bf16"
    """

    code_modules: tuple[str, ...] = (__name__,)  # their source, with all that they import, is part of the cache's key

    def __init__(self, built: BuiltBackbone | BuiltModel, device: torch.device, precision: str) -> None:
        self.built = built
        self.model = built.model.to(device).eval()
        self.preprocess = self._transform(built.preprocess_cfg)
        self.dim: int = built.model_cfg["embed_dim"]
        self.device = device
        self.precision = precision
        self._weights: tuple[Any, str] = (None, "")

    @property
    def identity(self) -> str:
        """One line: model, activation where it can differ, precision, and a digest of these, weights, preprocessing."""
        digest = hashlib.sha256(json.dumps(self._made_of(), sort_keys=True).encode()).hexdigest()[:12]
        return " ".join([self.built.name, *self._traits, self.precision, f"[{digest}]"])

    @property
    def description(self) -> str:
        """A line for people: model, origin of the weights, activation, image size, dimension."""
        traits = [*self._traits, f"images of {self._side} pixels", f"{self.dim} dimensions"]
        return f"{self.built.name}: {self.built.origin}; {', '.join(traits)}, {self.precision} on {self.device.type}"

    @property
    def preprocessing(self) -> str:
        """What happens to an image before the model reads it, in words, for records."""
        return options.preprocessing(self.built.preprocess_cfg)

    @property
    def pooling(self) -> str:
        """How the model makes one vector of an image, in words, for records: "class token", "average", ..."""
        return options.pooling(self.built)

    def embed_images(
        self, images: ImageSet, *, batch_size: int = 64, progress: bool = True, keep: bool = True
    ) -> torch.Tensor:
        """(N, D) float32 on the CPU: raw embeddings, not normalised, from the cache where it has them.

        keep  False: neither read from the cache nor written to it, for pictures that come once, such as a drawing
        Raises CdirError naming an image that cannot be read; what was computed before it is kept.
        """
        if not keep:
            return self.compute(images, list(range(len(images))), None, batch_size, progress)
        store = self.store()
        return store.complete(images.digests, lambda rows: self.compute(images, rows, store, batch_size, progress))

    def store(self) -> EmbeddingStore:
        """Where this encoder's embeddings are kept."""
        return EmbeddingStore(self._cache_key(), self.dim)

    def missing(self, images: ImageSet) -> list[int]:
        """The rows that `embed_images` would compute: of each picture that is not in the cache, the first."""
        return self.store().missing(images.digests)

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """CdirError: this encoder reads images only."""
        raise CdirError(_no_texts(self))

    @property
    def logit_scale(self) -> float:
        """CdirError: only a CLIP model compares images with texts."""
        raise CdirError(_no_texts(self))

    def compute(
        self, images: ImageSet, rows: list[int], store: EmbeddingStore | None, batch_size: int, progress: bool
    ) -> torch.Tensor:
        """(n, D): embeddings of these rows, kept in `store` (if any) shard by shard, also when it is interrupted."""
        table = torch.empty(len(rows), self.dim)
        done = kept = 0
        bar = tqdm(
            total=len(rows),
            desc=self.built.name,
            unit=" images",
            mininterval=0.5,
            delay=1,
            leave=False,
            disable=not progress,
        )
        batches = image_batches(images, rows, self.preprocess, batch_size, self.device)
        with bar, closing(batches):
            try:
                for chunk, batch in batches:
                    with self._inference():
                        table[done : done + len(chunk)] = self._features(batch).float().cpu()
                    done += len(chunk)
                    bar.update(len(chunk))
                    if done - kept >= SHARD_ROWS:
                        kept = self._keep(store, images, rows, table, kept, done)
            finally:
                self._keep(store, images, rows, table, kept, done)
        return table

    @staticmethod
    def _keep(
        store: EmbeddingStore | None, images: ImageSet, rows: list[int], table: torch.Tensor, start: int, stop: int
    ) -> int:
        if store is not None:
            store.add([images.digests[row] for row in rows[start:stop]], table[start:stop])
        return stop

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """No gradients, evaluation mode, our precision; the model's mode is given back after."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                yield
        finally:
            self.model.train(training)

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, D) of (B, 3, H, W)."""
        return self.model(batch)

    def _transform(self, cfg: dict[str, Any]) -> Compose:
        """timm's evaluation transform, whose last two steps turn a picture into numbers and scale them."""
        return create_transform(**cfg, is_training=False)

    @property
    def _traits(self) -> list[str]:
        """What a name leaves open about the model's computation."""
        return []

    @property
    def _side(self) -> int:
        return self.built.preprocess_cfg["input_size"][-1]

    def _made_of(self) -> dict[str, Any]:
        """All that determines an embedding, apart from the picture and the machine."""
        return {
            "model": self.built.name,
            "model_cfg": self.built.model_cfg,
            "weights": self._weights_digest(),
            "preprocessing": self.built.preprocess_cfg,
            "precision": self.precision,
        }

    def _cache_key(self) -> dict[str, Any]:
        """With code, library versions and kind of device: results may differ in the last digits, or by a fixed bug."""
        return {**self._made_of(), "device": self.device.type, **provenance(*self.code_modules, *READERS)}

    def _weights_digest(self) -> str:
        """SHA-256 of all tensors of the model as it is now; taken anew after they were tuned or moved."""
        state = self.model.state_dict(keep_vars=True)
        stamp = [(name, tensor.data_ptr(), tensor._version) for name, tensor in state.items()]
        if stamp != self._weights[0]:
            self._weights = (stamp, _digest_of(state))
        return self._weights[1]


def _no_texts(encoder: ImageEncoder) -> str:
    return f"{encoder.built.name} reads images only, and texts are needed here: choose a CLIP model, such as real-clip"


def _digest_of(state: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
