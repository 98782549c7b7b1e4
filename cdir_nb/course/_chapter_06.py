"""Chapter 06: CLAIR's contrastive loss between domains."""

import torch
import torch.nn.functional as F

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.methods.clair import losses
from cdir_nb.methods.memory import Bank


def inter_domain_loss(x, labels, bank, bank_labels, temperature):
    """L_ID of one domain (CLAIR's equation 6): the mean over images of

    - mean over positives p of log( exp(x·m_p / temperature) / sum over all a of exp(x·m_a / temperature) ).

    The positives of an image are the bank's memories with its label; an image without any is left out of the mean.

    x            (B, D) tensor of unit vectors, images of one domain
    labels       (B,) tensor of their pseudo-labels
    bank         (N, D) tensor of unit vectors, the memories of the *other* domain
    bank_labels  (N,) tensor
    """
    log_p = (x @ bank.T / temperature).log_softmax(dim=1)
    positive = labels[:, None] == bank_labels[None, :]
    counted = positive.any(dim=1)
    per_image = -(log_p * positive).sum(dim=1)[counted] / positive.sum(dim=1)[counted]
    return per_image.mean()


def expected(x, labels, bank, bank_labels, temperature):
    return losses.inter_domain_loss(x, labels, Bank(bank, bank_labels, 4), temperature)


def log_of_the_sum(x, labels, bank, bank_labels, temperature):
    p = (x @ bank.T / temperature).softmax(dim=1)
    positive = labels[:, None] == bank_labels[None, :]
    return -(p * positive).sum(dim=1)[positive.any(dim=1)].log().mean()


def without_positives_below(x, labels, bank, bank_labels, temperature):
    scores = x @ bank.T / temperature
    positive = labels[:, None] == bank_labels[None, :]
    log_p = scores - scores.masked_fill(positive, -torch.inf).logsumexp(dim=1, keepdim=True)
    counted = positive.any(dim=1)
    return -((log_p * positive).sum(dim=1)[counted] / positive.sum(dim=1)[counted]).mean()


def lonely_images_count(x, labels, bank, bank_labels, temperature):
    counted = (labels[:, None] == bank_labels[None, :]).any(dim=1).sum()
    return inter_domain_loss(x, labels, bank, bank_labels, temperature) * counted / len(x)


def cases():
    random = torch.Generator().manual_seed(0)
    toy = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    memories = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    x, bank = F.normalize(torch.randn(2, 12, 8, generator=random), dim=2)
    lonely = torch.arange(12) % 4, bank, torch.arange(12) % 3  # no memory has label 3
    return [(*toy, *memories, 0.5), (x, *lonely, 0.2)]


CHAPTER = Chapter(
    "06_prompt_learning",
    "CLAIR",
    60,
    """
import torch
import torch.nn.functional as F

from cdir_nb import data, encoders
from cdir_nb.course import check
from cdir_nb.encoders.zero_shot import prompt_embeddings

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
sketch, photo = task.query("sketch"), task.gallery("real")
x, bank = (F.normalize(clip.embed_images(part), dim=1) for part in (sketch, photo))

def guessed(vectors, word):
    texts = prompt_embeddings(clip, [card.display(name) for name in task.classes], word)
    return (vectors @ texts.T).argmax(1)

labels, bank_labels = guessed(x, "sketch"), guessed(bank, "photo")
""",
    (
        Choice(
            "predict",
            """
The denominator of the loss sums over all 300 memories of the other domain. At the temperature 0.2, which we use for
CLAIR, how many of them really count? (The *effective number* is exp of the entropy of their weights.)""",
            {
                "a": ("About 1: the nearest memory.", "That would be so at a temperature near 0.01."),
                "b": (
                    "About 30: those of the image's class.",
                    "The loss is meant to separate classes, but its "
                    "denominator knows nothing of them; and cosines of CLIP lie too close together to leave "
                    "only 30 memories.",
                ),
                "c": (
                    "About 240: nearly all.",
                    "Cosines differ by a few tenths. Divided by 0.2, they give weights "
                    "that differ little: the loss hardly knows which memories are hard.",
                ),
                "d": (
                    "Exactly 300: a softmax never drops anything.",
                    "No weight is zero, but they are not equal either. At the temperature 1 it is 297.",
                ),
            },
            "c",
            ("If cosines lie between 0.5 and 0.9, what is the largest ratio of two weights, exp(0.4 / 0.2)?",),
            """
for temperature in (0.01, 0.05, 0.2, 1.0):
    w = (x @ bank.T / temperature).softmax(1)
    effective = torch.special.entr(w).sum(1).exp().mean()
    print(f"temperature {temperature}: {effective:.0f} of {len(bank)} memories count")
""",
            """
w = (x @ bank.T / 0.2).softmax(1)
assert 220 < torch.special.entr(w).sum(1).exp().mean() < 260""",
        ),
        Choice(
            "explain",
            """
Prompts that are drawn 50 times larger (spread 1 instead of 0.02) cost CLIP the same P@10 before any training. Why?""",
            {
                "a": (
                    "The image tower ignores prompts until they are trained.",
                    "It does not: attention mixes them "
                    "into the other tokens from the first layer on, and P@10 falls at once.",
                ),
                "b": (
                    "Its first operation is a LayerNorm, which divides each token by its standard deviation.",
                    "A token and 50 times the same token are equal after LayerNorm, so the size of a "
                    "prompt is gone before the first attention.",
                ),
                "c": (
                    "Attention divides by the square root of the dimension.",
                    "That scales all scores by one number, whatever the prompts; it does not remove their size.",
                ),
                "d": (
                    "The output is normalised to unit length.",
                    "The output is, but prompts act inside of the "
                    "network, where they change the direction of the output.",
                ),
            },
            "b",
            ("What does LayerNorm(50 x) give, compared with LayerNorm(x)?",),
        ),
        Implement(
            """
Write L_ID, the loss that pulls an image to the memories of its class in the *other* domain.""",
            inter_domain_loss,
            expected,
            cases,
            {
                log_of_the_sum: "You take the logarithm of the *sum* of the positives' probabilities. Equation 6 takes "
                "the mean of the logarithms: each positive is pulled, not only the nearest.",
                without_positives_below: "Your denominator leaves the positives out. In equation 6 it sums over the "
                "whole bank.",
                lonely_images_count: "An image whose class does not occur in the other domain counts as 0 in your "
                "mean. It is left out: the mean is over the images that have a positive.",
            },
            (
                "`log_softmax` of all similarities over the temperature gives the logarithms for every memory.",
                "`labels[:, None] == bank_labels[None, :]` is the (B, N) mask of positives.",
                "Sum `log_p * positive` over the bank, divide by the number of positives, and average over the images "
                "that have at least one.",
            ),
            """
wanted = torch.tensor([task.classes.index(name) for name in sketch.labels])
truth = torch.tensor([task.classes.index(name) for name in photo.labels])
for kind, (mine, theirs) in {"guessed": (labels, bank_labels), "true": (wanted, truth)}.items():
    print(f"L_ID of CLIP's vectors with {kind} labels: {inter_domain_loss(x, mine, bank, theirs, 0.2):.3f}")
""",
        ),
        Open(
            """
Make the loss work: start from CLIP's sketch vectors as parameters, or from a linear layer on them, take 100 steps of
Adam on L_ID with *guessed* labels, and draw P@10 over the steps. Where would you stop without labels?""",
            """It draws two curves, the loss (or P@10 by guessed labels) and P@10 by true labels, and sees that the
first improves after the second has turned. A good rule is stated before looking at true labels, and tested in a second
direction.""",
            ("`layer = torch.nn.Linear(128, 128, bias=False)`, started at the identity by `torch.nn.init.eye_`.",),
        ),
    ),
)
