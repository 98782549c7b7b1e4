"""CoDA's two losses. The paper's text could not be obtained: both are those of its released code (read, not run).

symbol   variable                shape   meaning
z        logits                  (B, K)  scores of the K classes by one classifier, for images of the batch
m        memory_logits           (B, K)  the same classifier's scores of the images' memory
a, b     logits_a, logits_b      (B, K)  scores of the same images by the first and the second domain's classifier
"""

import torch
import torch.nn.functional as F


def self_matching(logits: torch.Tensor, memory_logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Scalar L_ISS of one classifier: an image's class follows the class that the classifier gives to its memory.

    -1/B sum_i sum_k t_ik log softmax(z_i)_k,   t_i = softmax(m_i / temperature), through which no gradient flows
    As in the released code, only the target has a temperature.
    """
    return F.cross_entropy(logits, (memory_logits.detach() / temperature).softmax(dim=1))


def agreement(logits_a: torch.Tensor, logits_b: torch.Tensor) -> torch.Tensor:
    """Scalar L_CCA of one level, without lambda: the classifiers of both domains agree on the same images.

    1/B sum_i sum_k |a_ik - b_ik|
    """
    return (logits_a - logits_b).abs().sum(dim=1).mean()
