"""SAKE (after Liu et al., ICCV 2019) with 512 or 300 dimensions, with and without domain label (SnMpNet, Table 1).

Losses: cross-entropy of seen classes, and of the ImageNet classes that a teacher sees in the image (weight 1). The
teacher is the same backbone before training, with its ImageNet classifier. Our choices: the domain label enters a gate
on the pooled feature, in place of the gates inside the backbone; the WordNet term for the teacher is left out, since no
WordNet comes with the workbook; features have unit length, as in the original's evaluation.
"""

import torch
import torch.nn.functional as F
from torch import nn

from cdir_nb.encoders import ImageEncoder
from cdir_nb.encoders.backbones import MOBILENET, mobilenet_v2
from cdir_nb.errors import CdirError
from cdir_nb.methods.snmpnet.harness import HarnessTraining, baseline
from cdir_nb.methods.snmpnet.network import Batch, Setup
from cdir_nb.methods.snmpnet.views import PLAIN

REDUCTION = 16  # of a squeeze-and-excitation gate


class SakeHead(nn.Module):
    """`label`: whether it is told the domain; domains that were not trained on then have no feature."""

    views, dim, label = (PLAIN,), 512, True

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        channels, dim, self.domains, self.encoder = setup.channels, self.dim, setup.domains, setup.encoder
        teacher = imagenet_classifier(setup.encoder)
        self.register_buffer("teacher_weight", teacher.weight.detach(), persistent=False)
        self.register_buffer("teacher_bias", teacher.bias.detach(), persistent=False)
        self.feature, self.classifier = nn.Linear(channels, dim), nn.Linear(dim, len(setup.semantics))
        self.imagenet = nn.Linear(dim, len(teacher.weight))
        self.gate = _gate(channels, len(setup.domains)) if self.label else None

    def embed(self, pooled: torch.Tensor, domains: torch.Tensor) -> torch.Tensor:
        if self.gate is not None:
            if (domains < 0).any():
                known = ", ".join(self.domains)
                raise CdirError(
                    f"SAKE with domain label has features of {known} only: take SAKE w/o label for other domains"
                )
            told = F.one_hot(domains, len(self.domains)).to(pooled)
            pooled = pooled * self.gate(torch.cat([pooled, told], dim=1))
        return F.normalize(self.feature(pooled), dim=1)

    def losses(self, views: dict[str, torch.Tensor], batch: Batch) -> dict[str, torch.Tensor]:
        features = self.embed(views[PLAIN], batch.domains)
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
        import timm  # only this needs it

        return timm.create_model(tagged, pretrained=True).get_classifier()
    raise CdirError(
        f"SAKE learns from the backbone's ImageNet classifier, which {name} does not bring: choose mobilenet-v2, or "
        "a model with timm's own weights, such as timm:legacy_seresnet50"
    )


class Sake512WithoutLabelHead(SakeHead):
    """Table 1's SAKE-512-w/o Label."""

    label = False


class Sake300WithoutLabelHead(SakeHead):
    """Table 1's SAKE-300-w/o Label."""

    dim, label = 300, False


class SakeTraining(HarnessTraining):
    head = SakeHead
    told_the_domain = True


class Sake512WithoutLabelTraining(HarnessTraining):
    head = Sake512WithoutLabelHead


class Sake300WithoutLabelTraining(HarnessTraining):
    head = Sake300WithoutLabelHead


PAPER = "Liu et al., ICCV 2019"
SAKE_512 = baseline("SAKE-512", PAPER, SakeTraining)
SAKE_512_WITHOUT_LABEL = baseline("SAKE-512 w/o label", PAPER, Sake512WithoutLabelTraining)
SAKE_300_WITHOUT_LABEL = baseline("SAKE-300 w/o label", PAPER, Sake300WithoutLabelTraining)
