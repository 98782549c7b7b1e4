"""Make the README's images.

python scripts/readme_pictures.py                  only the figure of the modules
python scripts/readme_pictures.py runs/world-...   also the figures of a finished run, made smaller
"""

import ast
import re
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import matplotlib.pyplot as plt
import typer
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from cdir_nb import MODULES
from cdir_nb.errors import CdirError
from cdir_nb.paths import PACKAGE, ROOT, atomic_write
from cdir_nb.show.style import PALETTE, QUIET, styled

# in README.md: <!-- notebook/figure width in pixels -->, then the picture that is made of this figure
PICTURE = re.compile(r"<!-- (\w+)/(\w+) (\d+) -->[^>]*?docs/pictures/(\w+)\.png")


def find_figure(run: Path, notebook: str, figure: str) -> Path:
    """Path of the newest figure of this name in a run folder."""
    paths = sorted(run.glob(f"{notebook}-*/{figure}.png"), key=lambda path: path.stat().st_mtime)
    if not paths:
        raise CdirError(f"{run}: no {notebook}-*/{figure}.png; run `cdir reproduce`")
    return paths[-1]


def packages() -> dict[str, str]:
    """{folder of the package: first line of its docstring}, in the order of `cdir_nb.MODULES`."""
    sources = {name: PACKAGE / name / "__init__.py" for name in MODULES if (PACKAGE / name).is_dir()}
    docs = {name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for name, path in sources.items()}
    return {name: (doc or "").partition("\n")[0].rstrip(".").replace("`", "") for name, doc in docs.items()}


@styled
def module_figure() -> Figure:
    """A figure with one line per folder of the package, in order."""
    rows = packages()
    fig, ax = plt.subplots(figsize=(9, 0.5 * len(rows) + 0.75))
    box: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.12", "fc": PALETTE[4], "ec": "none"}
    for row, (name, description) in enumerate(rows.items()):
        ax.text(1.15, row + 0.36, f"{name}/", ha="center", va="center", weight="bold", zorder=2)
        ax.add_patch(FancyBboxPatch((0.5, row + 0.03), 1.3, 0.66, **box))
        ax.text(2.0, row + 0.36, fill(description, 92), va="center", fontsize=9)
    arrow = {"arrowstyle": "-|>", "lw": 2, "color": QUIET}
    ax.annotate("", xy=(0.22, len(rows) - 0.1), xytext=(0.22, 0.1), arrowprops=arrow)
    ax.text(0.5, -0.32, "A folder imports only from folders above it", va="center", color=QUIET, fontsize=9)
    ax.set(xlim=(0, 10), ylim=(len(rows) + 0.02, -0.6))
    ax.axis("off")
    return fig


def main(run: Annotated[Path | None, typer.Argument(help="A run folder; default: only the modules.")] = None) -> None:
    """Draw the modules and shrink the chosen figures of a run; all go to docs/pictures."""
    with atomic_write(ROOT / "docs" / "pictures" / "modules.png") as path:
        module_figure().savefig(path, dpi=100, metadata={"Software": None})
    if run:
        shrink(run)


def shrink(run: Path) -> None:
    """Write the figures of a run at the README's widths. Figures of notebooks that are not in the run do not change."""
    for notebook, figure, width, picture in PICTURE.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        if not any(run.glob(f"{notebook}-*")):
            typer.echo(f"{picture}.png: not changed; {notebook} is not in this run")
            continue
        image = Image.open(find_figure(run, notebook, figure)).convert("RGB")
        image = image.resize((int(width), round(image.height * int(width) / image.width)), Image.Resampling.LANCZOS)
        with atomic_write(ROOT / "docs" / "pictures" / f"{picture}.png") as path:
            image.quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    typer.run(main)
