"""The real files: everything loads, counts and gold answers are right, and questions are asked as the paper asks them."""

from __future__ import annotations

import json
from collections import Counter

import polars as pl
import pytest

from epiverb.errors import ConfigError
from epiverb.problems import load, read
from epiverb.problems.prompts import BOXED

SETS = [("aime24", 30), ("aime25", 30), ("amc23", 40), ("math500", 500)]


@pytest.fixture
def data(shared):
    folder = shared / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the published sets in {folder}")
    return folder


def cell(value):
    return json.loads(value) if isinstance(value, str) else value


@pytest.mark.parametrize(("name", "n"), SETS)
@pytest.mark.parametrize("form", ["path", "named", "folder"])
def test_benchmarks(data, name, n, form):
    file = data / "evaluation" / f"{name}.parquet"
    spec, more = {
        "path": (str(file), {}),
        "named": (f"{name}={file}", {}),
        "folder": (name, {"data_dir": str(file.parent)}),
    }[form]
    loaded = read(spec, domain="ood", **more)
    rows = pl.read_parquet(file).to_dicts()
    assert (len(loaded.problems), loaded.n_rows, loaded.n_repeated, loaded.n_without_gold) == (n, n, 0, 0)
    assert loaded.notes == ()
    assert len({problem.problem_id for problem in loaded.problems}) == n
    for problem, row in zip(loaded.problems, rows, strict=True):
        raw = cell(row["extra_info"])["raw_problem"]
        assert problem.messages == ({"role": "user", "content": f"{raw}\n{BOXED}"},)
        assert problem.gold == cell(row["reward_model"])["ground_truth"]
        assert (problem.benchmark, problem.grader, problem.domain) == (name, "math", "ood")


def test_math500_keeps_solutions_and_levels(data):
    problems = load(f"math500={data / 'evaluation' / 'math500.parquet'}")
    assert all(problem.solution and "boxed" in problem.solution for problem in problems)
    assert {problem.extra["level"] for problem in problems} == {1, 2, 3, 4, 5}
    assert problems[0].extra == {"subject": "Precalculus", "level": 2}


@pytest.mark.parametrize(
    ("name", "rows", "n"), [("1x64", 64, 1), ("8x8", 64, 8), ("64", 64, 64), ("128", 128, 128), ("512", 512, 511)]
)
def test_coverage_sets_as_published(data, name, rows, n):
    loaded = read(str(data / "section_6_2" / f"seen_{name}.parquet"))
    assert (len(loaded.problems), loaded.n_rows, loaded.n_repeated) == (n, rows, rows - n)
    assert all(problem.messages[-1]["content"].endswith("\n" + BOXED) for problem in loaded.problems)
    assert ("repeat" in " ".join(loaded.notes)) == (rows > n)


def test_chemistry(data):
    folder = str(data / "chemistry")
    with pytest.raises(ConfigError, match=r"several splits \(test, train\)"):
        read(f"chemistry={folder}")
    whole = [read("chemistry", data_dir=str(data), split=split) for split in ("train", "test")]
    assert [len(part.problems) for part in whole] == [1890, 210]
    problems = [problem for part in whole for problem in part.problems]
    # arXiv 2603.24472 section 6.1; these files hold no reaction to balance.
    assert Counter(problem.extra["type"] for problem in problems) == {
        "molecular-weight": 600,
        "property-prediction": 500,
        "product-prediction": 400,
        "retrosynthesis": 300,
        "descriptor-counting": 300,
    }
    for problem in problems:
        assert [message["role"] for message in problem.messages] == ["system", "user"]
        assert problem.messages[0]["content"].startswith("\nGiven a question and four options")
        assert problem.messages[1]["content"].endswith("\nPlease reason step by step.")
        assert (problem.grader, problem.benchmark) == ("choice", "chemistry")
        assert problem.gold in "ABCD"


def test_one_type_of_chemistry(data):
    loaded = read("chemistry?type=retrosynthesis", data_dir=str(data), split="test")
    assert {problem.extra["type"] for problem in loaded.problems} == {"retrosynthesis"}
    assert len(loaded.problems) + loaded.n_excluded == loaded.n_rows == 210
    assert "are not of type=retrosynthesis" in loaded.notes[0]
    with pytest.raises(ConfigError, match="Did you mean 'retrosynthesis'"):
        read("chemistry?type=retrosynthesys", data_dir=str(data), split="test")


def test_coverage_of_a_real_set(data):
    base = str(data / "section_6_2" / "seen_512.parquet")
    drawn = {n: [problem.problem_id for problem in load(f"coverage:{n}@{base}", seed=5)] for n in (1, 8, 64, 511)}
    assert {n: len(set(ids)) for n, ids in drawn.items()} == {1: 1, 8: 8, 64: 64, 511: 511}
    assert drawn[511][:64] == drawn[64]
    assert drawn[64][:8] == drawn[8]
    assert (
        drawn[8]
        == [p.problem_id for p in load(f"coverage:8?seed=5@{base}")]
        != [p.problem_id for p in load(f"coverage:8@{base}")]
    )
    with pytest.raises(ConfigError, match="only 511 problems"):
        load(f"coverage:512@{base}")
