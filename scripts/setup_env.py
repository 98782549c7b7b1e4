"""Create the virtual environment .venv with the locked packages.

python scripts/setup_env.py

`make setup` calls this script; without make (Windows), call it directly. It imports nothing but the standard library,
because it runs before any package is installed.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUPPORTED = ((3, 11), (3, 12))


def main(environment: Path = ROOT / ".venv") -> None:
    """Create the environment, install requirements.lock and, as an editable install, this checkout."""
    version = sys.version_info[:2]
    if version not in SUPPORTED:
        sys.exit(
            f"error: Python {version[0]}.{version[1]}: the workbook needs 3.11 or 3.12; choose one: "
            "make PYTHON=python3.11 setup, or py -3.11 scripts/setup_env.py"
        )
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    print("setting up .venv (two to four minutes and 7 GB, once)", flush=True)
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [*pip, "-r", "requirements.lock"],
        [*pip, "--no-deps", "-e", "."],
    ):
        if status := subprocess.run(command, cwd=ROOT).returncode:
            sys.exit(status)


if __name__ == "__main__":
    main()
