"""`epiverb score --beliefs`, `--mi` and `--signals` on a run made for it: tables, documents, and what cannot be said."""

from __future__ import annotations

import json
import random

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from epiverb.config import build  # noqa: E402
from epiverb.configs.analyze import AnalyzeConfig  # noqa: E402
from epiverb.configs.score import ScoreConfig  # noqa: E402
from epiverb.errors import ConfigError, DataError  # noqa: E402
from epiverb.measures.beliefs import closed_world  # noqa: E402
from epiverb.run import Run  # noqa: E402
from epiverb.verbs.analyze import analyze  # noqa: E402
from epiverb.verbs.score import score  # noqa: E402
from tests.models.tiny import tiny_model  # noqa: E402
from tests.score.conftest import epiverb  # noqa: E402, F401

SENTENCES = (
    "So 2 + 2 = 4.", "Wait, let me check this again.", "Therefore x = 17.", "Maybe the answer is 4.\n\n", "Hmm, actually 5.",
)  # fmt: skip


def record(problem, sample, answer, gold, thinking, **more):
    told = "" if answer is None else f"\n\nThe answer is \\boxed{{{answer}}}."
    right = None if answer is None or gold is None else answer == gold
    return {
        "problem_id": problem, "benchmark": "toy", "sample": sample, "prompt": f"What is it, {problem}?", "gold": gold,
        "response": f"<think>\n{thinking}\n</think>{told}", "answer": answer, "correct": right, "finish_reason": "stop",
    } | more  # fmt: skip


def made(folder, records):
    source = folder / "traces.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in records), "utf-8")
    out = folder / "run"
    analyze(build(AnalyzeConfig, {"sources": [str(source)], "out": str(out), "report": False, "draws": 50}))
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "qwen3")


@pytest.fixture
def run(tmp_path):
    rng = random.Random(0)
    records = []
    for p in range(6):
        for k in range(4):
            answer = str(10 + p + rng.choice([0, 0, 1, 2]))
            thinking = " ".join(rng.choice(SENTENCES) for _ in range(rng.randint(3, 7)))
            records.append(record(f"p{p}", k, answer, str(10 + p), thinking))
    return made(tmp_path, records)


def scored(run, model="none", **settings):
    told = {"run": str(run), "model": str(model), "draws": 100, "device": "cpu", **settings}
    return score(build(ScoreConfig, told))


def test_beliefs_of_a_run(run, model):
    before = Run(run).values
    block = scored(run, model, beliefs=True)["beliefs"]
    assert (block["n_traces"], block["n_scored"], block["unknown"]) == (24, 24, {})
    after = Run(run)
    beliefs = pl.read_parquet(run / "beliefs.parquet")
    sums = beliefs.group_by("trace_id", "x").agg(pl.col("p").sum(), pl.col("own").sum(), pl.col("right").sum())
    np.testing.assert_allclose(sums["p"], 1)
    assert set(sums["own"]) == set(sums["right"]) == {1}
    for (_, _), own in beliefs.group_by("trace_id", "x"):
        np.testing.assert_allclose(own["p"], closed_world(own["logprob"].to_numpy()[None])[0])
    values = after.values
    old = values[~values["measure"].isin(block["tables"]["measures"])]
    old = old[
        ~old["measure"].isin(
            {"majority-share", "agreement", "semantic-entropy", "meanings", "answered", "majority-right"}
        )
    ]
    assert len(old) == len(before)
    entropy = after.points[after.points["measure"] == "belief-entropy"]
    assert set(entropy["axis"]) == {"sentence"}
    assert len(entropy) == block["n_places"]
    first = entropy[entropy["trace_id"] == beliefs["trace_id"][0]]["value"].iloc[0]
    p = beliefs.filter((pl.col("trace_id") == beliefs["trace_id"][0]) & (pl.col("x") == 0))["p"].to_numpy()
    assert first == pytest.approx(-(p * np.log(p)).sum())
    (gains,) = block["gains"]
    assert sum(gains["n_sentences"].values()) == block["n_places"] - 24
    assert scored(run, model, beliefs=True)["beliefs"] == block
    assert len(Run(run).values) == len(values)


def test_interrupted_goes_on_to_the_same(run, model, monkeypatch):
    from epiverb.verbs.beliefs import stage

    whole = scored(run, model, beliefs=True)["beliefs"]
    (run / "beliefs.parquet").unlink()
    frame, calls = stage._frame, []

    def breaking(*args):
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return frame(*args)

    monkeypatch.setattr(stage, "_frame", breaking)
    with pytest.raises(KeyboardInterrupt):
        scored(run, model, beliefs=True)
    again = scored(run, model, beliefs=True)["beliefs"]
    assert len(calls) == 10 + 15
    assert again | {"ids": 0} == whole | {"ids": 0}


def test_steps_and_few_places(run, model):
    block = scored(run, model, beliefs=True, asking={"at": "step", "places": 1, "stem": "final-answer"})["beliefs"]
    points = Run(run).points
    assert set(points[points["measure"] == "belief-entropy"]["axis"]) == {"step"}
    assert block["n_places"] == 48
    assert block["stem"]["name"] == "final-answer"


def test_sampled_beliefs_are_counts(run, model):
    block = scored(run, model, beliefs=True, limit=2, asking={"places": 1, "rollouts": 3})["beliefs"]
    assert block["n_scored"] + sum(block["unknown"].values()) == 2
    rows = pl.read_parquet(run / "beliefs.parquet")
    assert rows["logprob"].null_count() == len(rows)
    counts = (rows["p"] * rows["n_scored"]).to_numpy()
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)


def test_what_cannot_be_said_is_counted_with_its_reason(tmp_path, model):
    plain = {"response": "It is \\boxed{3}."}
    long = " ".join(SENTENCES * 60)
    records = [
        record("a", 0, "3", "3", SENTENCES[0]), record("a", 1, "4", "3", SENTENCES[1]),
        record("a", 2, None, "3", SENTENCES[1]),  # no answer: beliefs over the others' answers
        record("a", 3, "3", "3", "", **plain), record("a", 4, "4", "3", long), record("a", 5, "4", "3", " "),
        record("alone", 0, "7", "7", SENTENCES[0]), record("nothing", 0, None, None, SENTENCES[0]),
    ]  # fmt: skip
    run = made(tmp_path, records)
    document = scored(run, model, beliefs=True)
    block = document["beliefs"]
    assert block["n_traces"] == 8
    assert block["n_scored"] == 4
    reasons = " | ".join(block["unknown"])
    for told in (
        "no thinking",
        "its thinking is empty",
        "one candidate answer",
        "no answer: none of its problem's samples",
    ):
        assert told in reasons
    assert sum(block["unknown"].values()) == 4
    assert block["n_beyond_the_model"] > 100
    table = Run(run).wide().set_index("sample")
    assert np.isnan(table[table["problem_id"] == "a"].loc[2, "belief-followed"])
    assert document["agreement"]["n_alone"] == 2


def test_unknown_gold_leaves_gold_measures_unknown(tmp_path, model):
    records = [record("a", k, str(k % 2), None, SENTENCES[k]) for k in range(4)]
    block = scored(made(tmp_path, records), model, beliefs=True)["beliefs"]
    told = {row["measure"] for row in block["measures"]}
    assert "belief-last-entropy" in told
    assert not told & {"belief-last-gold", "belief-lost", "belief-forced-right"}
    assert block["eat"] == []


def test_a_model_without_the_tag(run, tmp_path):
    llama = tiny_model(tmp_path / "llama", "llama")
    block = scored(run, llama, beliefs=True)["beliefs"]
    ((reason, n),) = block["unknown"].items()
    assert "no thinking tag </think>" in reason
    assert (n, block["n_scored"], block["measures"]) == (24, 0, [])


def test_a_task_is_no_answer(tmp_path, model):
    """Reach 24: the gold is the target, right answers are expressions, and the target is no candidate."""
    records = [
        record("c", k, answer, "24", SENTENCES[k], correct=right)
        for k, (answer, right) in enumerate([("(7 + 5) x 2", True), ("7 + 5 + 2", False), ("(5 + 7) x 2", True)])
    ]
    run = made(tmp_path, records)
    scored(run, model, beliefs=True)
    rows = pl.read_parquet(run / "beliefs.parquet").select("candidate", "right").unique()
    assert "24" not in rows["candidate"]
    assert rows["right"].any()


def test_mutual_information(run, model):
    block = scored(run, model, mi=True)["mi"]
    assert block["n_scored"] == 24
    points = Run(run).points
    told = points[points["measure"] == "mi"]["value"]
    assert told.notna().all()
    assert (told > 0).all()
    share = next(row for row in block["measures"] if row["measure"] == "mi-peaks/share")
    assert 0 <= share["value"] <= 1


def test_signals_need_no_model_and_know_nothing_of_the_gold(run, model):
    scored(run, model, beliefs=True)
    document = scored(run, signals=True)
    (arm,) = document["signals"]["arms"]
    names = {row["name"] for row in arm["rows"]}
    assert {"n_words", "density/epiverb-en", "agreement", "belief-last-entropy"} <= names | {
        row["name"] for row in arm["left_out"]
    }
    assert not names & {"belief-last-gold", "belief-forced-right", "majority-right", "belief-lost"}
    assert "majority-right" in document["signals"]["no_signals"]
    assert json.loads((run / "score.json").read_text("utf-8"))["signals"] == document["signals"]


def test_signals_of_a_run_without_grades(tmp_path):
    run = made(tmp_path, [record(f"p{k}", 0, "1", None, SENTENCES[0]) for k in range(12)])
    with pytest.raises(DataError, match=r"no trace is graded\. Grade them first: epiverb grade"):
        scored(run, signals=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beliefs": True}, "asked of a model. Pass --model"),
        ({"mi": True}, "asked of a model. Pass --model"),
        ({"signals": True, "asking": {"places": 0}}, "--places 1 or more"),
    ],
)
def test_settings_that_cannot_be(run, settings, message):
    with pytest.raises(ConfigError, match=message):
        scored(run, **settings)


def test_an_unknown_stem(run, model):
    with pytest.raises(ConfigError, match="Did you mean 'boxed'"):
        scored(run, model, beliefs=True, asking={"stem": "box"})


def test_on_the_terminal(run, model, epiverb):  # noqa: F811
    told = epiverb("score", str(run), "-m", str(model), "--beliefs", "--signals", "--draws", "50", "--device", "cpu")
    assert told.code == 0
    for part in (
        "semantic-entropy",
        "Nats gained by a sentence",
        "EAT's variance",
        "Signals of a right answer",
        "are associations",
    ):
        assert part in " ".join(told.out.split())
