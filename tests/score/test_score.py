"""`epiverb score` through the front door: what it adds to a run, what it leaves alone, and what it says of bad input."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import polars as pl
import pytest

from epiverb.config import build
from epiverb.configs.score import ScoreConfig
from epiverb.run import Run
from epiverb.verbs.score import score
from epiverb.verbs.scoring import trajectories
from tests.models.tiny import tiny_model

torch = pytest.importorskip("torch")

SHORT = ("--around", 2, "--window", 6, "--draws", 200)


def _digest(folder, names=("traces.parquet", "hits.parquet", "tokens.parquet", "alternatives.parquet", "run.json")):
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]


def _series(run, measure: str) -> dict[str, list[float]]:
    points = (
        Run(run)
        .scan("points")
        .filter((pl.col("measure") == measure) & (pl.col("axis") == "token"))
        .sort("trace_id", "x")
    )
    return dict(points.group_by("trace_id", maintain_order=True).agg("value").collect().iter_rows())


def test_trajectories_equal_full_logits_on_the_stored_ids(epiverb, run, model):
    before = _digest(run)
    values = Run(run).scan("values").collect()
    done = epiverb("score", run, "-m", model, *SHORT, "--json", "-q")
    assert done.code == 0, done.err
    block = done.json["tokens"]
    assert block["n_scored"] == block["n_traces"] == 36
    assert block["entropy"] == "exact"
    assert block["ids"] == {"stored": 36, "encoded": 0, "prompt_rendered": 0}
    assert block["alignment"]["n_unaligned_hits"] == 0
    assert _digest(run) == before
    after = Run(run).scan("values").collect()
    assert after.filter(pl.col("measure").is_in(values["measure"].unique().to_list())).equals(values)

    from transformers import AutoModelForCausalLM, AutoTokenizer

    net, tokenizer = AutoModelForCausalLM.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    entropy, surprisal = _series(run, "entropy"), _series(run, "surprisal")
    tokens = Run(run).scan("tokens").sort("trace_id", "position").collect()
    traces = Run(run).scan("traces").collect()
    for row in traces.head(8).iter_rows(named=True):
        own = tokens.filter(pl.col("trace_id") == row["trace_id"])
        ids, prompt = own["token_id"].to_list(), tokenizer.encode(row["prompt"])
        with torch.no_grad():
            logp = net(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
        assert np.allclose(entropy[row["trace_id"]], -(logp.exp() * logp).sum(-1), atol=1e-4)
        assert np.allclose(surprisal[row["trace_id"]], -own["logprob"].to_numpy(), atol=1e-4)
    assert json.loads((run / "score.json").read_text())["tokens"]["n_scored"] == 36
    assert not (run / ".score").exists()


def test_forks_and_events_are_of_the_markers_that_are_there(epiverb, run, model):
    """Shares of forks counted again from the tables, by the text of each token."""
    block = epiverb("score", run, "-m", model, *SHORT, "--json", "-q").json["tokens"]
    entropy = _series(run, "entropy")
    cut = np.quantile(np.concatenate([np.array(values) for values in entropy.values()]), 0.8)
    hits = Run(run).scan("hits").filter((pl.col("lexicon") == "epiverb-en") & ~pl.col("in_loop")).collect()
    tokens = Run(run).scan("tokens").collect()
    counted: dict[str, list[bool]] = {}
    for hit in hits.iter_rows(named=True):
        own = tokens.filter((pl.col("trace_id") == hit["trace_id"]) & (pl.col("end") > hit["start"])).sort("position")
        forked = entropy[hit["trace_id"]][own["position"][0]] >= cut - 1e-6
        counted.setdefault(hit["category"], []).append(forked)
    rows = {row["category"]: row for row in block["forks"]["rows"]}
    assert rows.keys() == counted.keys()
    assert len(rows) >= 2
    for category, forked in counted.items():
        assert rows[category]["n"] == len(forked)
        assert rows[category]["share"]["value"] == pytest.approx(np.mean(forked))
    assert block["events"]["rows"]
    assert all(len(row["marker_curve"]) == 5 and row["n_matched"] <= row["n"] for row in block["events"]["rows"])


def test_stored_log_probabilities_give_bounds_that_hold_what_the_model_gives(epiverb, run, model):
    epiverb("score", run, "-m", model, *SHORT, "-q")
    exact = _series(run, "entropy")
    done = epiverb("score", run, *SHORT, "--top-k", 5, "--json", "-q")
    assert done.json["tokens"]["model"] is None
    low, high = _series(run, "entropy-lower"), _series(run, "entropy-upper")
    assert not _series(run, "entropy")  # a stage replaces what it put there before
    for key, values in exact.items():
        assert (np.array(low[key]) <= np.array(values) + 1e-4).all()
        assert (np.array(values) <= np.array(high[key]) + 1e-4).all()
    assert "self-certainty" in {row["measure"] for row in done.json["tokens"]["measures"]}
    certainty = next(row for row in done.json["tokens"]["measures"] if row["measure"] == "self-certainty")
    assert certainty["value"] is None  # unknown, not zero


def test_scoring_twice_changes_nothing_and_other_measures_stay(epiverb, run, model):
    epiverb("score", run, "-m", model, *SHORT, "-q")
    once = [Run(run).scan(name).sort(pl.all()).collect() for name in ("values", "points")]
    epiverb("score", run, "-m", model, *SHORT, "-q")
    twice = [Run(run).scan(name).sort(pl.all()).collect() for name in ("values", "points")]
    for a, b in zip(once, twice, strict=True):
        assert a.equals(b)


def test_a_table_in_parts_gets_one_more_part(epiverb, run, model):
    for name in ("values", "points"):  # as large runs have them
        (run / f"{name}.parquet").rename(run / "part-00000.parquet")
        (run / f"{name}.parquet").mkdir()
        (run / "part-00000.parquet").rename(run / f"{name}.parquet" / "part-00000.parquet")
    for _ in range(2):
        assert epiverb("score", run, "-m", model, *SHORT, "-q").code == 0
    assert sorted(path.name for path in (run / "points.parquet").iterdir()) == [
        "part-00000.parquet",
        "part-score-tokens.parquet",
    ]
    assert len(_series(run, "entropy")) == 36


def test_a_killed_command_goes_on_where_it_was(run, model, monkeypatch):
    settings = {"run": str(run), "model": str(model), "around": 2, "window": 6, "draws": 200}
    whole = score(build(ScoreConfig, settings))["tokens"]
    expected = _series(run, "entropy")
    shutil.rmtree(run / ".score", ignore_errors=True)
    monkeypatch.setattr("epiverb.verbs.scoring.job.WAIT", 0.0)
    monkeypatch.setattr("epiverb.verbs.scoring.job.SHARE", 0.0)

    class Killed(BaseException):
        pass

    def kill(stage, done, total, tokens):
        if done == 10:
            raise Killed

    with pytest.raises(Killed):
        score(build(ScoreConfig, settings), progress=kill)
    assert len(list((run / ".score" / "tokens").glob("[0-9]*.parquet"))) >= 9
    assert len(_series(run, "entropy")) == 36  # the run reads as before
    seen = []
    again = score(build(ScoreConfig, settings), progress=lambda stage, done, total, tokens: seen.append(done))["tokens"]
    assert seen[0] == 10
    assert len(seen) == 36 - 10 + 1
    assert again["measures"] == whole["measures"]
    assert again["ids"] == whole["ids"]
    for key, values in expected.items():
        assert _series(run, "entropy")[key] == pytest.approx(values, abs=1e-5)


def test_killed_between_the_tables_and_the_document_leaves_nothing_behind(epiverb, run, model, monkeypatch):
    fresh = shutil.copytree(run, run.parent / "fresh")
    settings = {"run": str(run), "model": str(model), "around": 2, "window": 6, "draws": 50}

    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    for table in ("points", "score.json"):  # after `values`, and after both
        name = "install" if table == "points" else "remember"
        real = getattr(trajectories, name)
        with monkeypatch.context() as patch:
            hit = lambda *args, real=real, table=table: kill() if table in (args[2], "score.json") else real(*args)  # noqa: E731
            patch.setattr(trajectories, name, hit)
            with pytest.raises(Killed):
                score(build(ScoreConfig, settings))
        assert not (run / "score.json").exists()
    assert "entropy" in Run(run).scan("values").collect()["measure"].unique()
    for folder in (run, fresh):  # other settings: bounds, and no `entropy`
        assert epiverb("score", folder, *SHORT, "--top-k", 5, "-q").code == 0
    for name in ("values", "points"):
        tables = [Run(folder).scan(name).sort(pl.all()).collect() for folder in (run, fresh)]
        assert tables[0].equals(tables[1])
    assert not (run / ".score").exists()


def test_pressure_of_every_token_goes_to_points_when_asked(epiverb, run, model):
    flags = ("-m", model, "--pressure", "--contexts", "answer", "--draws", 50, "-q")
    before = Run(run).scan("points").sort(pl.all()).collect()
    assert epiverb("score", run, *flags).code == 0
    assert Run(run).scan("points").sort(pl.all()).collect().equals(before)
    assert epiverb("score", run, *flags, "--points").code == 0
    values = Run(run).scan("values").collect()
    for figure in ("kl", "reverse-kl", "jsd", "log-ratio"):
        name = f"pressure/answer/{figure}"
        series = _series(run, name)
        means = dict(values.filter(pl.col("measure") == name).select("trace_id", "value").iter_rows())
        assert series.keys() == means.keys()
        assert len(series) == 36
        for key, of_tokens in series.items():
            assert np.mean(of_tokens) == pytest.approx(means[key], abs=1e-6)
    assert epiverb("score", run, *flags).code == 0
    assert Run(run).scan("points").sort(pl.all()).collect().equals(before)
    assert "--points is about --pressure" in epiverb("score", run, "-m", model, "--points").message


def test_text_without_ids_is_encoded_and_said_to_be(epiverb, run, model):
    (run / "tokens.parquet").unlink()
    (run / "alternatives.parquet").unlink()
    done = epiverb("score", run, "-m", model, *SHORT, "--json")
    assert done.json["tokens"]["ids"]["encoded"] == 36
    assert "no stored token ids; their text was encoded" in done.err
    refused = epiverb("score", run)
    assert refused.code == 2
    assert "holds no log-probabilities" in refused.message


def test_another_tokenizer_is_one_clear_line(epiverb, run, tmp_path):
    other = tiny_model(tmp_path / "other", "llama", lines=("zyx wvu tsr qpo nml kji hgf edc ba",) * 3, window=2048)
    done = epiverb("score", run, "-m", other)
    assert done.code == 2
    assert "does not spell the text of" in done.message
    assert "another one made them" in done.message
    assert not (run / "score.json").exists()


def test_traces_longer_than_the_model_are_counted_never_cut(epiverb, run, model, tmp_path):
    short = shutil.copytree(model, tmp_path / "short")
    config = json.loads((short / "config.json").read_text())
    from transformers import AutoTokenizer

    traces = Run(run).scan("traces").collect()
    prompts = AutoTokenizer.from_pretrained(model)(traces["prompt"].to_list())["input_ids"]
    window = int(np.median([len(ids) + n for ids, n in zip(prompts, traces["n_tokens"], strict=True)]))
    (short / "config.json").write_text(json.dumps(config | {"max_position_embeddings": window}))
    done = epiverb("score", run, "-m", short, *SHORT, "--json")
    block = done.json["tokens"]
    assert 0 < block["n_scored"] < 36
    assert block["n_scored"] + sum(block["unknown"].values()) == 36
    assert f"traces are unknown: longer than the model: N tokens with the prompt, the window is {window}" in done.err
    nulls = Run(run).scan("values").filter(pl.col("measure") == "entropy").collect()
    assert nulls["trace_id"].n_unique() == block["n_scored"]


def test_nan_is_counted(epiverb, run, model, tmp_path):
    from transformers import AutoModelForCausalLM

    bad = shutil.copytree(model, tmp_path / "bad")
    net = AutoModelForCausalLM.from_pretrained(bad)
    token = Run(run).scan("tokens").collect()["token_id"].mode()[0]
    with torch.no_grad():
        net.get_input_embeddings().weight[token] = float("nan")
    net.save_pretrained(bad)
    done = epiverb("score", run, "-m", bad, *SHORT, "--json")
    assert done.code == 0
    block = done.json["tokens"]
    assert 0 < block["n_unknown_positions"] <= block["n_tokens"]
    assert "gave no number at" in done.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--pressure",), "computed by a model"),
        (("--model", "/nowhere/at/all"), "no model folder"),
        (("--window", 0), "at least 1"),
        (("--lexicon", "nowait"), "was not analysed with the lexicon nowait"),
        (("--model", "MODEL", "--pressure", "--contexts", "solutoin"), "Did you mean 'solution'"),
        (("--model", "MODEL", "--richness"), "holds no traces sampled with a context"),
    ],
)
def test_mistakes_are_one_line(epiverb, run, model, flags, words):
    done = epiverb("score", run, *(str(model) if flag == "MODEL" else flag for flag in flags))
    assert done.code == 2
    assert words in done.message


def test_a_folder_that_is_no_run(epiverb, tmp_path):
    done = epiverb("score", tmp_path)
    assert done.code == 2
    assert "not a run folder" in done.message
