"""SketchLVM's losses: each takes tensors and returns a scalar mean. Vectors need not have unit length."""

import torch
import torch.nn.functional as F


def triplet(anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, margin: float) -> torch.Tensor:
    """Mean of max(0, margin + d(a, p) - d(a, n)) with d = 1 - cosine (released code, Sketch_LVM); inputs are (B, D)."""
    near = F.cosine_similarity(anchor, positive, dim=-1)
    far = F.cosine_similarity(anchor, negative, dim=-1)
    return (margin - near + far).clamp(min=0).mean()


def class_text(features: torch.Tensor, texts: torch.Tensor, labels: torch.Tensor, scale: float) -> torch.Tensor:
    """Mean cross-entropy of scale x cosine (ClipPrompt's code).

    features  (B, D)
    texts     (K, D), one text per class
    labels    (B,) the row in `texts` of each image's class
    """
    cosines = F.normalize(features, dim=-1) @ F.normalize(texts, dim=-1).T
    return F.cross_entropy(scale * cosines, labels)
