"""The files in scripts/ as modules: scripts/ is no package, so they are loaded by their path."""

import importlib.util
import sys
from types import ModuleType

from cdir_nb.paths import ROOT


def load_script(name: str) -> ModuleType:
    """scripts/NAME.py, loaded anew."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
