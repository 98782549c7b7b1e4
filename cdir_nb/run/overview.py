"""The table printed at the end of `cdir reproduce`, with one line per method."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cdir_nb.methods.table import METHODS
from cdir_nb.results.summary import Line, summarise

if TYPE_CHECKING:
    import pandas as pd

MAX_LINES = 24  # with notes and paths below it, the end of a run has at most 30
NAME = 46  # characters of a method's name
AVOIDED = "best on test"  # shown only where a method has no other selection rule


def overview(frame: "pd.DataFrame") -> str:
    """A table with one line per method, on the first task that measured it; variants are left out.

    frame  a table of records from `to_frame`
    A line with the task precedes its methods. Steps on the frozen encoder, such as centring, are listed below it,
    without its name. There are at most MAX_LINES lines; if methods are left out, the last line states their number.
    """
    methods = [(task, (*line.texts, line.selection_rule)) for task, line in _lines(frame)]
    frozen = {task: texts[0] for task, texts in reversed(methods)}  # the first line of each task
    methods = [(task, (_short(name, frozen[task]), *numbers)) for task, (name, *numbers) in methods]
    if not methods:
        return "no precision was measured between two domains"
    header = ("method", "percent", "seeds", "steps", "vs vanilla", "better in", "selection rule")
    widths = [max(map(len, column)) for column in zip(header, *(texts for _, texts in methods))]
    output, printed, previous = [_row(header, widths)], 0, ""
    for task, texts in methods:
        lines = [_row(texts, widths)] if task == previous else [task, _row(texts, widths)]
        if len(output) + len(lines) > MAX_LINES - 1:
            output.append(f"  and {len(methods) - printed} more methods in the report")
            break
        output, printed, previous = output + lines, printed + 1, task
    return "\n".join(output)


def _short(name: str, frozen: str) -> str:
    """The name within NAME characters; a step on the `frozen` encoder without the encoder's name."""
    step = name.removeprefix(frozen + " + ")
    return textwrap.shorten(name if step == name else f"+ {step}", NAME, placeholder=" ...")


def _row(texts: tuple[str, ...], widths: list[int]) -> str:
    return "  " + "  ".join(map(str.ljust, texts, widths)).rstrip()


def _lines(frame: "pd.DataFrame") -> Iterator[tuple[str, Line]]:
    """(task, line) of each method on the first task that measured it."""
    done = {variant for method in METHODS.values() for variant in method.variants}
    for block in summarise(frame):
        task = f"{block.protocol or block.dataset}, {block.encoder}: {block.metric}"
        lines: dict[str, list[Line]] = {}
        for line in block.lines:
            lines.setdefault(line.method.partition(": ")[0], []).append(line)
        for method in [name for name in lines if name not in done]:
            done.add(method)
            yield task, next((line for line in lines[method] if line.selection_rule != AVOIDED), lines[method][0])
