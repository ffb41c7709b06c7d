"""Steps as processes: failures stay where they are, what is done stays done, and a killed command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from epiverb.errors import ConfigError, Stopped
from epiverb.lab.claims.plan import Step
from epiverb.lab.claims.runner import carry_out, clear, is_done, record
from tests.claims.conftest import traces

ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in traces(0.5, doubts=1, seed=0, n=2)), "utf-8")
    return path


def analysis(name: str, file: Path, *needs: str, draws: int = 50) -> Step:
    key = f"base/seed0/{name}"
    words = ("analyze", str(file), "--no-report", "--draws", str(draws), "--quiet", "--out", key)
    return Step("base", 0, name, words, needs=needs)


def test_a_failed_step_holds_up_what_needs_it_and_nothing_else(file, tmp_path):
    out = tmp_path / "out"
    bad = analysis("bad", tmp_path / "missing.jsonl")
    behind, good = analysis("behind", file, bad.key), analysis("good", file)
    seen = []
    state = carry_out([bad, behind, good], out, 2, lambda state: seen.append((state.done, tuple(state.running))))
    assert state.done == 1
    assert "missing.jsonl" in state.failed[bad.key]
    assert state.failed[behind.key] == f"needs {bad.key}"
    assert is_done(out, good)
    assert record(out, good)["seconds"] > 0
    assert seen[0] == (0, (bad.key, good.key))
    assert (out / good.key / "run.json").is_file()


def test_what_is_done_is_not_done_again_and_what_changed_is_not_mixed_in(file, tmp_path):
    out = tmp_path / "out"
    first = analysis("first", file)
    second = analysis("second", file, first.key)
    carry_out([first, second], out, 2)
    made = (out / second.key / "run.json").stat().st_mtime_ns
    assert carry_out([first, second], out, 2).done == 2
    assert (out / second.key / "run.json").stat().st_mtime_ns == made
    changed = analysis("first", file, draws=60)
    with pytest.raises(ConfigError, match="another command"):
        clear(out, [changed, second], overwrite=False)
    clear(out, [changed, second], overwrite=True)
    assert not (out / first.key).exists()
    assert not (out / second.key).exists()  # it took from the first one
    assert carry_out([changed, second], out, 1).done == 2


def test_ctrl_c_ends_the_processes_and_says_what_is_kept(file, tmp_path):
    def stop(state):
        if state.running == ["base/seed0/second"]:
            raise KeyboardInterrupt

    steps = [analysis("first", file), analysis("second", file, "base/seed0/first")]
    with pytest.raises(Stopped, match="1 of 2 steps are done"):
        carry_out(steps, tmp_path / "out", 1, stop)
    assert carry_out(steps, tmp_path / "out", 1).done == 2


SMALL = (
    "--setting", "tests=-b lab:countdown-3?split=test&n=12&seed=0 -b lab:countdown-4?split=test&n=12&seed=0",
    "--setting", "test-id=lab:countdown-3?split=test&n=12&seed=0", "--setting", "decoding=--max-tokens 40",
)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A base that has hardly learned anything."""
    pytest.importorskip("torch")
    from epiverb.configs.lab import LabPretrainConfig
    from epiverb.lab import pretrain

    folder = tmp_path_factory.mktemp("base") / "model"
    small = {"hidden": 16, "layers": 1, "heads": 2, "steps": 4, "batch": 8}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "BLOCK", 32)
        pretrain.pretrain(LabPretrainConfig(out=str(folder), **small))
    return folder


def processes_of(out: Path) -> list[int]:
    """Processes at work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cwd").resolve() == out.resolve():
                found.append(int(place.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_killed_command_leaves_nobody_at_work_and_goes_on(base, tmp_path, epiverb):
    out = tmp_path / "claims"
    words = [
        "claims",
        "run",
        "--only",
        "25",
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--model",
        f"base={base}",
        "--out",
        str(out),
    ]
    words += [*SMALL, "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen([sys.executable, "-m", "epiverb", *words], cwd=tmp_path, env=environment)
    first, later = out / "base/seed0/eval.json", out / "base/seed0/seen.json"
    deadline = time.monotonic() + 120
    while not later.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(out)
    running.send_signal(signal.SIGKILL)
    running.wait()
    while processes_of(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_of(out) == []
    kept = first.read_text()
    called = epiverb(*words, "--json")
    assert called.code == 0, called.err
    assert first.read_text() == kept
    (claim,) = called.json["claims"]
    assert claim["id"] == "25"
    assert claim["verdict"] in ("supported", "contradicted", "undecided")
    assert called.json["arms"]["ban-control"]["seeds"] == [0]
    assert len(called.json["models"]["base"]) == 64
    assert "25. Banning" in (out / "claims.md").read_text()
    assert epiverb("claims", "show", "--from", out, "--only", "25").out.count("not run") == 0
    other = epiverb(
        "claims", "run", "--only", "25", "--seeds", "1", "--scale", "paper", "--out", out, "--model", "base=x/y"
    )
    assert other.code == 2
    assert "begun with another" in other.message


def test_mistakes_are_told_in_a_line(epiverb, base, tmp_path):
    assert "at least 1" in epiverb("claims", "run", "--seeds", 0).message
    assert "cannot be tested" in epiverb("claims", "run", "--only", "10").message
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    told = epiverb("claims", "run", "--only", "30", "--model", f"base={base}", "--out", "full").message
    assert "holds no claims" in told


def test_a_dry_run_does_nothing(epiverb, tmp_path):
    called = epiverb("claims", "run", "--only", "8,25", "--seeds", 2, "--out", "x", "--dry-run")
    assert called.code == 0, called.err
    assert "2 claims" in called.out
    assert "epiverb train grpo" in called.out
    assert not (tmp_path / "x").exists()
