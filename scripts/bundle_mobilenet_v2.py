"""Convert the ImageNet backbone to half precision, measure the agreement with float32, and write a model card.

python scripts/bundle_mobilenet_v2.py WEIGHTS.safetensors PACS
"""

from pathlib import Path
from typing import Annotated, Any

import timm
import torch
import typer
from bundled_models import save_model, write_card
from safetensors import safe_open

from cdir_nb.data import ImageSet, open_dataset
from cdir_nb.encoders import image_batches, load_encoder
from cdir_nb.encoders.backbones import load_backbone, mobilenet_v2
from cdir_nb.paths import MOBILENET_V2

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


@torch.no_grad()
def outputs(model: Any, batches: list[torch.Tensor]) -> torch.Tensor:
    """(N, 1001 + 1280) logits of a timm model, followed by pooled features."""
    features = torch.cat([model.forward_head(model.forward_features(batch), pre_logits=True) for batch in batches])
    return torch.cat([model.classifier(features), features], dim=1)


def compare(original: Path, photos: ImageSet) -> tuple[int, float]:
    """The number of images with the same top-1 class in both precisions, and the lowest cosine between features."""
    exact = timm.create_model("mobilenetv2_100", pad_type="same", num_classes=1001).eval()
    load_backbone(exact, original, "mobilenet-v2")
    preprocess = load_encoder("mobilenet-v2").preprocess
    batches = [batch for _, batch in image_batches(photos, range(len(photos)), preprocess, 50)]
    full, half = outputs(exact, batches), outputs(mobilenet_v2(classifier=True), batches)
    same = (full[:, :1001].argmax(dim=1) == half[:, :1001].argmax(dim=1)).sum()
    return int(same), float(torch.cosine_similarity(full[:, 1001:], half[:, 1001:]).min())


def main(
    original: Annotated[Path, typer.Argument(help="the float32 weights")],
    pacs: Annotated[Path, typer.Argument(help="folder of PACS")],
    out: Path = MOBILENET_V2,
) -> None:
    """Write model.safetensors, config.json and MODEL_CARD.md."""
    with safe_open(original, "pt") as file:
        source = file.metadata()["source"]
        state = {key: file.get_tensor(key) for key in sorted(file.keys())}
    save_model(out, state, CONFIG)
    photos = open_dataset("pacs", pacs).select("photo")
    photos = photos.take(range(0, len(photos), 8))
    same, cosine = compare(original, photos)
    parameters = sum(p.numel() for p in mobilenet_v2(classifier=True).parameters()) / 1e6
    facts = {"source": source, "parameters": parameters, "images": len(photos), "same": same, "cosine": cosine}
    write_card(out, "mobilenet_v2", **facts)


if __name__ == "__main__":
    typer.run(main)
