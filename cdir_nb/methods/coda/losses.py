"""CoDA's two losses. The paper's text could not be obtained: both follow its released code, which was not run.

symbol   variable                shape   meaning
z        logits                  (B, K)  scores of the K classes by one classifier, for images of the batch
m        memory_logits           (B, K)  scores by the same classifier for the memory entries of these images
a, b     logits_a, logits_b      (B, K)  scores of the same images by the first and the second domain's classifier
"""

import torch
import torch.nn.functional as F


def self_matching(logits: torch.Tensor, memory_logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Scalar L_ISS of one classifier: its prediction for an image should match that for the image's memory entry.

    -1/B sum_i sum_k t_ik log softmax(z_i)_k,   t_i = softmax(m_i / temperature), through which no gradient flows
    As in the released code, only the target has a temperature.
    """
    return F.cross_entropy(logits, (memory_logits.detach() / temperature).softmax(dim=1))


def agreement(logits_a: torch.Tensor, logits_b: torch.Tensor) -> torch.Tensor:
    """Scalar L_CCA of one level, without lambda: both domains' classifiers should agree on the same images.

    1/B sum_i sum_k |a_ik - b_ik|
    """
    return (logits_a - logits_b).abs().sum(dim=1).mean()
