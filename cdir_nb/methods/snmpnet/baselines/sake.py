"""SAKE (after Liu et al., ICCV 2019), with 512 or 300 dimensions, with and without domain label (SnMpNet, Table 1).

Losses: cross-entropy of seen classes, and of the ImageNet classes that a teacher predicts for the image (weight 1). The
teacher is the same backbone before training, with its ImageNet classifier. Our choices: the domain label enters a gate
on the pooled feature, in place of the gates inside the backbone; the WordNet term for the teacher is left out, since
the workbook does not include WordNet; features have unit length, as in the original's evaluation.
"""

from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.encoders import ImageEncoder
from cdir_nb.encoders.backbones import MOBILENET, mobilenet_v2
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.harness import HarnessTraining, method_row
from cdir_nb.methods.snmpnet.network import Batch, LinearHead, Setup
from cdir_nb.methods.snmpnet.views import PLAIN

REDUCTION = 16  # of a squeeze-and-excitation gate


class SakeHead(LinearHead):
    """The head of SAKE. `label`: whether it uses domain labels; it then has no features for domains not trained on."""

    encoder: ImageEncoder
    teacher_weight: torch.Tensor
    teacher_bias: torch.Tensor

    def __init__(self, setup: Setup, dim: int = 512, label: bool = True) -> None:
        teacher = imagenet_classifier(setup.encoder)
        super().__init__(setup, dim)
        self.domains, self.encoder = setup.domains, setup.encoder
        self.register_buffer("teacher_weight", teacher.weight.detach(), persistent=False)
        self.register_buffer("teacher_bias", teacher.bias.detach(), persistent=False)
        self.classifier = nn.Linear(dim, len(setup.semantics))
        self.imagenet = nn.Linear(dim, len(teacher.weight))
        self.gate = _gate(setup.channels, len(setup.domains)) if label else None

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        if self.gate is not None:
            if (domains < 0).any():
                raise CdirError(
                    f"SAKE with domain label has features of {', '.join(self.domains)} only: "
                    "use SAKE w/o label for other domains"
                )
            one_hot = F.one_hot(domains, len(self.domains)).to(pooled)
            pooled = pooled * self.gate(torch.cat([pooled, one_hot], dim=1))
        return F.normalize(self.feature(pooled), dim=1)

    def losses(self, pooled: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        features = self.embed(pooled[PLAIN], batch.domains)
        scale = features.shape[1] ** 0.5  # unit features alone could not give confident predictions
        teacher_loss = F.cross_entropy(self.imagenet(scale * features), self._teacher(batch.inputs[PLAIN]))
        return {"L_CE": F.cross_entropy(self.classifier(scale * features), batch.labels), "L_teacher": teacher_loss}

    @torch.no_grad()
    def _teacher(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, 1000 or 1001) probabilities of ImageNet classes, from pixels or from maps of the frozen trunk."""
        backbone: Any = self.encoder.model
        maps = backbone.forward_features(inputs).flatten(2) if inputs.ndim == 4 else inputs
        return F.linear(maps.float().mean(2), self.teacher_weight, self.teacher_bias).softmax(1)


def _gate(channels: int, n_domains: int) -> nn.Module:
    hidden = channels // REDUCTION
    return nn.Sequential(nn.Linear(channels + n_domains, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())


def imagenet_classifier(encoder: ImageEncoder) -> nn.Linear:
    """The linear ImageNet classifier of a backbone. Raises CdirError for a backbone without one."""
    name = encoder.built.name
    if name == MOBILENET:
        return mobilenet_v2(classifier=True).get_classifier()  # pyright: ignore[reportCallIssue]
    kind, _, tagged = name.partition(":")
    if kind == "timm" and ":" not in tagged and " " not in tagged:
        return timm.create_model(tagged, pretrained=True).get_classifier()  # pyright: ignore[reportCallIssue]
    raise CdirError(
        f"SAKE learns from the backbone's ImageNet classifier, which {name} does not provide: choose mobilenet-v2, or "
        "a model with timm's own weights, such as timm:legacy_seresnet50"
    )


class SakeTraining(HarnessTraining):
    head = SakeHead
    needs_domain = True


class Sake512WithoutLabelTraining(HarnessTraining):
    """The row SAKE-512-w/o Label of Table 1."""

    head, head_options = SakeHead, {"label": False}


class Sake300WithoutLabelTraining(HarnessTraining):
    """The row SAKE-300-w/o Label of Table 1."""

    head, head_options = SakeHead, {"dim": 300, "label": False}


PAPER = "Liu et al., ICCV 2019"
SAKE_512 = method_row("SAKE-512", PAPER, SakeTraining)
SAKE_512_WITHOUT_LABEL = method_row("SAKE-512 w/o label", PAPER, Sake512WithoutLabelTraining)
SAKE_300_WITHOUT_LABEL = method_row("SAKE-300 w/o label", PAPER, Sake300WithoutLabelTraining)
