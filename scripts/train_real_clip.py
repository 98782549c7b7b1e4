"""Align the text tower of real-clip to the locked ImageNet tower, and write it into the package.

    python scripts/train_real_clip.py ../shared/data                    the whole training
    python scripts/train_real_clip.py ../shared/data --steps 50 --out /tmp/real     a rehearsal
    python scripts/train_real_clip.py ../shared/data --without pacs --out DIR       pretraining without a dataset

The image tower is the bundled MobileNetV2 and is not trained (LiT, Zhai et al. 2022): features of all images are
computed once and cached, then a linear head and the text tower are trained on them. Besides the images of the seen
half, the 1,000 rows of the ImageNet classifier serve as pseudo-images of their class names (as DeViSE, Frome et al.
2013, used class names): a vocabulary of 1,000 real names without an image. A tenth of the seen half is set aside for
validation; the held-out half is not read here (`scripts/real_clip_card.py` reads it once).
"""

import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
import typer
from bundled_models import Optimizer, clip_loss, environment, save_facts, save_model
from open_clip.model import CustomTextCLIP
from timm.data.imagenet_info import ImageNetInfo

from cdir_nb.data import load_card, open_dataset
from cdir_nb.data.halves import SEEN, in_list, photo_id
from cdir_nb.encoders import load_encoder
from cdir_nb.encoders.backbones import mobilenet_v2
from cdir_nb.encoders.bundled import KNOWN_TOKENS
from cdir_nb.encoders.variants import with_preprocessing
from cdir_nb.encoders.zero_shot import class_prompts
from cdir_nb.paths import REAL_CLIP

SIZE = 112
MODEL_CFG = {
    "embed_dim": 256,
    "vision_cfg": {
        "timm_model_name": "mobilenetv2_100",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "timm_proj_bias": True,
        "image_size": SIZE,
    },
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
}
PREPROCESS_CFG = {"size": SIZE, "mode": "RGB", "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
DATASETS = ("pacs", "sketchy_mini", "quickdraw25")
SHARES = {"photo": 0.62, "sketch": 0.13, "cartoon": 0.12, "art_painting": 0.10, "quickdraw": 0.03}
WORDS = {
    "photo": ["photo", "photo", "photograph", "picture"],
    "art_painting": ["painting", "art painting", "oil painting"],
    "cartoon": ["cartoon", "cartoon", "cartoon drawing", "clipart"],
    "sketch": ["sketch", "sketch", "pencil sketch", "drawing"],
    "quickdraw": ["doodle", "quickdraw", "quick drawing"],
}
TEMPLATES = [
    "A {domain} of a {class}",
    "A {domain} of the {class}",
    "A {class}, {domain}",
    "{class} {domain}",
    "This is a {domain} of a {class}",
    "A {domain} style of {class}",
    "A {domain} showing a {class}",
    "A good {domain} of a {class}",
    "A {class}",
]
WRONG = 0.10  # fraction of captions that name another class, as captions on the web do
PSEUDO = 0.25  # fraction of pseudo-images in a batch
PSEUDO_NOISE = 1.0  # standard deviation of noise on the standardised features of pseudo-images
VALIDATION = 10  # one in ten photos, with its sketches, is set aside


@dataclass
class Samples:
    """Training images: features (N, 1280), and the domain and class name of each image."""

    features: torch.Tensor
    domains: np.ndarray
    names: np.ndarray

    def take(self, rows: np.ndarray) -> "Samples":
        return Samples(self.features[rows], self.domains[rows], self.names[rows])


def seen_half(data: Path, datasets: Sequence[str]) -> tuple[Samples, np.ndarray, np.ndarray]:
    """All images that pretraining may use; (N,) bool, True for validation images; and (N,) dataset of each image."""
    tower = with_preprocessing(load_encoder("mobilenet-v2"), input_size=(3, SIZE, SIZE), crop_pct=1.0)
    features, domains, names, is_validation, origin = [], [], [], [], []
    for dataset in datasets:
        card, images = load_card(dataset), in_list(open_dataset(dataset, data / dataset), dataset, SEEN)
        features.append(tower.embed_images(images))
        domains += list(images.domains)
        names += [card.display(label) for label in images.labels]
        is_validation += [set_aside(key) for key in images.keys]
        origin += [dataset] * len(images)
    samples = Samples(torch.cat(features), np.array(domains), np.array(names))
    return samples, np.array(is_validation), np.array(origin)


def set_aside(key: str) -> bool:
    """Whether an image is used for validation; equal for a photo and its sketches in all datasets."""
    return zlib.crc32(photo_id(key).encode()) % VALIDATION == 0


def pseudo_images(std: torch.Tensor, length: float) -> torch.Tensor:
    """(1000, 1280) standardised features for ImageNet's classes: directions of the rows of the classifier.

    Multiplied by the covariance of the features, as in linear discriminant analysis, they are closer to the mean of a
    class's photos but far less discriminative (48 % against 82 % among 33 classes of Sketchy's seen photos).
    """
    classifier: Any = mobilenet_v2(classifier=True).classifier
    rows = classifier.weight.detach()[1:]  # 0 is "background"
    return F.normalize(rows * std, dim=1) * length


def imagenet_names() -> list[list[str]]:
    """Names of each of the 1,000 classes, the most common one first."""
    return [line.lower().split(", ") for line in ImageNetInfo().label_descriptions()]


class Captions:
    """Tokenised captions by name and domain; the vocabulary is restricted to tokens that occur in captions."""

    def __init__(self, samples: Samples, names: list[list[str]]) -> None:
        self.real, self.pseudo = sorted(set(samples.names)), names
        self.tokenizer = open_clip.SimpleTokenizer(context_length=MODEL_CFG["text_cfg"]["context_length"])
        words = [word for words in WORDS.values() for word in words]
        parts = [*self.real, *(name for group in names for name in group), *words, *TEMPLATES, "an"]
        used = {token for part in parts for token in self.tokenizer.encode(part)}
        ends = {0, self.tokenizer.sot_token_id, self.tokenizer.eot_token_id}
        self.vocabulary = torch.tensor(sorted(used | ends))  # sorted: the end of a text remains the largest
        self.cache: dict[str, torch.Tensor] = {}

    def __call__(self, pairs: Sequence[tuple[str, str]], rng: np.random.Generator) -> torch.Tensor:
        """(B, L) tokens: one caption per (name, domain)."""
        return self.of([class_prompts([n], rng.choice(WORDS[d]), rng.choice(TEMPLATES))[0] for n, d in pairs])

    def of(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, L) tokens of the restricted vocabulary; L is the length of the longest text."""
        new = [text for text in dict.fromkeys(texts) if text not in self.cache]
        if new:
            self.cache |= dict(zip(new, torch.searchsorted(self.vocabulary, self.tokenizer(new))))
        tokens = torch.stack([self.cache[text] for text in texts])
        return tokens[:, : int(tokens.argmax(dim=1).max()) + 1]


class Aligned(torch.nn.Module):
    """The trained model: a linear head on standardised features, the text tower, and the logit scale."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        clip: Any = CustomTextCLIP(**MODEL_CFG | {"text_cfg": MODEL_CFG["text_cfg"] | {"vocab_size": vocabulary}})
        self.head: torch.nn.Linear = clip.visual.head.proj
        self.text: torch.nn.Module = clip.text
        self.logit_scale: torch.nn.Parameter = clip.logit_scale
        self.mask: torch.Tensor = clip.text.attn_mask

    def images(self, z: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.head(z), dim=1)

    def texts(self, tokens: torch.Tensor) -> torch.Tensor:
        length = tokens.shape[1]
        self.text.attn_mask = self.mask[:length, :length]  # attention is causal: cutting texts changes nothing
        return F.normalize(self.text(tokens), dim=1)


def batches(
    samples: Samples, pseudo: torch.Tensor, captions: Captions, batch: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch: (B, 1280) features and (B, L) tokens."""
    n_pseudo = round(batch * PSEUDO)
    shares = {domain: share for domain, share in SHARES.items() if (samples.domains == domain).any()}
    counts = rng.multinomial(batch - n_pseudo, np.array(list(shares.values())) / sum(shares.values()))
    rows = np.concatenate([rng.choice(np.flatnonzero(samples.domains == d), n) for d, n in zip(shares, counts)])
    classes = rng.choice(len(pseudo), n_pseudo, replace=False)
    noise = torch.from_numpy(rng.standard_normal((n_pseudo, pseudo.shape[1]), dtype=np.float32))
    features = torch.cat([samples.features[rows], pseudo[classes] + PSEUDO_NOISE * noise])
    names = [rng.choice(captions.real) if rng.random() < WRONG else name for name in samples.names[rows]]
    named = [captions.pseudo[c][0 if rng.random() < 0.6 else rng.integers(len(captions.pseudo[c]))] for c in classes]
    pairs = list(zip(names, samples.domains[rows])) + [(name, "photo") for name in named]
    return features, captions(pairs, rng)


@torch.no_grad()
def zero_shot(model: Aligned, captions: Captions, samples: Samples, origin: np.ndarray) -> dict[str, float]:
    """Accuracy for each dataset and domain, among the dataset's classes."""
    model.eval()
    accuracy = {}
    for dataset in dict.fromkeys(origin):
        for domain in dict.fromkeys(samples.domains[origin == dataset]):
            part = samples.take(np.flatnonzero((origin == dataset) & (samples.domains == domain)))
            names = sorted(set(samples.names[origin == dataset]))
            text = model.texts(captions.of(class_prompts(names, WORDS[domain][0])))
            predicted = (model.images(part.features) @ text.T).argmax(dim=1)
            accuracy[f"{dataset} {domain}"] = round(float((np.array(names)[predicted] == part.names).mean()), 4)
    model.train()
    return accuracy


def save(model: Aligned, captions: Captions, mean: torch.Tensor, std: torch.Tensor, out: Path, datasets: list) -> None:
    """Write the weights, with the standardisation folded into the head, and the config."""
    head = model.head.weight / std
    state = {f"text.{key}": value for key, value in model.text.state_dict().items()}
    state |= {"visual.head.proj.weight": head, "visual.head.proj.bias": model.head.bias - head @ mean}
    state |= {"logit_scale": model.logit_scale, KNOWN_TOKENS: captions.vocabulary.int()}
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG, "pretraining": datasets}
    save_model(out, state, config)


def main(
    data: Annotated[Path, typer.Argument(help="folder that contains pacs, sketchy_mini and quickdraw25")],
    steps: int = 1500,
    batch: int = 256,
    lr: float = 1e-3,
    seed: int = 0,
    without: Annotated[list[str] | None, typer.Option(help="a dataset to leave out; may be repeated")] = None,
    out: Annotated[Path, typer.Option(help="folder for the model")] = REAL_CLIP,
    stages: Annotated[Path | None, typer.Option(help="folder for a checkpoint after every tenth of the steps")] = None,
) -> None:
    """Cache the features, train head and text tower, write weights, config and training.json."""
    started, rng = time.time(), np.random.default_rng(seed)
    torch.manual_seed(seed)
    datasets = [name for name in DATASETS if name not in (without or [])]
    seen, is_validation, origin = seen_half(data, datasets)
    mean, std = seen.features[~is_validation].mean(dim=0), seen.features[~is_validation].std(dim=0) + 1e-3
    seen.features = (seen.features - mean) / std
    pseudo = pseudo_images(std, float(seen.features.norm(dim=1).mean()))
    training, validation = (seen.take(np.flatnonzero(rows)) for rows in (~is_validation, is_validation))
    captions = Captions(seen, imagenet_names())
    seconds = time.time() - started
    print(f"{len(training.names):,} images, {len(captions.vocabulary):,} tokens, {seconds:.0f} s", flush=True)
    model, log, began = Aligned(len(captions.vocabulary)), [], time.time()
    optimizer = Optimizer(model, lr, steps)
    for step in range(1, steps + 1):
        features, tokens = batches(training, pseudo, captions, batch, rng)
        loss = clip_loss(model.images(features), model.texts(tokens), model.logit_scale.exp())
        optimizer.step(loss)
        if step % max(1, steps // 10) == 0:
            accuracy = zero_shot(model, captions, validation, origin[is_validation])
            log.append({"step": step, "loss": round(loss.item(), 3), **accuracy})
            print(f"{time.time() - began:.0f} s", json.dumps(log[-1]), flush=True)
            save(model, captions, mean, std, out, datasets)
            if stages:
                save(model, captions, mean, std, stages / f"{step}-steps", datasets)
    facts = {
        "steps": steps, "batch": batch, "lr": lr, "seed": seed, "domain shares": SHARES, "wrong captions": WRONG,
        "pseudo-images": PSEUDO, "pretraining": datasets, "images trained on": len(training.names),
        "images for validation": len(validation.names), "tokens": len(captions.vocabulary),
    }  # fmt: skip
    save_facts(out, {**facts, **environment(began, digits=1), "log": log})


if __name__ == "__main__":
    typer.run(main)
