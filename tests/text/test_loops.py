"""Loops: the labelled ones of the real traces, and made ones whose start is known."""

from __future__ import annotations

import json
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epiverb.text import loops

# Read by eye: the response repeats itself, verbatim or with other numbers, until the token limit.
LOOPING = {
    "base_Qwen3-14B-Base_math": {111, 137, 165, 289, 393},
    "base_Qwen3-14B-Base_amc": set(),
    "base_Qwen3-8B-Base_aime": {5, 7, 28},
    "limo_Qwen2.5-Math-7B_amc": set(),
    "limo_Qwen3-14B-Base_amc": {29},  # "97=15*6 + 10 + 10 + 10 + ...": the one LIMO response that does not reason on
    "limo_Qwen3-8B-Base_aime": set(),
}
WORDS = [
    "so",
    "the",
    "sum",
    "over",
    "all",
    "roots",
    "gives",
    "a",
    "value",
    "that",
    "we",
    "call",
    "total",
    "and",
    "then",
]


def prose(rng: random.Random, n: int) -> str:
    return " ".join(f"{rng.choice(WORDS)}{rng.randrange(10**6)}{rng.choice('abcdefghij')}" for _ in range(n)) + ".\n"


def responses(file: Path) -> list[str]:
    return [json.loads(line)["generated_responses"][0] for line in file.open(encoding="utf-8")]


def find_one(text: str) -> tuple[int | None, str | None]:
    return loops.find(pl.Series([text])).row(0)


@pytest.mark.parametrize("name", LOOPING)
def test_real_traces(shared: Path, name: str) -> None:
    (file,) = (shared / "traces").glob(f"{name}_*.jsonl")
    starts = loops.find(pl.Series(responses(file)))["loop_start"].to_list()
    assert {line for line, start in enumerate(starts, 1) if start is not None} == LOOPING[name]


def test_real_start(shared: Path) -> None:
    (file,) = (shared / "traces").glob("limo_Qwen3-14B-Base_amc_*.jsonl")
    text = responses(file)[28]
    start, unit = find_one(text)
    assert abs(start - (text.index("97=15*6 + 10 + 10") + len("97=15*6"))) <= 5
    assert unit.strip(" +") == "10"


def test_nothing_in_limo_traces_cut_anywhere(shared: Path, rng) -> None:
    texts = []
    for file in sorted((shared / "traces").glob("limo_*.jsonl")):
        for line, text in enumerate(responses(file), 1):
            end = text.find("+ 10 + 10 + 10 + 10 + 10") if ("14B" in file.name and line == 29) else len(text)
            texts += [text[:cut] for cut in rng.integers(0, end, 20)]
    found = loops.find(pl.Series(texts))
    assert found["loop_start"].null_count() == len(texts) == 2200


@settings(max_examples=150)
@given(
    unit=st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=400),
    seed=st.integers(0, 10**6),
    cut=st.floats(0, 1),
)
def test_verbatim_loop_is_found_where_it_begins(unit: str, seed: int, cut: float) -> None:
    before = prose(random.Random(seed), 60)
    copies = max(6, 400 // len(unit.encode()) + 1)
    start, _ = find_one(before + unit * copies + unit[: int(cut * len(unit))])
    assert start is not None
    assert len(before) - max(len(unit), 8) <= start <= len(before) + len(unit)


def test_counter() -> None:
    before = prose(random.Random(1), 50)
    steps = "".join(f"Step {n}: try n = {n}, which gives {n * n + 1}.5, not a prime.\n" for n in range(90, 190))
    start, unit = find_one(before + steps + "Step 190: try n")
    assert abs(start - len(before)) <= 60
    assert "not a prime" in unit


def test_varied_words() -> None:
    rng = random.Random(2)
    names = ["However, ", "But ", "Also, ", "So ", ""]
    said = "".join(f"{rng.choice(names)}we need the distance between the two parallel lines. " for _ in range(400))
    start, _ = find_one(prose(rng, 50) + said)
    assert start is not None


def test_loop_then_recovery_is_no_loop() -> None:
    assert find_one("Let me add 10 again. " * 100 + "That was silly. The answer is \\boxed{7}.") == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "The answer is 7.",
        "**Final Answer**\n\\boxed{7}\n" * 3,
        "The primes are " + ", ".join(str(n) for n in range(1, 3000)),
        "10^100 is 1" + "0" * 100,
        "| n | n^2 | prime |\n|---|---|---|\n" + "".join(f"| {n} | {n * n} | no |\n" for n in range(200)),
        "Case by case:\n" + "".join(f"- For k = {k}: 2n = {7 * k + 3}, so n is too small.\n" for k in range(20)),
        "x^2 " + "+ 2xy + y^2 " * 3,
    ],
)
def test_what_is_no_loop(text: str) -> None:
    assert find_one(text) == (None, None)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**9), n=st.integers(1, 3000))
def test_text_without_repetition_is_never_flagged(seed: int, n: int) -> None:
    assert find_one(prose(random.Random(seed), n)) == (None, None)


def test_rows_keep_their_places() -> None:
    loop = "again and again and " * 40
    found = loops.find(pl.Series([None, "short", loop, "é" * 10 + loop, ""]))
    assert found["loop_start"].to_list() == [None, None, 0, 10, None]
    assert found.schema == {"loop_start": pl.Int64, "loop_unit": pl.String}


def test_no_rows() -> None:
    assert loops.find(pl.Series([], dtype=pl.String)).shape == (0, 2)
