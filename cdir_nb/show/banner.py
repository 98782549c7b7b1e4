"""Texts for notebooks: the banner with dataset and encoder, tables of settings and of notebooks."""

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from IPython.display import Markdown

from cdir_nb.data import Card, ImageSet
from cdir_nb.data.manifest import drawn_title
from cdir_nb.encoders import ClipEncoder
from cdir_nb.errors import printable
from cdir_nb.methods.settings import Settings
from cdir_nb.methods.table import method_named
from cdir_nb.paths import NOTEBOOKS
from cdir_nb.show.style import use_titles

DRAWN = "**{}, not the papers' data.**"
RANDOM = (
    "## ⚠ RANDOM WEIGHTS: a pipeline test\nThis encoder has learnt nothing. The numbers and pictures below "
    "only show that the code runs. **Do not quote, compare or average any of them.**"
)


def banner(card: Card, images: ImageSet, encoder: ClipEncoder) -> Markdown:
    """A summary of dataset card and encoder, with a warning if the weights are random.

    If the number of images differs from the card's, the first line states this. The figures that follow show the card's
    titles of domains, such as `real (drawn)`.
    """
    use_titles(card.domain_titles)
    counts = card.other_counts(images)
    lines = [
        *([f"**{card.name}, {counts}**"] if counts else []),
        f"**Images:** {card.title}, {len(images):,} of them. {card.about.strip()}",
        f"**Source:** {card.source}. **Licence:** {card.licence}.",
        f"**Encoder:** `{_plain_code(encoder.identity)}`. {_plain(encoder.description)}.",
    ]
    if title := drawn_title(card.name):
        lines.append(DRAWN.format(title[0].upper() + title[1:]))
    quoted = "\n>\n".join(f"> {line}" for line in lines)
    return Markdown(f"{RANDOM}\n\n{quoted}" if has_random_weights(encoder) else quoted)


def _plain(text: str) -> str:
    """Escape text for Markdown and HTML; the name of a weights file may contain any character."""
    return re.sub(r"([`\[\]])", r"\\\1", html.escape(printable(text), quote=False))


def _plain_code(text: str) -> str:
    """Escape text between backticks."""
    return printable(text).replace("`", "'")


def has_random_weights(encoder: ClipEncoder) -> bool:
    """Whether the encoder's identity contains "random"; its numbers are then meaningless."""
    return "random" in encoder.identity.lower()


def plain_list(names: Sequence[str]) -> str:
    """Names joined as in `a, b and c`, with spaces instead of underscores."""
    names = [str(name).replace("_", " ") for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def notebook_map(folder: Path = NOTEBOOKS) -> Markdown:
    """A table of the notebooks in `folder`, from their first cells: linked title, question (in bold below the title),
    and reading time in minutes.
    """
    rows = ["| chapter | question | minutes |", "|---|---|---|"]
    for path in sorted(folder.glob("*.ipynb")):
        cell = json.loads(path.read_text(encoding="utf-8"))["cells"][0]  # nbformat takes two seconds to import
        text = "".join(cell["source"])
        title, *lines = text.splitlines()
        question = next((line.strip("* ") for line in lines if line.startswith("**")), "")
        minutes = re.search(r"(\d+) minutes", text)
        rows.append(f"| [{title.lstrip('# ')}]({path.name}) | {question} | {minutes[1] if minutes else ''} |")
    return Markdown("\n".join(rows))


def settings_table(configs: Mapping[str, Settings]) -> Markdown:
    """All settings of each method with value and source, as a left-aligned table."""
    rows = [
        (method, f"`{row['setting']}`", row["value"], row["source"])
        for method, config in configs.items()
        for row in config.table()
    ]
    return Markdown(_left_table(("method", "setting", "value", "source"), rows))


def method_settings(name: str) -> Markdown:
    """A method's settings: the default of each with its source, then what each of its named settings changes.

    name  in `cdir_nb.methods.METHODS`; raises CdirError for another name
    """
    method = method_named(name)
    defaults = {row["setting"]: row["value"] for row in method.settings().table()}
    rows = []
    for label, settings in method.named.items():
        encoders = [encoder for encoder, used in method.for_encoder.items() if used == label]
        values = {row["setting"]: row["value"] for row in settings.table()}
        texts = [f"`{setting}` = {value}" for setting, value in values.items() if value != defaults[setting]]
        rows.append((label, ", ".join(encoders), ", ".join(texts) or "nothing"))
    named = f"\n\n{_left_table(('named settings', 'used for', 'what they change'), rows)}" if rows else ""
    return Markdown(str(settings_table({name: method.settings()}).data) + named)


def _left_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A left-aligned table in Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (columns, *rows)]
    head, *lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([head, f"|{':--|' * len(columns)}", *lines])
