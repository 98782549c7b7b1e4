"""CLIP models of open_clip as encoders: images and texts to vectors, kept on disk."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from textwrap import shorten
from typing import Any

import open_clip
import PIL
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from tqdm import tqdm

from cdir_nb.data.images import ImageSet
from cdir_nb.encoders.batches import image_batches
from cdir_nb.encoders.cache import SHARD_ROWS, EmbeddingStore
from cdir_nb.encoders.checkpoints import BuiltModel, build_model
from cdir_nb.encoders.weights import first_line
from cdir_nb.errors import CdirError

PRECISIONS = ("fp32", "bf16")
TEXT_BATCH = 256
CODE_VERSION = 1  # raise it when this package changes what an embedding is: older cache entries are then left alone


def load_encoder(spec: str, *, device: str | torch.device | None = None, precision: str = "fp32") -> "ClipEncoder":
    """A CLIP encoder by its name.

    spec       "tiny-clip"                  the bundled model
               "ViT-B-32:openai"            open_clip's model and tag, downloaded once
               "ViT-B-32:/path/weights.pt"  open_clip's model, a file (.pt, .pth, .bin, .safetensors)
               "ViT-B-32:random"            weights from a fixed seed: a harness run, numbers mean nothing
    device     "cpu", "cuda", ...; None: a GPU if there is one
    precision  "fp32", or "bf16" (matrix products in bfloat16, weights and results in float32)

    Tags and OpenAI's own files get the activation (QuickGELU or GELU) that they were trained with. Any other
    checkpoint gets that of the model named; for a QuickGELU one write "ViT-B-32-quickgelu:/path".
    Raises CdirError: unknown name, no network, a missing, damaged or foreign checkpoint, a device or
    precision that cannot be used.
    """
    if precision not in PRECISIONS:
        raise CdirError(f'precision "{precision}" is not known: give one of {", ".join(PRECISIONS)}')
    place = _usable_device(device)
    return ClipEncoder(build_model(spec), place, precision)


class ClipEncoder:
    """An open_clip model with all that is needed to use it.

    model        the open_clip model, in evaluation mode; methods may tune its weights, the cache follows them
    preprocess   picture -> (3, H, W) float32, from the model's own config
    tokenizer    texts -> (K, context length) int64
    dim          D, the length of an embedding
    device       where the model is
    precision    "fp32" or "bf16"
    """

    def __init__(self, built: BuiltModel, device: torch.device, precision: str) -> None:
        self.built = built
        self.model = built.model.to(device).eval()
        self.preprocess = image_transform_v2(PreprocessCfg(**built.preprocess_cfg), is_train=False)
        self.tokenizer = built.tokenizer
        self.dim: int = built.model_cfg["embed_dim"]
        self.device = device
        self.precision = precision
        self._weights: tuple[Any, str] = (None, "")

    @property
    def logit_scale(self) -> float:
        """The factor that CLIP puts on cosines before its softmax (100 for OpenAI's models)."""
        return float(self.model.logit_scale.detach().exp().reshape(-1)[0])

    @property
    def context_length(self) -> int:
        """Tokens of a text, start and end among them."""
        return self.model.context_length

    @property
    def identity(self) -> str:
        """One line: model, activation, precision, and a digest of these, all weights, preprocessing."""
        digest = hashlib.sha256(json.dumps(self._made_of(), sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.built.name} {self._activation} {self.precision} [{digest}]"

    @property
    def description(self) -> str:
        """A line for people: model, origin of the weights, activation, image size, dimension."""
        size = self.built.preprocess_cfg["size"]
        side = size if isinstance(size, int) else size[0]
        return (
            f"{self.built.name}: {self.built.origin}; {self._activation}, images of {side} pixels, "
            f"{self.dim} dimensions, {self.precision} on {self.device.type}"
        )

    def embed_images(self, images: ImageSet, *, batch_size: int = 64, progress: bool = True) -> torch.Tensor:
        """(N, D) float32 on the CPU: raw embeddings, not normalised, from the cache where it has them.

        Raises CdirError naming an image that cannot be read; what was computed before it is kept.
        """
        first_row: dict[str, int] = {}  # each picture once, however often it stands in the set
        for row, digest in enumerate(images.digests):
            first_row.setdefault(digest, row)
        digests = list(first_row)
        store = EmbeddingStore(self._cache_key(), self.dim)
        table, found = store.read(digests)
        missing = (~found).nonzero()[:, 0].tolist()
        if missing:
            rows = [first_row[digests[i]] for i in missing]
            table[missing] = self._compute(images, rows, store, batch_size, progress)
        place = {digest: i for i, digest in enumerate(digests)}
        return table[[place[digest] for digest in images.digests]]

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """(K, D) float32 on the CPU: raw embeddings, not normalised. Raises CdirError for a text too long."""
        if isinstance(texts, str):
            raise CdirError(f'embed_texts takes a list of texts, not one text: write ["{texts}"]')
        for text in texts:
            self._check_length(text)
        parts = [torch.empty(0, self.dim)]
        for start in range(0, len(texts), TEXT_BATCH):
            tokens = self.tokenizer(texts[start : start + TEXT_BATCH]).to(self.device)
            with self._inference():
                parts.append(self.model.encode_text(tokens).float().cpu())
        return torch.cat(parts)

    def _compute(
        self, images: ImageSet, rows: list[int], store: EmbeddingStore, batch_size: int, progress: bool
    ) -> torch.Tensor:
        """(n, D): embeddings of these rows, kept in `store` shard by shard, also when it is interrupted."""
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
                        table[done : done + len(chunk)] = self.model.encode_image(batch).float().cpu()
                    done += len(chunk)
                    bar.update(len(chunk))
                    if done - kept >= SHARD_ROWS:
                        kept = self._keep(store, images, rows, table, kept, done)
            finally:
                self._keep(store, images, rows, table, kept, done)
        return table

    @staticmethod
    def _keep(
        store: EmbeddingStore, images: ImageSet, rows: list[int], table: torch.Tensor, start: int, stop: int
    ) -> int:
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

    def _check_length(self, text: str) -> None:
        """open_clip would cut a long text in silence."""
        if not isinstance(self.tokenizer, open_clip.SimpleTokenizer):
            return
        length = len(self.tokenizer.encode(text)) + 2  # start and end
        if length > self.context_length:
            raise CdirError(
                f'text "{shorten(text, 60)}" has {length} tokens, {self.built.name} reads '
                f"{self.context_length}: shorten it"
            )

    def _made_of(self) -> dict[str, Any]:
        """All that determines an embedding, apart from the picture and the machine."""
        return {
            "model": self.built.name,
            "model_cfg": self.built.model_cfg,
            "quick_gelu": self.built.quick_gelu,
            "weights": self._weights_digest(),
            "preprocessing": self.built.preprocess_cfg,
            "precision": self.precision,
        }

    def _cache_key(self) -> dict[str, Any]:
        """With versions and kind of device: results may differ in the last digits, or by a mended bug."""
        versions = {library.__name__: library.__version__ for library in (open_clip, torch, PIL)}
        return {**self._made_of(), **versions, "device": self.device.type, "code_version": CODE_VERSION}

    def _weights_digest(self) -> str:
        """SHA-256 of all tensors of the model as it is now; taken anew after they were tuned or moved."""
        state = self.model.state_dict(keep_vars=True)
        stamp = [(name, tensor.data_ptr(), tensor._version) for name, tensor in state.items()]
        if stamp != self._weights[0]:
            self._weights = (stamp, _digest_of(state))
        return self._weights[1]

    @property
    def _activation(self) -> str:
        return "QuickGELU" if self.built.quick_gelu else "GELU"


def _digest_of(state: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _usable_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise CdirError(f'device "{device}" is not usable here ({first_line(error)}): give "cpu"') from error
