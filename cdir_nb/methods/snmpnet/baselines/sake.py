"""SAKE (after Liu et al., ICCV 2019) with 512 or 300 dimensions, with and without domain label (SnMpNet, Table 1).

Losses: cross-entropy of seen classes, and of the ImageNet classes that a teacher sees in the image (weight 1). The
teacher is the same backbone before training, with its ImageNet classifier. Our choices: the domain label enters a gate
on the pooled feature, in place of the gates inside the backbone; the WordNet term for the teacher is left out, since no
WordNet comes with the workbook; features have unit length, as in the original's evaluation.
"""

import timm
import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.encoders import ImageEncoder
from cdir_nb.encoders.backbones import MOBILENET, mobilenet_v2
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.network import Batch, Setup
from cdir_nb.methods.snmpnet.views import PLAIN

REDUCTION = 16  # of a squeeze-and-excitation gate


class SakeHead(nn.Module):
    """`gate`: None without the domain label; with it, domains that were not trained on have no feature."""

    views = (PLAIN,)

    def __init__(self, setup: Setup, *, dim: int = 512, label: bool = True) -> None:
        super().__init__()
        channels, self.domains, self.encoder = setup.channels, setup.domains, setup.encoder
        teacher = imagenet_classifier(setup.encoder)
        self.register_buffer("teacher_weight", teacher.weight.detach(), persistent=False)
        self.register_buffer("teacher_bias", teacher.bias.detach(), persistent=False)
        self.feature, self.classifier = nn.Linear(channels, dim), nn.Linear(dim, len(setup.semantics))
        self.imagenet = nn.Linear(dim, len(teacher.weight))
        self.gate = _gate(channels, len(setup.domains)) if label else None

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        if self.gate is not None:
            if (domains < 0).any():
                known = ", ".join(self.domains)
                raise CdirError(f"SAKE with domain label knows {known} only: take SAKE w/o label for an unseen domain")
            told = F.one_hot(domains, len(self.domains)).to(pooled)
            pooled = pooled * self.gate(torch.cat([pooled, told], dim=1))
        return F.normalize(self.feature(pooled), dim=1)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        features = self.embed(batch.pooled[PLAIN], batch.domains)
        scale = features.shape[1] ** 0.5  # so that unit features can make confident predictions
        taught = F.cross_entropy(self.imagenet(scale * features), self._teacher(batch.inputs[PLAIN]))
        return {"L_CE": F.cross_entropy(self.classifier(scale * features), batch.labels), "L_teacher": taught}

    @torch.no_grad()
    def _teacher(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, 1000 or 1001) probabilities of ImageNet classes, from pixels or from maps of the frozen trunk."""
        maps = self.encoder.model.forward_features(inputs).flatten(2) if inputs.ndim == 4 else inputs
        return F.linear(maps.float().mean(2), self.teacher_weight, self.teacher_bias).softmax(1)


def _gate(channels: int, n_domains: int) -> nn.Module:
    hidden = channels // REDUCTION
    return nn.Sequential(nn.Linear(channels + n_domains, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())


def imagenet_classifier(encoder: ImageEncoder) -> nn.Linear:
    """The linear ImageNet classifier of a backbone. CdirError where only the backbone's own weights are at hand."""
    name = encoder.built.name
    if name == MOBILENET:
        return mobilenet_v2(classifier=True).get_classifier()
    kind, _, tagged = name.partition(":")
    if kind == "timm" and ":" not in tagged and " " not in tagged:
        return timm.create_model(tagged, pretrained=True).get_classifier()
    raise CdirError(
        f"SAKE learns from the backbone's ImageNet classifier, which {name} does not bring: choose mobilenet-v2, or "
        "a model with timm's own weights, such as timm:legacy_seresnet50"
    )


def sake_512_without_label(setup: Setup) -> SakeHead:
    """Table 1's SAKE-512-w/o Label."""
    return SakeHead(setup, label=False)


def sake_300_without_label(setup: Setup) -> SakeHead:
    """Table 1's SAKE-300-w/o Label."""
    return SakeHead(setup, dim=300, label=False)
