"""CLIP models of open_clip as encoders: images and texts to vectors; and the way to any encoder by its name."""

import hashlib
from textwrap import shorten
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from torchvision.transforms import Compose

from cdir_nb.encoders.backbones import BuiltModel
from cdir_nb.encoders.cache import EmbeddingStore
from cdir_nb.encoders.checkpoints import build_model
from cdir_nb.encoders.image import ImageEncoder
from cdir_nb.encoders.spec import EncoderSpec, option_value
from cdir_nb.encoders.weights import first_line
from cdir_nb.errors import CdirError

TEXT_BATCH = 256


def load_encoder(spec: str, *, device: str | torch.device | None = None, precision: str | None = None) -> ImageEncoder:
    """An encoder by its name: a ClipEncoder, or for a backbone an ImageEncoder, which reads no texts.

    spec       "tiny-clip"                  the bundled model that has seen drawings only
               "real-clip"                  the bundled model that has seen real pictures ("real-clip:FOLDER": another
                                            training of it, by scripts/train_real_clip.py)
               "ViT-B-32:openai"            open_clip's model and tag, downloaded once
               "ViT-B-32:/path/weights.pt"  open_clip's model, a file (.pt, .pth, .bin, .safetensors)
               "ViT-B-32:random"            random weights from a fixed seed: a pipeline test, numbers mean nothing
               "mobilenet-v2"               the bundled ImageNet backbone
               "timm:resnet50"              timm's model and weights, downloaded once ("timm:resnet50.a1_in1k": by tag)
               "timm:resnet50:/path/file.pth", "timm:resnet50:random"   as with CLIP models
               "moco-v2:/path/file.pth.tar" MoCo v2's ResNet-50, trained on ImageNet without labels
               Options follow after commas, as in "timm:resnet50,pool=max,pad=true" (`cdir_nb.encoders.spec`).
    device     "cpu", "cuda", ...; None: a GPU if there is one
    precision  "fp32", or "bf16" (matrix products in bfloat16, weights and results in float32); None: as `spec` says

    Tags and OpenAI's own files get the activation (QuickGELU or GELU) that they were trained with. Any other
    checkpoint gets that of the model named; for a QuickGELU one write "ViT-B-32-quickgelu:/path".
    Raises CdirError: unknown name or option, no network, a missing, damaged or foreign checkpoint, a device or
    precision that cannot be used.
    """
    precision = option_value("precision", precision) if precision else EncoderSpec.parse(spec).precision
    place, built = _usable_device(device), build_model(spec)
    kind = ClipEncoder if isinstance(built, BuiltModel) else ImageEncoder
    return kind(built, place, precision)


class ClipEncoder(ImageEncoder):
    """An open_clip model with all that is needed to use it.

    tokenizer    texts -> (K, context length) int64
    """

    built: BuiltModel
    code_modules = (__name__,)

    def __init__(self, built: BuiltModel, device: torch.device, precision: str) -> None:
        super().__init__(built, device, precision)
        self.tokenizer = built.tokenizer

    @property
    def logit_scale(self) -> float:
        """The factor that CLIP puts on cosines before its softmax (100 for OpenAI's models)."""
        return float(self.model.logit_scale.detach().exp().reshape(-1)[0])

    @property
    def context_length(self) -> int:
        """Tokens of a text, start and end among them."""
        return self.model.context_length

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """(K, D) float32 on the CPU: raw embeddings, not normalised; those of a long list are kept in the cache.

        Raises CdirError for a text too long.
        """
        if isinstance(texts, str):
            raise CdirError(f'embed_texts takes a list of texts, not one text: write ["{texts}"]')
        if len(texts) < TEXT_BATCH:  # faster than looking them up
            return self._compute_texts(texts)
        store = EmbeddingStore({**self._cache_key(), "of": "texts"}, self.dim)
        digests = [hashlib.sha256(text.encode()).hexdigest() for text in texts]

        def compute(places: list[int]) -> torch.Tensor:
            rows = self._compute_texts([texts[i] for i in places])
            store.add([digests[i] for i in places], rows)
            return rows

        return store.complete(digests, compute)

    def _compute_texts(self, texts: list[str]) -> torch.Tensor:
        for text in texts:
            self._check_length(text)
        parts = [torch.empty(0, self.dim)]
        for start in range(0, len(texts), TEXT_BATCH):
            tokens = self.tokenizer(texts[start : start + TEXT_BATCH]).to(self.device)
            with self._inference():
                parts.append(self.model.encode_text(tokens).float().cpu())
        return torch.cat(parts)

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

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(batch)

    def _transform(self, cfg: dict[str, Any]) -> Compose:
        return image_transform_v2(PreprocessCfg(**cfg), is_train=False)

    @property
    def _traits(self) -> list[str]:
        return ["QuickGELU" if self.built.quick_gelu else "GELU"]

    @property
    def _side(self) -> int:
        size = self.built.preprocess_cfg["size"]
        return size if isinstance(size, int) else size[0]

    def _made_of(self) -> dict[str, Any]:
        return {**super()._made_of(), "quick_gelu": self.built.quick_gelu}


def require_texts(encoder: ImageEncoder) -> ClipEncoder:
    """The encoder, known to read texts. CdirError for one that reads images only."""
    if not isinstance(encoder, ClipEncoder):
        encoder.embed_texts([])  # says so
    return encoder


def _usable_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise CdirError(f'device "{device}" is not usable here ({first_line(error)}): give "cpu"') from error
