"""The last step of `sample`: killed in it at any file, or out of disk in it, it is an unfinished run that goes on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from epiverb.errors import DataError
from epiverb.models import ENGINES
from epiverb.run import Run
from epiverb.verbs.sampling import finish
from tests.sample.flaky import STATE

FLAGS = ("--engine", "flaky", "-m", "some/model", "-n", 2, "--report", "--draws", 100)
KILLED = """
import os, signal, sys
from epiverb.cli import main
from epiverb.models import ENGINES
from epiverb.verbs.sampling import finish
from tests.sample.flaky import STATE
ENGINES.add("flaky", "tests.sample.flaky:Flaky")
STATE.update(left=10**9, asked=[], fault=None)
left, replace = [int(sys.argv.pop(1))], os.replace
def counted(source, target):
    if ".finishing" in str(source):
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
    replace(source, target)
finish.os.replace = counted
main()
"""


@pytest.fixture(autouse=True)
def flaky():
    ENGINES.add("flaky", "tests.sample.flaky:Flaky")
    STATE.update(left=10**9, asked=[], fault=None)


@pytest.fixture
def whole(epiverb, problems):
    assert epiverb("sample", "-d", problems, *FLAGS, "-o", "whole").code == 0
    STATE["asked"] = []
    return Path("whole")


def same(out, whole):
    """The tables of one run are those of the other, and nothing else lies in its folder."""
    assert {path.name for path in Path(out).iterdir()} == {path.name for path in whole.iterdir()}
    for table in ("traces", "hits", "values"):
        one, other = (Run(path).scan(table).collect() for path in (out, whole))
        assert one.equals(other), table


@pytest.mark.parametrize("moved", [0, 3, 6])
def test_killed_between_two_files(epiverb, problems, whole, tmp_path, moved):
    flags = ("sample", "-d", problems, *FLAGS, "-o", tmp_path / "run")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", KILLED, str(moved), *map(str, flags)]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(DataError, match="not finished"):
        Run(tmp_path / "run")
    assert epiverb(*flags).code == 0
    assert STATE["asked"] == []
    same(tmp_path / "run", whole)


@pytest.mark.parametrize("step", ["write_json", "_write_tables", "_install"])
def test_a_disk_that_is_full_at_the_end(epiverb, problems, whole, monkeypatch, step):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/summary.json")

    with monkeypatch.context() as patch:
        patch.setattr(finish, step, full)
        stopped = epiverb("sample", "-d", problems, *FLAGS, "-o", "run")
    assert stopped.code == 2
    assert "No space left on device. 24 of 24 samples are kept in run; the same command continues." in stopped.message
    assert not Path("run/run.json").exists()
    asked = len(STATE["asked"])
    assert epiverb("sample", "-d", problems, *FLAGS, "-o", "run").code == 0
    assert len(STATE["asked"]) == asked
    same("run", whole)


def test_killed_while_a_run_is_replaced_it_is_no_half_run(epiverb, problems, whole, monkeypatch):
    """--overwrite goes on with emptying the folder where a command was killed in it."""
    from epiverb.verbs.sampling import store

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.shutil, "rmtree", killed)
        patch.setattr(
            store.Path, "unlink", lambda path, **more: killed(path) if path.suffix == ".parquet" else os.unlink(path)
        )
        assert epiverb("sample", "-d", problems, *FLAGS, "-o", whole, "--seed", 1, "--overwrite").code != 0
    again = epiverb("sample", "-d", problems, *FLAGS, "-o", whole, "--seed", 1, "--overwrite")
    assert again.code == 0, again.err
    assert len(Run(whole).scan("traces").collect()) == 24
