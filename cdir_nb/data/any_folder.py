"""Any folder of images, with or without domains and classes; nothing has to be prepared.

    <root>/<domain>/<class>/<image>    domains and classes
    <root>/<domain>/<image>            domains; the images have no label
    <root>/<image>                     one domain, named after the folder; no labels

All three may be mixed. What is not an image is left out and listed, so that one bad file costs nothing else.
"""

from pathlib import Path

from cdir_nb.data.folder import image_set, inspect_all, visible
from cdir_nb.data.images import ImageSet
from cdir_nb.errors import CdirError

NO_LABEL = ""
DEEPEST = 3  # names below the root: domain, class, file
LAYOUTS = "<root>/<domain>/<class>/<image>, <root>/<domain>/<image> or <root>/<image>"


def open_any_folder(root: Path | str, *, progress: bool = True) -> tuple[ImageSet, list[str]]:
    """The images of a folder in alphabetical order, and one line "file (what is wrong)" for each file left out.

    Images without a class folder have the label "". Raises CdirError if there is no folder, or no image in it.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise CdirError(f"{root} is not a folder; give a folder laid out as {LAYOUTS}")
    files = _files(root, root.resolve())
    rows = [(path.relative_to(root).as_posix(), *_place(root, path), path) for path in files]
    checked = inspect_all(root, files, progress)
    good = [(*row, digest) for row, (digest, wrong) in zip(rows, checked) if not wrong]
    bad = [f"{row[0]} ({wrong})" for row, (_, wrong) in zip(rows, checked) if wrong]
    if not good:
        found = (
            f"none of its {len(files)} files is one that can be read: {'; '.join(bad[:3])}" if files else "it is empty"
        )
        raise CdirError(f"{root} has no images ({found}); expected {LAYOUTS}")
    return image_set(good), bad + _too_deep(root)


def _files(folder: Path, root: Path, depth: int = 1) -> list[Path]:
    """All files up to DEEPEST names below the root, in order."""
    inside = visible(folder)
    found = [path for path in inside if not path.is_dir()]
    if depth < DEEPEST:
        found += [file for path in inside if path.is_dir() for file in _files(path, root, depth + 1)]
    return found


def _too_deep(root: Path) -> list[str]:
    """Folders inside class folders."""
    deep = (path for path in root.glob("/".join("*" * DEEPEST)) if path.is_dir() and not path.name.startswith("."))
    return [f"{path.relative_to(root).as_posix()}/ (a folder inside a class folder)" for path in sorted(deep)]


def _place(root: Path, path: Path) -> tuple[str, str]:
    """(domain, label) of a file, by the folders above it."""
    above = path.relative_to(root).parts[:-1]
    return (*above, NO_LABEL)[:2] if above else (root.resolve().name, NO_LABEL)
