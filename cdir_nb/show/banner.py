"""What stands at the top of a notebook: where its numbers come from; and the list of notebooks."""

from collections.abc import Sequence
from pathlib import Path

import nbformat
from IPython.display import Markdown

from cdir_nb.data import Card, ImageSet
from cdir_nb.encoders import ClipEncoder
from cdir_nb.paths import NOTEBOOKS

DRAWN = (
    "**A drawn world, not the papers' data.** Numbers below say how the methods behave here; they stand "
    "beside the papers' numbers, never in their place."
)
RANDOM = (
    "## ⚠ RANDOM WEIGHTS: a pipeline test\nThis encoder has learnt nothing. Every number and picture below "
    "only shows that the machinery runs. **Do not quote, compare or average any of them.**"
)


def banner(card: Card, images: ImageSet, encoder: ClipEncoder) -> Markdown:
    """The dataset's card and the encoder in a few lines; loud where the weights are random."""
    lines = [
        f"**Images:** {card.title}, {len(images):,} of them. {card.about.strip()}",
        f"**Source:** {card.source}. **Licence:** {card.licence}.",
        f"**Encoder:** `{encoder.identity}`. {encoder.description}.",
    ]
    lines += [DRAWN] if card.kind == "drawn" else []
    quoted = "\n>\n".join(f"> {line}" for line in lines)
    return Markdown(f"{RANDOM}\n\n{quoted}" if has_random_weights(encoder) else quoted)


def has_random_weights(encoder: ClipEncoder) -> bool:
    """True for an encoder whose name says random (its numbers mean nothing)."""
    return "random" in encoder.identity.lower()


def plain_list(names: Sequence[str]) -> str:
    """`a, b and c`."""
    names = [str(name).replace("_", " ") for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def notebook_map(folder: Path = NOTEBOOKS) -> Markdown:
    """A table of the notebooks that exist: link, title, and the question in bold below the title."""
    rows = ["| notebook | title | question |", "|---|---|---|"]
    for path in sorted(folder.glob("*.ipynb")):
        lines = nbformat.read(path, as_version=4).cells[0].source.splitlines()
        question = next((line.strip("* ") for line in lines if line.startswith("**")), "")
        rows.append(f"| [{path.stem}]({path.name}) | {lines[0].lstrip('# ')} | {question} |")
    return Markdown("\n".join(rows))
