"""`epiverb sft-data`: correct responses of a run as sets for fine-tuning, unguided against guided.

Source: arXiv 2603.24472, section 4, and `make_sft_dataset.py` of its code: guided responses are trained on behind the plain
question, as if no context had been shown. Ours differs: both sets have the same problems, each with the same number of
responses, drawn by seed; and two more pairs of sets hold apart what the published ones confound, since theirs differ
6-fold in tokens and in length as well as in markers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from epiverb.config import plain, to_dict
from epiverb.configs.sample import SftDataConfig
from epiverb.errors import ConfigError, DataError, nearest
from epiverb.run import Run, write_json, writing
from epiverb.schema import EPISTEMIC, SCHEMA_VERSION
from epiverb.verbs.sampling.finish import PROBLEMS
from epiverb.verbs.sampling.forms import FORMS, Question
from epiverb.verbs.sampling.match import by_length, by_tokens, paired
from epiverb.verbs.sampling.material import tagged

SIDES = ("unguided", "guided")
KEY = ("benchmark", "problem_id")
COLUMNS = (
    *KEY, "trace_id", "condition", "context", "prompt", "response", "status", "correct", "n_tokens", "thinking_start",
    "thinking_end",
)  # fmt: skip


@dataclass(frozen=True)
class Gathered:
    """The runs' traces as one table, with the questions behind them."""

    traces: pl.DataFrame
    """`COLUMNS`, `run` and a column of hits for each lexicon."""
    questions: dict[tuple[str, str], list[dict[str, str]]]
    """Benchmark and problem id -> the chat without context."""
    lexicons: dict[str, str]


def sft_data(config: SftDataConfig) -> dict[str, Any]:
    """The manifest of the sets that were written: counts, tokens and markers of each.

    Raises:
        DataError: no problem has a correct response in both arms, or token counts are not known.
    """
    _check(config)
    gathered = _gather(config)
    pools, excluded = _pools(gathered, config)
    rng = np.random.default_rng(config.seed)
    both = paired(*pools, per_problem=config.per_problem, size=config.size, rng=rng)
    arms = {
        "as-is": both,
        "token-matched": by_tokens(*both, rng=rng),
        "length-matched": by_length(*pools, caliper=config.caliper, size=config.size, rng=rng),
    }
    prompts = _prompts(gathered, pools[0])
    with writing(config.out, overwrite=config.overwrite) as folder:
        written = {
            arm: {
                side: _write(folder / arm, side, rows, prompts, config) for side, rows in zip(SIDES, sets, strict=True)
            }
            for arm, sets in arms.items()
        }
        manifest = plain(
            {
                "schema": SCHEMA_VERSION,
                "out": config.out,
                "runs": list(config.runs),
                "conditions": {side: pool["condition"][0] for side, pool in zip(SIDES, pools, strict=True)},
                "n_problems": _problems(both[0]),
                "excluded": excluded,
                "lexicons": gathered.lexicons,
                "seed": config.seed,
                "caliper": config.caliper,
                "arms": written,
            }
        )
        write_json(folder / "manifest.json", manifest)
        write_json(folder / "run.json", {"schema": SCHEMA_VERSION, "config": plain(to_dict(config))})
    return manifest


def _check(config: SftDataConfig) -> None:
    if not 0 <= config.caliper < 1:
        raise ConfigError(f"--caliper {config.caliper:g}: is not from 0 to below 1.")
    for name in ("per_problem", "size"):
        if getattr(config, name) is not None and getattr(config, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {getattr(config, name)}: at least one response.")


def _gather(config: SftDataConfig) -> Gathered:
    frames, questions, lexicons = [], {}, {}
    for path in config.runs:
        run = Run(path)
        for name in config.lexicon:
            if name not in run.manifest["lexicons"]:
                raise DataError(f"{path}: lexicon {name!r} was not matched.{nearest(name, run.manifest['lexicons'])}")
            lexicons[name] = run.manifest["lexicons"][name]
        frames.append(_with_hits(run, config.lexicon).with_columns(pl.lit(path).alias("run")))
        questions.update(_questions(run))
    return Gathered(pl.concat(frames), questions, lexicons)


def _with_hits(run: Run, names: Sequence[str]) -> pl.DataFrame:
    """The traces of a run, with their epistemic hits of each lexicon."""
    hits = run.scan("hits").filter(pl.col("category").is_in(EPISTEMIC)).group_by("trace_id", "lexicon").len().collect()
    traces = run.scan("traces").select(COLUMNS).collect()
    for name in names:
        counted = hits.filter(pl.col("lexicon") == name).select("trace_id", pl.col("len").alias(name))
        traces = traces.join(counted, on="trace_id", how="left", maintain_order="left")
    return traces.with_columns(pl.col(names).fill_null(0).cast(pl.Int64))


def _questions(run: Run) -> dict[tuple[str, str], list[dict[str, str]]]:
    file = run.path / PROBLEMS
    if not file.is_file():
        return {}
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return {(row["benchmark"], row["problem_id"]): row["messages"] for row in rows}


def _pools(gathered: Gathered, config: SftDataConfig) -> tuple[tuple[pl.DataFrame, pl.DataFrame], dict[str, Any]]:
    """The usable responses of both arms to the problems that have some in both, and how many were left out and why."""
    pools, excluded = [], {}
    for side, name in zip(SIDES, _arms(gathered.traces, config), strict=True):
        whole = gathered.traces.filter(pl.col("condition").eq_missing(pl.lit(name)))
        right = whole.filter(pl.col("correct").fill_null(False) & (pl.col("status") == "complete"))
        distinct = right.unique([*KEY, "response"], keep="first", maintain_order=True)
        if distinct["n_tokens"].null_count():
            raise DataError(
                f"arm {name!r}: {distinct['n_tokens'].null_count()} responses without a token count. "
                "Analyse the traces with --tokenizer first."
            )
        pools.append(distinct.filter(pl.col("problem_id").is_not_null()))
        excluded[side] = {
            "not_graded": whole["correct"].null_count(),
            "wrong": int((~whole["correct"]).sum()),
            "right_but_unfinished": int(whole["correct"].sum()) - len(right),
            "repeated": len(right) - len(distinct),
        }
    common = pools[0].select(KEY).join(pools[1].select(KEY), on=KEY, nulls_equal=True).unique()
    if common.is_empty():
        raise DataError(
            f"no problem has a right and finished response in both arms ({len(pools[0])} unguided, {len(pools[1])} guided)."
        )
    for index, side in enumerate(SIDES):
        kept = pools[index].join(common, on=KEY, how="semi", nulls_equal=True).sort(*KEY, maintain_order=True)
        excluded[side]["of_problems_without_a_pair"] = len(pools[index]) - len(kept)
        pools[index] = kept
    return (pools[0], pools[1]), excluded


def _arms(traces: pl.DataFrame, config: SftDataConfig) -> tuple[str | None, str | None]:
    """The conditions of both arms: as the user says, else by their usual names, else the only one there is."""
    with_context = traces.group_by("condition", maintain_order=True).agg(pl.col("context").is_not_null().any())
    there: dict[str | None, bool] = dict(with_context.iter_rows())
    found = []
    for side, given, usual, guided in (
        ("unguided", config.unguided, ("unguided", "none"), False),
        ("guided", config.guided, ("solution",), True),
    ):
        fitting = [name for name, context in there.items() if context is guided]
        known = [name for name in usual if name in there]
        if given is not None and given not in there:
            raise DataError(f"--{side} {given}: no such arm.{nearest(given, [str(name) for name in there])}")
        if given is None and not known and len(fitting) != 1:
            names = ", ".join(str(name) for name in there)
            raise DataError(f"which arm is {side} is not clear among: {names}. Name it with --{side} ARM.")
        found.append(given if given is not None else (known or fitting)[0])
    if found[0] == found[1]:
        raise DataError(f"both arms are {found[0]!r}. Name two with --unguided and --guided.")
    return found[0], found[1]


def _prompts(gathered: Gathered, unguided: pl.DataFrame) -> dict[tuple[str, str], Question]:
    """The plain question of each problem, as a chat and as the model was shown it."""
    first = unguided.unique(KEY, keep="first", maintain_order=True)
    prompts = {}
    for row in first.iter_rows(named=True):
        key = (row["benchmark"], row["problem_id"])
        if row["prompt"] is None:
            raise DataError(f"{row['trace_id']}: no prompt is known, so there is nothing to train behind.")
        messages = gathered.questions.get(key) or [{"role": "user", "content": row["prompt"]}]
        prompts[key] = Question(tuple(messages), row["prompt"])
    return prompts


def _write(
    folder: Path, side: str, rows: pl.DataFrame, prompts: dict[tuple[str, str], Question], config: SftDataConfig
) -> dict[str, Any]:
    """Write one set in all forms; what the manifest says of it."""
    folder.mkdir(exist_ok=True)
    pairs = [(prompts[row["benchmark"], row["problem_id"]], row) for row in rows.iter_rows(named=True)]
    said = [tagged(row) for _, row in pairs]
    files = {}
    for form in dict.fromkeys(config.form):
        path = folder / f"{side}.{form}.jsonl"
        _write_lines(path, [FORMS[form](question, text) for (question, _), text in zip(pairs, said, strict=True)])
        files[form] = f"{folder.name}/{path.name}"
    kept = ("run", "trace_id", *KEY, "n_tokens", *config.lexicon)
    _write_lines(folder / f"{side}.traces.jsonl", [{name: row[name] for name in kept} for _, row in pairs])
    total = int(rows["n_tokens"].sum())
    markers = {name: int(rows[name].sum()) for name in config.lexicon}
    return {
        "n": len(rows),
        "n_problems": _problems(rows),
        "tokens": total,
        "mean_tokens": rows["n_tokens"].mean(),
        "median_tokens": rows["n_tokens"].median(),
        "markers": {
            name: {
                "hits": hits,
                "per_response": hits / len(rows) if len(rows) else None,
                "per_1k_tokens": 1000 * hits / total if total else None,
            }
            for name, hits in markers.items()
        },
        "thinking_tags_restored": sum(text != row["response"] for text, (_, row) in zip(said, pairs, strict=True)),
        "opening_tag_restored": sum(bool(question.opening) for question, _ in pairs),
        "files": files,
    }


def _problems(rows: pl.DataFrame) -> int:
    return rows.select(KEY).n_unique() if len(rows) else 0


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
