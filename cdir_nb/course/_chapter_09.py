"""Chapter 09: mix-up, and what SnMpNet's features look like."""

import numpy as np

from cdir_nb.course.exercise import Chapter, Choice, Implement, Open
from cdir_nb.course.figures import mixed


def mix_up(image, other, label, other_label, ratio, n_classes):
    """A mixture of two images (SnMpNet's equation 3) and its soft label (equation 5).

    image, other        (H, W, 3) arrays of pixels, 0 to 255 (uint8)
    label, other_label  the numbers of their classes, 0 to n_classes - 1
    ratio               weight of the first image, 0 to 1

    Returns (pixels, soft label): an (H, W, 3) array, and an (n_classes,) array that sums to 1.
    """
    pixels = ratio * image + (1 - ratio) * other
    soft = np.zeros(n_classes)
    soft[label] += ratio
    soft[other_label] += 1 - ratio
    return pixels, soft


def expected(image, other, label, other_label, ratio, n_classes):
    one_hot = np.eye(n_classes)
    pixels = np.tensordot([ratio, 1 - ratio], np.stack([image, other]).astype(float), axes=1)
    return pixels, ratio * one_hot[label] + (1 - ratio) * one_hot[other_label]


def first_label_only(image, other, label, other_label, ratio, n_classes):
    return ratio * image + (1 - ratio) * other, np.eye(n_classes)[label]


def ratio_of_the_other(image, other, label, other_label, ratio, n_classes):
    return mix_up(image, other, label, other_label, 1 - ratio, n_classes)


def overwritten(image, other, label, other_label, ratio, n_classes):
    soft = np.zeros(n_classes)
    soft[label], soft[other_label] = ratio, 1 - ratio
    return ratio * image + (1 - ratio) * other, soft


def cases():
    random = np.random.default_rng(0)
    one, two = random.integers(0, 256, (2, 2, 2, 3)).astype(np.uint8)
    toy = np.full((1, 1, 3), 100, np.uint8), np.full((1, 1, 3), 200, np.uint8)
    return [(*toy, 0, 2, 0.7, 3), (one, two, 1, 3, 0.6, 5), (one, two, 2, 2, 0.3, 4)]  # the last: equal classes


CHAPTER = Chapter(
    "09_universal_snmpnet",
    "SnMpNet",
    50,
    """
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from cdir_nb import data, encoders
from cdir_nb.course import check, figure
from cdir_nb.encoders.zero_shot import prompt_embeddings

card, images, task = data.open_task("world")
clip = encoders.load_encoder("tiny-clip")
photos = task.gallery("real")
texts = prompt_embeddings(clip, [card.display(name) for name in task.classes], "photo")

def named(pictures):
    vectors = F.normalize(clip.embed_images(data.as_image_set(pictures)), dim=1)
    return np.array(task.classes)[(vectors @ texts.T).argmax(1).numpy()]
""",
    (
        Choice(
            "predict",
            """
CLIP names 79 % of the images of the domain *real* correctly. Now mix pairs of different classes, 60 % of one image and
40 % of another. For how many mixtures is the name the class of the 60 %?""",
            {
                "a": (
                    "About 79 %: the stronger image wins.",
                    "It often does, but the weaker image adds shapes that "
                    "are in neither class. CLIP has never seen such images.",
                ),
                "b": (
                    "About half; a fifth get the class of the 40 %, and the others a third class.",
                    "A mixture is "
                    "not only less clear: it can look like something else. SnMpNet trains on mixtures so that its "
                    "features change smoothly from one class to the other.",
                ),
                "c": (
                    "All: 60 % is more than 40 %.",
                    "The cosine is not linear in the pixels: an encoder need not follow the majority of the light.",
                ),
                "d": (
                    "About 10 %, which is chance.",
                    "The stronger image can still be recognised in about every second mixture.",
                ),
            },
            "b",
            ("Look at a mixture: would *you* name it?",),
            """
random = np.random.default_rng(0)
pairs = [pair for pair in random.choice(300, (80, 2)) if photos.labels[pair[0]] != photos.labels[pair[1]]]
loaded = [[photos.image(int(row)).convert("RGB") for row in pair] for pair in pairs]
names = named([Image.blend(weak, strong, 0.6) for strong, weak in loaded])
strong, weak = (np.mean(names == photos.labels[np.array(pairs)[:, i]]) for i in (0, 1))
print(f"{len(pairs)} mixtures: class of the 60 % {100 * strong:.0f} %, of the 40 % {100 * weak:.0f} %")
""",
            "assert 0.35 < strong < 0.65 and 0.1 < weak < 0.35",
        ),
        Choice(
            "explain",
            """
SnMpNet ranks by Euclidean distance. Trained with a loss on cosines alone, its features have lengths that differ from
image to image. Why does that harm the ranking?""",
            {
                "a": (
                    "Long vectors are nearer to all others.",
                    "The reverse is true: a long vector is far from most others.",
                ),
                "b": (
                    "The distance of two features depends on their lengths, which the loss has left to chance; so "
                    "noise decides part of the order.",
                    "||a - b||² = |a|² + |b|² - 2 a·b: with free lengths the "
                    "first two terms are noise. L_Sn compares distances, and so it fixes the lengths, too.",
                ),
                "c": (
                    "Euclidean distance and cosine never give the same order.",
                    "They do for vectors of equal length.",
                ),
                "d": ("A loss on cosines cannot separate classes.", "It can: CLIP is trained so."),
            },
            "b",
            ("Write ||a - b||² with |a|, |b| and a·b. Which of these does a loss on cosines determine?",),
        ),
        Implement(
            """
Write mix-up: the mixed image and its soft label.""",
            mix_up,
            expected,
            cases,
            {
                first_label_only: "The image is mixed and the label is not. The network would have to name the first "
                "class with certainty, however little of it is visible.",
                ratio_of_the_other: "`ratio` is the weight of the *first* image; yours is the weight of the other.",
                overwritten: "If both images have the same class, your second assignment overwrites the first, and the "
                "label does not sum to 1. Add the two weights.",
            },
            (
                "A weighted sum of the pixels; in NumPy, a float times a uint8 array is a float array.",
                "Start from `np.zeros(n_classes)` and *add* each weight at its class.",
            ),
            """
one, two = (np.asarray(photos.image(row).convert("RGB").resize((96, 96))) for row in (0, 200))
pixels, _ = mix_up(one, two, 0, 1, 0.6, 10)
package = np.asarray(Image.blend(Image.fromarray(two), Image.fromarray(one), 0.6), dtype=float)
print("largest difference from Pillow's blend, in grey levels:", round(float(np.abs(pixels - package).max()), 2))
""",
            figure=mixed,
        ),
        Open(
            """
On drawings SnMpNet is above its base network and CuMix; on photographs found with doodles it is below the base. Name
two possible reasons, and for each the run that would decide between it and the other.""",
            """It names reasons that predict different outcomes: class vectors that say little about these classes
(test: better vectors), a frozen backbone that leaves little to learn (test: train all of it), or more images per
class, which leave less for mix-up to add (test: fewer images). A run decides only if its outcome is written down
before.""",
            ("Which of its parts could be harmless on drawings and harmful on photographs?",),
        ),
    ),
)
