"""The SLURM script of docs/cluster.md, run as it stands there, by stand-ins for what only a SLURM cluster has."""

import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
from tiny_notebooks import save, write_notebook, write_profile

from cdir_nb.paths import ROOT
from cdir_nb.results import load_records

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
pytest.importorskip("distributed", reason="dask.distributed is not installed (pip install '.[cluster]')")
pytestmark = [pytest.mark.cluster, pytest.mark.slow]
TASKS = 2


@pytest.fixture
def script():
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    return next(block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "#SBATCH" in block)


@pytest.fixture
def home(tmp_path):
    """A home folder with commands: srun starts tasks here, and cdir runs a tiny profile where the script says."""
    write_notebook(tmp_path / "a.ipynb", "print(seed)", save())
    profile, python = shlex.quote(str(write_profile(tmp_path))), shlex.quote(sys.executable)
    commands = {
        "python": f'exec {python} "$@"',
        "dask": f'exec {python} -m dask "$@"',
        "srun": f'echo "$@" > "$HOME/srun"; for task in $(seq {TASKS}); do "$@" & done; wait',
        "cdir": f'printf "%s\\n" "$@" > "$HOME/cdir-called"\n'
        f'exec {python} -m cdir_nb.cli reproduce --profile {profile} --out "$HOME/cdir/runs" --scheduler "${{@: -1}}"',
    }
    folder = tmp_path / "cdir" / "cdir_nb" / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name, body in commands.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    (folder / "activate").write_text(f"export PATH={shlex.quote(str(folder))}:$PATH\n")
    return tmp_path


def run(script, home, seconds=400):
    """Its exit code and output; afterwards whatever it started is ended, as SLURM does at the end of a job."""
    environment = {**os.environ, "HOME": str(home), "SLURM_JOB_ID": "7", "PYTHONPATH": str(ROOT), "TMPDIR": str(home)}
    with open(home / "output", "w+") as output:
        job = subprocess.Popen(
            ["bash", "-c", script], env=environment, stdout=output, stderr=output, start_new_session=True, cwd=home
        )
        try:
            code = job.wait(seconds)
        finally:
            os.killpg(job.pid, signal.SIGTERM)
            job.wait()
        output.seek(0)
        return code, output.read()


def test_bash_can_read_it(script):
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    assert re.findall(r"^#SBATCH --(\w+)", script, re.MULTILINE) == ["job", "ntasks", "cpus", "time"]


def test_it_runs_notebooks_on_the_workers_that_srun_starts(script, home):
    code, output = run(script, home)
    assert code == 0, output
    assert len(load_records(home / "cdir" / "runs")) == 1 and len(list((home / "cdir" / "runs").rglob("done"))) == 1
    assert (home / "srun").read_text().startswith("dask worker tcp://")


def test_the_real_command_takes_its_options(script):
    command = re.search(r"^cdir (.*)$", script, re.MULTILINE)[1]
    shown = subprocess.run([sys.executable, "-m", "cdir_nb.cli", "reproduce", "--help"], capture_output=True, text=True)
    assert all(option in shown.stdout for option in re.findall(r"--\w+", command))
