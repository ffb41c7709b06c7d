"""Help like a man page, whose examples are kept true, and shell completion."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from epiverb.cli import app
from epiverb.cli.commands import COMMANDS
from epiverb.registry import resolve

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "skills/epiverb/SKILL.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]


def examples(name: str) -> list[str]:
    return [line.strip() for line in app.described(resolve(COMMANDS[name].config))[1].splitlines()[2:]]


def shown(page: Path) -> list[str]:
    """The commands in a page's shell blocks, lines that end in a backslash joined."""
    blocks = re.findall(r"^```(?:sh|console|shell|bash)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if re.match(r"\s*(\$ )?epiverb ", line)]


@pytest.fixture
def parsed(epiverb, monkeypatch, tmp_path):
    """Parse a command line as a shell and epiverb would, and run nothing; the config comes back."""
    found = []
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.setattr(app, "execute", lambda command, config, **common: found.append(config))

    def call(line: str):
        line = line.rpartition(" | ")[2] if not line.startswith("epiverb") else line.partition(" | ")[0]
        words = shlex.split(line, comments=True)
        words = words[: words.index(">")] if ">" in words else words
        outcome = epiverb(*words[1:])
        assert outcome.code == 0, (line, outcome.err)
        return found.pop() if found else None

    return call


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_that_parses(parsed, name):
    lines = examples(name)
    assert lines, f"{name} has no example"
    for line in lines:
        assert f"epiverb {name}" in line
        assert type(parsed(line)) is resolve(COMMANDS[name].config)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_that_a_page_shows_parses(parsed, page):
    lines = shown(page)
    if page.name == "README.md":
        assert len(lines) > 10
    for line in lines:
        parsed(line)


def alternatives(text: str) -> list[str]:
    """The command lines in back ticks of a text, one for each alternative of `--ban|--boost`, `{a|b}`; optional parts kept."""
    lines = [" ".join(code.split()) for code in re.findall(r"`(epiverb [^`]+)`", text)]
    return [re.sub(r"[\[\]]", "", re.sub(r"([\w-]+)\|[\w|-]+", r"\1", line)) for line in lines if "COMMAND" not in line]


def test_every_command_in_llms_txt_parses(parsed):
    lines = alternatives((ROOT / "llms.txt").read_text("utf-8"))
    assert len(lines) > 15
    for line in lines:
        parsed(line)


def test_a_wrong_example_would_be_found(parsed):
    with pytest.raises(AssertionError, match=r"[Nn]o such option"):
        parsed("epiverb analyze a.jsonl --lexikon x")


def test_examples_stand_behind_the_options_and_are_not_wrapped(epiverb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    out = epiverb("compare", "--help").out
    assert out.index("--help") < out.index("Examples:")
    for line in examples("compare"):
        assert f"  {line}\n" in out
    assert "Example:" not in out


def complete(line: str) -> list[str]:
    """What bash would offer at the end of `line`."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_EPIVERB_COMPLETE": "complete_bash"}
    code = "import sys; sys.argv = ['epiverb']; from epiverb.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("epiverb an", "analyze"),
        ("epiverb train s", "sdpo"),
        ("epiverb analyze --lex", "--lexicon"),
        ("epiverb analyze --lexicon epi", "epiverb-en"),
        ("epiverb analyze -l no", "nowait"),
        ("epiverb analyze --format ver", "verl"),
        ("epiverb sample --engine ", "vllm"),
        ("epiverb sample --context sol", "solution-no-think"),
        ("epiverb sample --data math", "math500"),
        ("epiverb eval --bench aime24,am", "aime24,amc23"),
        ("epiverb train sdpo --weights none+pre", "none+preserve"),
        ("epiverb train sdpo --teacher t", "trust-region"),
        ("epiverb grade --grader ch", "choice"),
        ("epiverb ls fo", "formats"),
        ("epiverb config train g", "grpo"),
        ("epiverb doctor tr", "train"),
    ],
)
def test_completion_offers_names(line, offered):
    assert offered in complete(line)


def test_completion_leaves_files_to_the_shell():
    assert complete("epiverb analyze da") == []


def test_bash_takes_the_script(tmp_path):
    (tmp_path / "epiverb").write_text(f"#!/bin/sh\nexec {sys.executable} -m epiverb\n")
    (tmp_path / "epiverb").chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "_EPIVERB_COMPLETE": "source_bash",
    }
    script = subprocess.run([tmp_path / "epiverb"], env=env, capture_output=True, text=True, check=True).stdout
    del env["_EPIVERB_COMPLETE"]
    ask = 'COMP_WORDS=(epiverb analyze --format lm); COMP_CWORD=3; _epiverb_completion epiverb; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], env=env, capture_output=True, text=True, check=True)
    assert "lm-eval" in done.stdout


def test_commands_start_without_what_completion_lists():
    code = "import sys, epiverb.cli.app\nprint('epiverb.io' in sys.modules, 'epiverb.contexts' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
