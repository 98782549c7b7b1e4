"""Make the bundled ImageNet backbone from the float32 file: convert to half precision, measure agreement, write a card.

python scripts/bundle_mobilenet_v2.py WEIGHTS.safetensors PACS
"""
# ruff: noqa: E501 (each table row must be one line)

import json
from pathlib import Path
from typing import Annotated

import timm
import torch
import typer
from safetensors import safe_open
from safetensors.torch import save_file

from cdir_nb.data import ImageSet, open_dataset
from cdir_nb.encoders import image_batches, load_encoder
from cdir_nb.encoders.backbones import load_backbone, mobilenet_v2
from cdir_nb.paths import MOBILENET_V2, atomic_write

CONFIG = {
    "timm_model_name": "mobilenetv2_100",
    "pad_type": "same",
    "num_classes": 1001,
    "embed_dim": 1280,
    "preprocess_cfg": {
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "crop_pct": 0.875,
        "crop_mode": "center",
    },
}
CARD = """# mobilenet-v2: the bundled ImageNet backbone

MobileNetV2 1.0 (Sandler et al., CVPR 2018) trained on ImageNet-1K: the starting point of unsupervised and supervised
methods when there is no internet access. `--encoder mobilenet-v2` gives 1,280 pooled features per image, without the classifier.

| | |
|---|---|
| origin | {source} |
| licence | Apache License, Version 2.0, https://www.apache.org/licenses/LICENSE-2.0; the full text is in `LICENSE` next to this card |
| changed | the int8 weights were dequantised, and batch norms folded into the convolutions: each batch norm has mean 0, variance 1, scale 1 and keeps a shift; then rounded to half precision |
| architecture | timm `mobilenetv2_100` with `pad_type="same"`, {parameters:.1f} million parameters, 1,001 outputs (0 = background) |
| input | RGB scaled to [-1, 1]; by default 224 x 224, the centre 87.5 % of the shorter side (the size is the source's, the crop is timm's for this model) |
| size | {megabytes:.1f} MB |

**To train it, keep the statistics of its batch norms frozen** (`eval()` on them): mean 0 and variance 1 are
not measured on any data, they are a result of folding. Scale and shift may be trained.

## Measured agreement
- Half precision against the float32 file, on {images} PACS photos: the same top-1 class on {same}, and a cosine between
  features of at least {cosine:.5f}.
- Dequantised float32 against the quantised original, on 40 PACS photos: the same top-1 class on 39 (measured when it was
  dequantised; not repeated by this script, since that needs TensorFlow Lite).

Accuracy on ImageNet itself was not measured. The model was trained on ImageNet-1K's training set, which may include
photos of PACS and Sketchy that come from ImageNet; by name, none of Sketchy's 21 unseen classes is among its 1,000.

Written by `scripts/bundle_mobilenet_v2.py`, which also makes `model.safetensors` from the float32 file.
"""


@torch.no_grad()
def outputs(model: torch.nn.Module, batches: list[torch.Tensor]) -> torch.Tensor:
    """(N, 1001 + 1280) logits, followed by pooled features."""
    features = torch.cat([model.forward_head(model.forward_features(batch), pre_logits=True) for batch in batches])
    return torch.cat([model.classifier(features), features], dim=1)


def compare(original: Path, photos: ImageSet) -> tuple[int, float]:
    """The number of images with the same top-1 class in both precisions, and the lowest cosine between features."""
    exact = timm.create_model("mobilenetv2_100", pad_type="same", num_classes=1001).eval()
    load_backbone(exact, original, "mobilenet-v2")
    preprocess = load_encoder("mobilenet-v2").preprocess
    batches = [batch for _, batch in image_batches(photos, range(len(photos)), preprocess, 50)]
    a, b = outputs(exact, batches), outputs(mobilenet_v2(classifier=True), batches)
    same = (a[:, :1001].argmax(dim=1) == b[:, :1001].argmax(dim=1)).sum()
    return int(same), float(torch.cosine_similarity(a[:, 1001:], b[:, 1001:]).min())


def main(
    original: Annotated[Path, typer.Argument(help="the float32 weights")],
    pacs: Annotated[Path, typer.Argument(help="folder of PACS")],
    out: Path = MOBILENET_V2,
) -> None:
    """Write model.safetensors, config.json and MODEL_CARD.md."""
    with safe_open(original, "pt") as file:
        source = file.metadata()["source"]
        state = {key: file.get_tensor(key) for key in sorted(file.keys())}
    state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    with atomic_write(out / "model.safetensors") as path:
        save_file(state, path)
    with atomic_write(out / "config.json") as path:
        path.write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    photos = open_dataset("pacs", pacs).select("photo")
    photos = photos.take(range(0, len(photos), 8))
    same, cosine = compare(original, photos)
    parameters = sum(p.numel() for p in mobilenet_v2(classifier=True).parameters()) / 1e6
    card = CARD.format(
        source=source, parameters=parameters, megabytes=(out / "model.safetensors").stat().st_size / 1e6,
        images=len(photos), same=same, cosine=cosine,
    )  # fmt: skip
    with atomic_write(out / "MODEL_CARD.md") as path:
        path.write_text(card, encoding="utf-8")
    print(card)


if __name__ == "__main__":
    typer.run(main)
