"""What the side-by-side viewer is given: every problem the runs share, samples capped alike, benchmarks told or not."""

from __future__ import annotations

import base64
import json
import zlib

import pytest

from epiverb.report.pairs import collect


@pytest.fixture
def runs(make_run, tmp_path):
    """Runs by name from (benchmark, problem, sample, response) rows."""

    def make(**tables):
        made = []
        for name, rows in tables.items():
            folder = tmp_path / name
            folder.mkdir()
            keys = ("benchmark", "problem_id", "sample", "response")
            records = [dict(zip(keys, row, strict=True)) for row in rows]
            import epiverb as ev

            path = folder / "t.jsonl"
            path.write_text("".join(json.dumps({k: v for k, v in r.items() if v is not None}) + "\n" for r in records))
            made.append(ev.analyze(str(path), out=str(folder / "run"), draws=100, report=False))
        return made

    return make


def unpacked(text: str) -> dict:
    return json.loads(zlib.decompress(base64.b64decode(text), -15))


def test_only_shared_problems_with_their_samples_in_order(runs):
    base = [("x", "1", s, f"Wait {s}.") for s in (1, 0)] + [("x", "2", 0, "Only here."), ("y", "1", 0, "Maybe.")]
    run = [("x", "1", 0, "Fine."), ("y", "1", 0, "Fine."), ("y", "9", 0, "Only there.")]
    pairs = collect(runs(base=base, run=run), "epiverb-en", max_traces=100)
    assert [(row[0], row[1]) for row in pairs.problems] == [("x", "1"), ("y", "1")]
    assert [[fact[0] for fact in side] for side in pairs.problems[0][4:]] == [[0, 1], [0]]
    assert [fact[4] for fact in pairs.problems[0][4]] == [1, 1]
    texts = pairs.pages[0].packed[0]
    assert [unpacked(text)["response"] for text in texts[0]] == ["Wait 0.", "Wait 1."]
    assert "none is left out" in pairs.told(["base", "run"])
    assert pairs.n_traces == [3, 2]


def test_the_cap_keeps_every_problem_before_it_keeps_samples(runs):
    rows = [("x", str(p), s, "Wait.") for p in range(6) for s in range(5)]
    both = runs(base=rows, run=rows)
    pairs = collect(both, "epiverb-en", max_traces=12)
    assert [len(row[4]) for row in pairs.problems] == [2] * 6
    fewer = collect(both, "epiverb-en", max_traces=3)
    assert [row[1] for row in fewer.problems] == ["0", "2", "5"]
    assert "3 of 6 problems" in fewer.told(["base", "run"])


def test_a_run_that_names_no_benchmark_pairs_by_id(runs):
    base, run = runs(base=[(None, "1", 0, "Wait.")], run=[("x", "1", 0, "Fine.")])
    assert len(collect([base, run], "epiverb-en", max_traces=10).problems) == 1


def test_markers_in_a_loop_are_not_counted(runs):
    looped = "Wait, it is. " + "maybe so, maybe not; " * 3000
    base, run = runs(base=[("x", "1", 0, looped)], run=[("x", "1", 0, "Fine.")])
    facts = collect([base, run], "epiverb-en", max_traces=10).problems[0][4][0]
    assert facts[4] < 20
