"""CLIP models as encoders of images and texts; and `load_encoder`, which resolves an encoder's name."""

import hashlib
from textwrap import shorten
from typing import Any, cast

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from torchvision.transforms import Compose

from cdir_nb.encoders.built import BuiltModel
from cdir_nb.encoders.image import ImageEncoder
from cdir_nb.encoders.models import build_model
from cdir_nb.encoders.spec import EncoderSpec, option_value
from cdir_nb.encoders.weights import first_line
from cdir_nb.errors import CdirError

TEXT_BATCH = 256


def load_encoder(spec: str, *, device: str | torch.device | None = None, precision: str | None = None) -> ImageEncoder:
    """Load the encoder that `spec` names: a ClipEncoder, or, for a backbone, an ImageEncoder, which cannot embed texts.

    spec       "tiny-clip"                  the bundled model trained on drawings only
               "real-clip"                  the bundled model trained on real images ("real-clip:FOLDER": another
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
    precision  "fp32", or "bf16" (matrix products in bfloat16, weights and results in float32); None: that of `spec`

    Tags and OpenAI's own files get the activation (QuickGELU or GELU) that they were trained with. Any other
    checkpoint gets that of the architecture; for QuickGELU write "ViT-B-32-quickgelu:/path".
    Raises CdirError for an unknown name or option, for a failed download, for a checkpoint that is missing, damaged or
    of another model, and for a device or precision that cannot be used.
    """
    precision = str(option_value("precision", precision)) if precision else EncoderSpec.parse(spec).precision
    usable, built = _usable_device(device), build_model(spec)
    if isinstance(built, BuiltModel):
        return ClipEncoder(built, usable, precision)
    return ImageEncoder(built, usable, precision)


class ClipEncoder(ImageEncoder):
    """An open_clip model as an encoder of images and texts.

    tokenizer    texts -> (K, context length) int64
    """

    built: BuiltModel
    code_modules = (__name__,)

    def __init__(self, built: BuiltModel, device: torch.device, precision: str) -> None:
        super().__init__(built, device, precision)
        self.tokenizer = built.tokenizer

    @property
    def logit_scale(self) -> float:
        """The factor by which CLIP's softmax scales cosines (100 for OpenAI's models)."""
        return float(self.model.logit_scale.detach().exp().reshape(-1)[0])

    @property
    def context_length(self) -> int:
        """The largest number of tokens of a text, including the start and end tokens."""
        return self.model.context_length

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """(K, D) float32 on the CPU: unnormalised embeddings; those of a long list are cached.

        Raises CdirError for a text that is too long.
        """
        if isinstance(texts, str):
            raise CdirError(f'embed_texts takes a list of texts, not one text: write ["{texts}"]')
        if len(texts) < TEXT_BATCH:  # faster than the cache
            return self._compute_texts(texts)
        store = self.store(of="texts")
        digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]

        def compute(indices: list[int]) -> torch.Tensor:
            rows = self._compute_texts([texts[i] for i in indices])
            store.add([digests[i] for i in indices], rows)
            return rows

        return store.complete(digests, compute)

    def _compute_texts(self, texts: list[str]) -> torch.Tensor:
        if isinstance(self.tokenizer, open_clip.SimpleTokenizer):  # open_clip would silently truncate a long text
            for text in texts:
                self.check_length(text, len(self.tokenizer.encode(text)) + 2)  # with start and end
        parts = [torch.empty(0, self.dim)]
        for start in range(0, len(texts), TEXT_BATCH):
            tokens = self.tokenizer(texts[start : start + TEXT_BATCH]).to(self.device)
            with self._inference():
                parts.append(self.model.encode_text(tokens).float().cpu())
        return torch.cat(parts)

    def check_length(self, text: str, length: int) -> None:
        """Raise CdirError for a text of `length` tokens if that is more than the context length."""
        if length > self.context_length:
            limit = f"{self.built.name} reads {self.context_length}: shorten it"
            raise CdirError(f'text "{shorten(text, 60)}" has {length} tokens, {limit}')

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(batch)

    def _transform(self, cfg: dict[str, Any]) -> Compose:
        return cast(Compose, image_transform_v2(PreprocessCfg(**cfg), is_train=False))

    @property
    def _traits(self) -> list[str]:
        return ["QuickGELU" if self.built.quick_gelu else "GELU"]

    def _key(self) -> dict[str, Any]:
        return {**super()._key(), "quick_gelu": self.built.quick_gelu}


def require_texts(encoder: ImageEncoder) -> ClipEncoder:
    """Return the encoder if it is a CLIP model. Raises CdirError if it has no text tower."""
    if not isinstance(encoder, ClipEncoder):
        raise encoder._no_texts()
    return encoder


def _usable_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise CdirError(f'device "{device}" is not usable here ({first_line(error)}): give "cpu"') from error
