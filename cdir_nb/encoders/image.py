"""Image models as encoders, which turn images into vectors, cached on disk. CLIP's text tower is in `clip.py`."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

import torch
from PIL import Image
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.data.transforms_factory import create_transform
from torchvision.transforms import Compose

from cdir_nb.data.images import ImageSet
from cdir_nb.data.loose import Images, as_image_set
from cdir_nb.encoders import built as built_models
from cdir_nb.encoders.built import BuiltBackbone, BuiltModel
from cdir_nb.encoders.cache import SHARD_ROWS, EmbeddingStore
from cdir_nb.encoders.decoding import image_batches
from cdir_nb.errors import CdirError
from cdir_nb.progress import progress_bar
from cdir_nb.sources import provenance

READERS = ("cdir_nb.data.pictures", "cdir_nb.data.quickdraw")  # from the bytes of an image to pixels


class ImageEncoder:
    """An image model with its preprocessing and its cache of embeddings.

    built        the underlying model: name, configuration, origin of the weights
    model        in evaluation mode; methods may tune its weights, which changes `identity` and the cache key
    preprocess   image -> (3, H, W) float32, from the model's own configuration
    dim          D, the length of an embedding
    device       the device of the model
    precision    "fp32" or "bf16"
    """

    code_modules: tuple[str, ...] = (__name__,)  # their source, with all their imports, is part of the cache key
    stored_dtype = torch.float32  # of embeddings in the cache

    def __init__(self, built: BuiltBackbone | BuiltModel, device: torch.device, precision: str) -> None:
        self.built = built
        self.model: Any = built.model.to(device).eval()
        self.preprocess = self._transform(built.preprocess_cfg)
        self.dim: int = built.model_cfg["embed_dim"]
        self.device = device
        self.precision = precision
        self._weights: tuple[Any, str] = (None, "")

    @property
    def identity(self) -> str:
        """One line: model, activation (if there is a choice), precision, and a digest of weights and preprocessing."""
        digest = hashlib.sha256(json.dumps(self._key(), sort_keys=True).encode()).hexdigest()[:12]
        return " ".join([self.built.name, *self._traits, self.precision, f"[{digest}]"])

    @property
    def description(self) -> str:
        """One line for display: model, origin of the weights, activation, image size, pooling, dimension."""
        pooling = f"pooling by {self.pooling}, rows not normalised"
        traits = [*self._traits, f"images of {self.image_size} pixels", pooling, f"{self.dim} dimensions"]
        return f"{self.built.name}: {self.built.origin}; {', '.join(traits)}, {self.precision} on {self.device.type}"

    @property
    def preprocessing(self) -> str:
        """The preprocessing of an image in words, for records."""
        return built_models.preprocessing(self.built.preprocess_cfg)

    @property
    def crops(self) -> bool:
        """Whether only the middle of an image that is not square is embedded; the option pad=true embeds all of it."""
        return built_models.crops(self.built.preprocess_cfg)

    @property
    def pooling(self) -> str:
        """How the model pools an image to one vector, in words, for records: "class token", "average", ..."""
        return built_models.pooling(self.built)

    def embed_images(
        self, images: Images, *, batch_size: int = 64, progress: bool = True, keep: bool = True
    ) -> torch.Tensor:
        """(N, D) float32 on the CPU: raw embeddings, not normalised, read from the cache where possible.

        images  an ImageSet, paths or PIL images
        keep    False: do not use the cache, for example for a single drawing
        Raises CdirError naming an image that cannot be read; embeddings computed before the error are cached.
        """
        images = as_image_set(images)
        if not keep:
            return self.compute(images, list(range(len(images))), None, batch_size, progress)
        store = self.store()
        return store.complete(images.digests, lambda rows: self.compute(images, rows, store, batch_size, progress))

    def store(self, **parts: str) -> EmbeddingStore:
        """The cache of this encoder's image embeddings; `parts` are added to its key, for another kind of embedding.

        The key also contains code, library versions and kind of device, since these may change results.
        """
        code = provenance(*self.code_modules, *READERS)
        return EmbeddingStore({**self._key(), "device": self.device.type, **code, **parts}, self.dim)

    def missing(self, images: ImageSet) -> list[int]:
        """The rows that `embed_images` would compute: the first row of each image that is not in the cache."""
        return self.store().missing(images.digests)

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """Raises CdirError: this encoder reads images only."""
        raise self._no_texts()

    @property
    def logit_scale(self) -> float:
        """Raises CdirError: only a CLIP model compares images with texts."""
        raise self._no_texts()

    def compute(
        self, images: ImageSet, rows: list[int], store: EmbeddingStore | None, batch_size: int, progress: bool
    ) -> torch.Tensor:
        """Compute (n, D) embeddings of rows and add them to `store` (if any) shard by shard, even on an interrupt."""
        table = torch.empty(len(rows), self.dim)
        done = saved = 0

        def save() -> int:
            if store is not None:
                digests = [images.digests[row] for row in rows[saved:done]]
                store.add(digests, table[saved:done].to(self.stored_dtype))
            return done

        options = {"unit": " images", "mininterval": 0.5, "delay": 1, "leave": False, "disable": not progress}
        batches = image_batches(images, rows, self.preprocess, batch_size, self.device)
        with progress_bar(total=len(rows), desc=self.built.name, **options) as bar, closing(batches):
            try:
                for chunk, batch in batches:
                    with self._inference():
                        table[done : done + len(chunk)] = self._features(batch).float().cpu()
                    done += len(chunk)
                    bar.update(len(chunk))
                    if done - saved >= SHARD_ROWS:
                        saved = save()
            finally:
                save()
        return table

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Context without gradients, in evaluation mode and the encoder's precision; restores the mode on exit."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                yield
        finally:
            self.model.train(training)

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D)."""
        return self.model(batch)

    def _transform(self, cfg: dict[str, Any]) -> Compose:
        """timm's evaluation transform, whose last two steps convert an image to numbers and scale them."""
        return cast(Compose, create_transform(**cfg, is_training=False))

    @property
    def _traits(self) -> list[str]:
        """Properties of the computation that the model's name does not determine."""
        return []

    @property
    def image_size(self) -> int:
        """The width and height, in pixels, of the square images that the model reads."""
        pixels: Any = self.preprocess(Image.new("RGB", (8, 8)))
        return pixels.shape[-1]

    def _key(self) -> dict[str, Any]:
        """Everything that determines an embedding, except the image, the code and the machine."""
        return {
            "model": self.built.name,
            "model_cfg": self.built.model_cfg,
            "weights": self._weights_digest(),
            "preprocessing": self.built.preprocess_cfg,
            "precision": self.precision,
        }

    def _weights_digest(self) -> str:
        """SHA-256 of all tensors of the model in their present state; recomputed when the weights change."""
        state = self.model.state_dict(keep_vars=True)
        stamp = [(name, tensor.data_ptr(), tensor._version) for name, tensor in state.items()]
        if stamp != self._weights[0]:
            digest = hashlib.sha256()
            for name, tensor in sorted(state.items()):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
            self._weights = (stamp, digest.hexdigest())
        return self._weights[1]

    def _no_texts(self) -> CdirError:
        name = self.built.name
        return CdirError(f"{name} has no text tower, which is needed here: choose a CLIP model, such as real-clip")


def wrap_model(
    model: torch.nn.Module,
    name: str,
    *,
    image_size: int = 224,
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
    device: str = "cpu",
) -> ImageEncoder:
    """Wrap a user's PyTorch model as an encoder, with batches, progress and the cache of embeddings.

    model       (B, 3, H, W) float32 -> (B, D)
    name        part of the cache key: change it when the model's code changes (weights are part of the key anyway)
    image_size  H and W: images are scaled by their shorter side and cropped to the middle
    mean, std   mean and standard deviation of the three channels, for pixels in 0..1; ImageNet's by default

    Raises CdirError for a model that does not return (B, D).
    """
    size = (3, image_size, image_size)
    try:
        with torch.no_grad():
            shape = tuple(model.to(device).eval()(torch.zeros(2, *size, device=device)).shape)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        problem = " ".join(str(error).split())[:200]
        raise CdirError(f"{name} failed on two images of {image_size} pixels ({problem}): check image_size") from None
    if len(shape) != 2 or shape[0] != 2:
        raise CdirError(f"{name} returned {shape} for two images: return (2, D), for example by pooling")
    preprocess = {"input_size": size, "interpolation": "bicubic", "crop_pct": 1.0}
    preprocess |= {"mean": tuple(mean), "std": tuple(std)}
    config = {"embed_dim": shape[1], "pool": "the model's own"}
    return ImageEncoder(
        BuiltBackbone(name, model, config, preprocess, "model of the user"), torch.device(device), "fp32"
    )
