"""A small training on frozen features, to show how the rule for stopping and the choice of test images change a result.

Not a method of any paper: one linear layer, initialised to the identity (so that step 0 is the encoder itself) and
trained with CLAIR's two class losses in seconds on a laptop. Notebook 09 stops it by three rules, and tests it on
images that it was and was not trained on.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from cdir_nb.errors import CdirError
from cdir_nb.methods.clair.losses import both_domains, inter_cluster_loss, inter_domain_loss
from cdir_nb.methods.memory import Bank

BATCH = 64
LEARNING_RATE = 3e-4  # of Adam; our default, as is the batch


def train_probe(
    emb: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], *, steps: int = 100, every: int = 5, seed: int = 0
) -> dict[int, torch.Tensor]:
    """{step: W}: the weight (D, D) of `project` at step 0 (the identity), every `every` steps, and the last step.

    emb, labels  for each of two domains: (N, D) features and (N,) int64 classes (true or pseudo-labels)

    Each step draws one batch per domain and minimises L_IC + L_ID (CLAIR, equations 5 and 6) against banks of all
    features. Raises CdirError unless there are exactly two domains, both with images.
    """
    if len(emb) != 2 or len(labels) != 2:
        raise CdirError(f"the probe learns from two domains, got {len(emb)}: give features and labels of exactly two")
    if not all(map(len, emb)):
        raise CdirError("the probe has no image to learn from in one domain: each class needs two images or more")
    generator = torch.Generator().manual_seed(seed)
    weight = torch.eye(emb[0].shape[1]).requires_grad_()
    optimizer, kept = torch.optim.Adam([weight], lr=LEARNING_RATE), {0: weight.detach().clone()}
    n_classes = int(torch.cat(list(labels)).max()) + 1
    for step in range(1, steps + 1):
        rows = [torch.randperm(len(e), generator=generator)[:BATCH] for e in emb]
        banks = [Bank(project(e, weight).detach(), y, n_classes) for e, y in zip(emb, labels)]
        losses = [
            inter_cluster_loss(x, y, own) + inter_domain_loss(x, y, other)
            for x, y, own, other in (
                (project(emb[d][rows[d]], weight), labels[d][rows[d]], banks[d], banks[1 - d]) for d in (0, 1)
            )
        ]
        optimizer.zero_grad()
        both_domains(*losses).backward()
        optimizer.step()
        if step % every == 0 or step == steps:
            kept[step] = weight.detach().clone()
    return kept


def project(emb: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(N, D) unit vectors: each feature normalised, multiplied by W, and normalised again."""
    return F.normalize(F.normalize(emb, dim=1) @ weight.T, dim=1)
