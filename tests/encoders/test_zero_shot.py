"""Zero-shot classification: prompts, scores and accuracies by hand."""

import numpy as np
import pytest
import torch

from cdir_nb.encoders import zero_shot as zs
from cdir_nb.errors import CdirError

pytestmark = pytest.mark.medium


class FakeEncoder:
    """Texts to vectors by a table."""

    def __init__(self, table: dict[str, list[float]]):
        self.table = table

    def embed_texts(self, texts):
        return torch.tensor([self.table[text] for text in texts])


def test_prompts_of_the_paper():
    infographs = ["An infograph of an airplane", "An infograph of a guitar"]
    assert zs.class_prompts(["airplane", "guitar"], "infograph") == infographs
    assert zs.class_prompts(["light_bulb"], "quickdraw drawing") == ["A quickdraw drawing of a light bulb"]


def test_articles():
    nouns = ["a unicorn", "a ukulele", "an umbrella", "an hourglass", "a house", "an SUV", "a t-shirt", "an ice cream"]
    classes = [noun.partition(" ")[2].replace(" ", "_") for noun in nouns]
    assert zs.class_prompts(classes, "photo") == [f"A photo of {noun}" for noun in nouns]


def test_other_templates():
    prompts = zs.class_prompts(["owl"], "art painting", "this is {class} in an {domain}")
    assert prompts == ["this is owl in an art painting"]
    assert zs.class_prompts(["owl"], "sketch", "a {class}") == ["an owl"]
    assert zs.class_prompts(["{domain}", "a}", "{0}"], "photo") == [
        "A photo of a {domain}",
        "A photo of an a}",
        "A photo of a {0}",
    ]
    for template in ("a photo", "a {klass}", "a {class", "a {domain}"):
        with pytest.raises(CdirError, match="template"):
            zs.class_prompts(["owl"], "sketch", template)
    assert all(zs.class_prompts(["owl"], "photo", template) for template in zs.ENSEMBLE)


def test_ensemble_is_the_mean_direction():
    encoder = FakeEncoder({"A photo of a cat": [3.0, 0.0], "a cat": [0.0, 7.0]})
    single = zs.prompt_embeddings(encoder, ["cat"], "photo")
    assert torch.allclose(single, torch.tensor([[1.0, 0.0]]))
    both = zs.prompt_embeddings(encoder, ["cat"], "photo", (zs.TEMPLATE, "a {class}"))
    assert torch.allclose(both, torch.tensor([[0.5**0.5, 0.5**0.5]]))


def test_scores_and_labels_by_hand():
    scores = zs.zero_shot_scores(torch.tensor([[3.0, 4.0], [0.0, -2.0]]), torch.tensor([[10.0, 0.0], [0.0, 0.5]]))
    assert torch.allclose(scores, torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert zs.zero_shot_labels(scores, ["cat", "dog"]).tolist() == ["dog", "cat"]
    assert zs.zero_shot_labels(torch.zeros(1, 2), ["cat", "dog"]).tolist() == ["cat"]
    with pytest.raises(CdirError, match="2 columns for 3 classes"):
        zs.zero_shot_labels(scores, ["a", "b", "c"])


def test_accuracies_and_confusion():
    labels = ["cat", "cat", "cat", "dog"]
    predicted = ["cat", "dog", "dog", "dog"]
    assert zs.accuracy(predicted, labels) == 0.5
    assert np.isnan(zs.accuracy([], []))
    assert zs.accuracy_by(predicted, labels, labels) == {"cat": pytest.approx(1 / 3), "dog": 1.0}
    assert zs.accuracy_by(predicted, labels, ["real", "sketch", "sketch", "real"]) == {"real": 1.0, "sketch": 0.0}
    matrix = zs.confusion(predicted, labels, ["dog", "cat", "owl"])
    assert matrix.tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 0]]
    with pytest.raises(CdirError, match="1 predictions for 2 labels"):
        zs.accuracy(["cat"], ["cat", "dog"])
