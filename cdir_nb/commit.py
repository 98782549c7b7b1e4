"""The commit of the workbook's code."""

import functools
import subprocess
from pathlib import Path

from cdir_nb.paths import ROOT


@functools.cache
def current_commit() -> str:
    """Short git hash of the workbook, with `-dirty` if tracked files were changed; `unknown` outside git."""
    top = _git("rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != ROOT:  # no git, or an installed copy inside somebody else's repository
        return "unknown"
    return _git("describe", "--always", "--dirty", "--exclude=*") or "unknown"


def _git(*words: str) -> str:
    """Output of a git command on the workbook; empty if it fails or git is missing."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
