"""A worker's kernel: started again if it dies before the first cell, and only then."""

import tempfile

import papermill
import pytest

from cdir_nb.run import worker

DIED = RuntimeError("Kernel died before replying to kernel_info")


@pytest.fixture
def execute(monkeypatch, tmp_path):
    """Run the worker's notebook with papermill replaced: each call raises the next error, then succeeds."""
    monkeypatch.setattr(tempfile, "tempdir", None)

    def run(*errors) -> int:
        waiting, calls = list(errors), []

        def notebook(*_, **__):
            calls.append(1)
            if waiting:
                raise waiting.pop(0)

        monkeypatch.setattr(papermill, "execute_notebook", notebook)
        worker._execute({"name": "a", "notebook": str(tmp_path / "a.ipynb"), "parameters": {}}, tmp_path)
        return len(calls)

    return run


def test_a_kernel_that_dies_on_starting_is_started_again(execute):
    assert execute() == 1 and execute(DIED) == 2 and execute(DIED, DIED) == 3


def test_a_third_death_and_any_other_error_end_the_notebook(execute):
    with pytest.raises(RuntimeError, match="Kernel died"):
        execute(DIED, DIED, DIED)
    with pytest.raises(RuntimeError, match="memory"):
        execute(RuntimeError("out of memory"))
