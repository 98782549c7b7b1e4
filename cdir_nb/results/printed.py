"""A block of results as a table for a paper: Markdown, or LaTeX with booktabs."""

import re
from collections.abc import Sequence

from cdir_nb.data.manifest import drawn_title
from cdir_nb.results.summary import Block

TEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "→": r"$\rightarrow$", "†": r"$^\dagger$", "–": "--", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; `|` in a cell is escaped."""
    cells = [[text.replace("|", r"\|") for text in row] for row in (columns, *rows)]
    head, *lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([head, "|---" * len(columns) + "|", *lines]) + "\n"


def block_in_markdown(block: Block, notes: Sequence[str] = ()) -> str:
    """A block with its caption above, and below it the meaning of its marks and `notes`."""
    notes = [text.replace("*", "\\*", 1) if text.startswith("* ") else text for text in (*block.notes, *notes)]
    return "\n\n".join([_caption(block), markdown(*_table(block)), *notes]) + "\n"


def block_in_latex(block: Block, notes: Sequence[str] = ()) -> str:
    """A block as a table of LaTeX, for `\\usepackage{booktabs}`; the caption ends with its marks and `notes`."""
    columns, rows = _table(block)
    caption = "; ".join(map(tex, [_caption(block), *block.notes, *notes]))
    lines = [" & ".join(map(tex, row)) + r" \\" for row in (columns, *rows)]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{caption}.}}",
            f"  \\begin{{tabular}}{{{'l' * len(columns)}}}",
            r"    \toprule",
            f"    {lines[0]}",
            r"    \midrule",
            *(f"    {line}" for line in lines[1:]),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def tex(text: str) -> str:
    """A text with LaTeX's special characters escaped."""
    return re.sub(r".", lambda match: TEX.get(match[0], match[0]), text)


def _table(block: Block) -> tuple[list[str], list[list[str]]]:
    """The block's columns that are not empty, and the selection rule of each line."""
    rows = [[*block.row(line), line.selection_rule] for line in block.lines]
    columns = [*block.header, "selection rule"]
    used = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    return [columns[i] for i in used], [[row[i] for i in used] for row in rows]


def _caption(block: Block) -> str:
    title = drawn_title(block.dataset)
    return f"{block.task}{f' ({title}, not the papers{chr(39)} data)' if title else ''}: {block.measure}"
