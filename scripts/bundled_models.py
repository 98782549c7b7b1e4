"""Functions shared by the scripts that train the bundled models and write their model cards."""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from cdir_nb.data import ImageSet, Protocol
from cdir_nb.encoders import ClipEncoder
from cdir_nb.encoders.zero_shot import accuracy, prompt_embeddings, zero_shot_labels, zero_shot_scores
from cdir_nb.paths import atomic_write
from cdir_nb.retrieval import precision_at_k, rank

Percent = dict[tuple[str, str], float]  # by query and gallery domain


def clip_loss(image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric cross-entropy over the (B, D) image and text features of a batch (Radford et al. 2021, figure 3)."""
    logits = scale * image.float() @ text.float().T
    pairs = torch.arange(len(logits))
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


class Optimizer:
    """AdamW with a one-cycle learning rate, clipped gradients, and weight decay on matrices only."""

    def __init__(self, model: torch.nn.Module, lr: float, steps: int, *, fused: bool | None = None) -> None:
        self.model = model
        matrices = [p for p in model.parameters() if p.ndim >= 2]
        vectors = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
        self.adam = torch.optim.AdamW(groups, lr, betas=(0.9, 0.98), fused=fused)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.adam, lr, steps, pct_start=0.1, cycle_momentum=False)

    def step(self, loss: torch.Tensor) -> None:
        """Take one step on `loss`, and limit the logit scale to 100."""
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.adam.step()
        self.schedule.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, np.log(100))  # pyright: ignore[reportCallIssue]


def save_model(out: Path, state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> None:
    """Write the weights in half precision, and the config beside them."""
    state = {name: x.detach().half() if x.is_floating_point() else x for name, x in state.items()}
    with atomic_write(out / "model.safetensors") as path:
        save_file({name: x.contiguous().clone() for name, x in state.items()}, path)
    with atomic_write(out / "config.json") as path:
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def save_facts(out: Path, facts: Mapping[str, Any]) -> None:
    """Write the settings and log of a training, from which the model card is generated."""
    with atomic_write(out / "training.json") as path:
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def environment(began: float, digits: int | None) -> dict[str, Any]:
    """The duration since `began`, the library versions and the machine."""
    return {
        "minutes of training": round((time.time() - began) / 60, digits),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "machine": f"{torch.get_num_threads()} threads, {platform.machine()}",
    }


def zero_shot_accuracy(
    encoder: ClipEncoder, images: ImageSet, classes: Sequence[str], word: str, names: Sequence[str] | None = None
) -> float:
    """Zero-shot accuracy among `classes` on images of one domain.

    word   the domain's word in prompts
    names  the names of the classes in prompts; None: derived from `classes`
    """
    texts = prompt_embeddings(encoder, list(names or classes), word)
    scores = zero_shot_scores(encoder.embed_images(images, progress=False), texts)
    return accuracy(zero_shot_labels(scores, classes).tolist(), images.labels.tolist())


def precision_at_10(encoder: ClipEncoder, task: Protocol) -> Percent:
    """P@10 (hits_over_k) in percent for each direction of a task."""
    percent: Percent = {}
    for pair in task.directions:
        query, gallery = task.query(pair[0]), task.gallery(pair[1])
        ranking = rank(encoder.embed_images(query), encoder.embed_images(gallery), k=10)
        percent[pair] = 100 * precision_at_k(ranking, query.labels, gallery.labels, 10, convention="hits_over_k").mean
    return percent


def direction_rows(percent: Percent) -> str:
    """A Markdown table of values by direction: query domains as rows, gallery domains as columns."""
    domains = list(dict.fromkeys(query for query, _ in percent))
    rows = [f"| | {' | '.join(domains)} |", "|---" * (len(domains) + 1) + "|"]
    for query in domains:
        cells = [f"{percent[query, gallery]:.1f}" if query != gallery else "" for gallery in domains]
        rows.append(f"| {query} | {' | '.join(cells)} |")
    return "\n".join(rows)


def write_card(out: Path, template: str, **facts: Any) -> None:
    """Fill `cards/{template}.md` with facts, write it as MODEL_CARD.md beside the weights, and print it."""
    text = (Path(__file__).parent / "cards" / f"{template}.md").read_text(encoding="utf-8")
    text = text.format(**facts, megabytes=(out / "model.safetensors").stat().st_size / 1e6)
    with atomic_write(out / "MODEL_CARD.md") as path:
        path.write_text(text, encoding="utf-8")
    print(text)
