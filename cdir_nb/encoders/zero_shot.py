"""Class prompts, their text embeddings, and CLIP's zero-shot classification: an image gets the class of the nearest
prompt (CLAIR, section 4.1).
"""

import re
import string
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from cdir_nb.encoders.clip import ClipEncoder
from cdir_nb.errors import CdirError

TEMPLATE = "A {domain} of a {class}"  # CLAIR, section 4.1
ENSEMBLE = (TEMPLATE, "A {domain} of one {class}", "A {class}, {domain}", "This is a {domain} of a {class}")  # our own
A_BEFORE_VOWEL = ("uni", "uku", "eu")  # prefixes of words whose article does not follow from their first letter
AN_BEFORE_CONSONANT = ("hour", "suv")


def class_prompts(classes: Sequence[str], domain_word: str, template: str = TEMPLATE) -> list[str]:
    """K prompts, one per class: "A photo of a guitar", "An infograph of an airplane" (CLAIR, 4.1 and 4.4).

    Underscores in class names become spaces. "a" becomes "an" before a vowel sound.
    Raises CdirError for a template without {class}, or with a field other than {class} and {domain}.
    """
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise CdirError(f'template "{template}" is malformed ({error}): write for example "{TEMPLATE}"') from error
    if "class" not in fields or fields - {"class", "domain"}:
        raise CdirError(
            f'template "{template}" must contain {{class}} and no field other than {{domain}}: write "{TEMPLATE}"'
        )
    return [_fill(template, {"domain": domain_word, "class": name.replace("_", " ")}) for name in classes]


def require_names(method: str, names: Sequence[str]) -> None:
    """Raise CdirError for fewer than two class names, an empty name, or a duplicate."""
    if len(names) < 2 or not all(name.strip() for name in names):
        listed = ", ".join(repr(name) for name in names[:3]) or "none"
        raise CdirError(f"{method} needs at least two class names, and none may be empty; got {listed}")
    duplicates = [name for i, name in enumerate(names) if name in names[:i]]
    if duplicates:
        raise CdirError(f'class name "{duplicates[0]}" appears twice: give each class a different name')


def require_words(words: Mapping[str, str]) -> None:
    """Raise CdirError for a domain without a word; words: {domain: its word in prompts}."""
    for domain, word in words.items():
        if not word.strip():
            raise CdirError(f"domain {domain} has no word for prompts: give one, such as photo or sketch")


def prompt_embeddings(
    encoder: ClipEncoder, classes: Sequence[str], domain_word: str, templates: Sequence[str] = (TEMPLATE,)
) -> torch.Tensor:
    """(K, D) unit text embeddings of one template, or the normalised mean over several (an ensemble)."""
    per_template = [encoder.embed_texts(class_prompts(classes, domain_word, template)) for template in templates]
    units = torch.stack([F.normalize(embeddings, dim=-1) for embeddings in per_template])
    return F.normalize(units.mean(dim=0), dim=-1)


def zero_shot_scores(image_emb: torch.Tensor, text_emb: torch.Tensor) -> torch.Tensor:
    """(N, K) cosine similarity of image n and class prompt j (CLAIR, section 4.1):

    y[n, j] = cos(f_n, w_j) = f_n . w_j / (|f_n| |w_j|)
    """
    return F.normalize(image_emb, dim=-1) @ F.normalize(text_emb, dim=-1).T


def zero_shot_labels(scores: torch.Tensor, classes: Sequence[str]) -> np.ndarray:
    """(N,) name of the class with the highest score for each image; in a tie, the first such class."""
    if scores.shape[1] != len(classes):
        raise CdirError(
            f"scores have {scores.shape[1]} columns for {len(classes)} classes: expected one class per column"
        )
    best = scores.cpu().numpy().argmax(axis=1)  # numpy guarantees the first of tied values, torch does not
    return np.asarray(classes)[best]


def accuracy(predicted: Sequence[str], labels: Sequence[str]) -> float:
    """Fraction of the N predictions that are correct, 0 to 1; nan for N = 0."""
    correct = _correct(predicted, labels)
    return float(correct.mean()) if len(correct) else float("nan")


def accuracy_by(predicted: Sequence[str], labels: Sequence[str], groups: Sequence[str]) -> dict[str, float]:
    """Accuracy within each group, in alphabetical order. groups: (N,) domains, or the labels for accuracy by class."""
    correct, group_of = _correct(predicted, labels), np.asarray(groups)
    return {str(group): float(correct[group_of == group].mean()) for group in np.unique(group_of)}


def confusion(predicted: Sequence[str], labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """(K, K) counts: row = true class, column = predicted class, both in the order of `classes`."""
    from sklearn.metrics import confusion_matrix  # imported when needed, as it takes seconds

    return confusion_matrix(np.asarray(labels), np.asarray(predicted), labels=list(classes))


def _correct(predicted: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """(N,) bool."""
    if len(predicted) != len(labels):
        raise CdirError(f"{len(predicted)} predictions for {len(labels)} labels: expected one prediction per label")
    return np.asarray(predicted) == np.asarray(labels)


def _fill(template: str, words: dict[str, str]) -> str:
    """The template with both words, each with the right article."""

    def with_article(match: re.Match) -> str:
        word = words[match["field"]]
        start = word.lower()
        vowel = start.startswith(tuple("aeiou")) and not start.startswith(A_BEFORE_VOWEL)
        n = "n" if vowel or start.startswith(AN_BEFORE_CONSONANT) else ""
        return f"{match['article']}{n} {{{match['field']}}}"  # not the word, which may contain braces

    return re.sub(r"\b(?P<article>[Aa])n? \{(?P<field>class|domain)\}", with_article, template).format(**words)
