"""A training run of many steps written by hand, whose markers fade: for figures and reports."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import torch

from epiverb.run import Run
from epiverb.train import shards
from epiverb.train.monitor import Monitor
from epiverb.train.recorded import finish
from epiverb.train.tables import hit_rows, rollout_rows
from epiverb.train.watch import Rollout
from tests.models.tiny import tiny_tokenizer

FILLER = (
    "We",
    "add",
    "the",
    "numbers",
    "and",
    "get",
    "x",
    "=",
    "12",
    "so",
    "sum",
    "of",
    "both",
    "is",
    "right",
    "on",
    "with",
    "it",
)


def text(rng: random.Random, chance: float, words: int) -> str:
    said = [
        "Wait," if rng.random() < chance else "maybe" if rng.random() < chance else rng.choice(FILLER)
        for _ in range(words)
    ]
    return f"<think>\n{' '.join(said)}\n</think>\n\nThe answer is \\boxed{{12}}."


def record(out: Path, steps: int = 24) -> None:
    """Rollouts of every step, probes id and ood at every sixth: markers, length and the accuracy of ood fall."""
    rng, tokenizer = random.Random(5), tiny_tokenizer()
    monitor = Monitor(out, tokenizer)
    for step in range(steps + 1):
        left = 1 - step / steps
        if step < steps:
            rows = _rows(
                rng,
                tokenizer,
                f"{step}-0",
                6,
                4,
                0.02 + 0.08 * left,
                40 + int(60 * left),
                0.4 + 0.3 * (1 - left),
                "rollout",
            )
            monitor.rollouts(step, rows)
            marked = [one for _, one in monitor._rows[step]]
            width = max(len(row.ids) for row in rows)
            values = torch.full((len(rows), width), torch.nan)
            for i, one in enumerate(marked):
                level = torch.where(torch.tensor(one.is_marker), 0.10 * left + 0.02, 0.03)
                values[i, : len(one.classes)] = level * (0.8 + 0.4 * rng.random())
            monitor.tokens(step, [row.key for row in rows], {"divergence": values}, ~values.isnan())
            monitor.close_step(step)
            shards.append(out / "metrics.jsonl", {"step": step + 1, "loss": 0.1 * left, "grad_norm": 1.0})
        if step % 6 == 0:
            found = []
            for name, right in (("id", 0.5 + 0.2 * (1 - left)), ("ood", 0.2 + 0.4 * left)):
                own = _rows(
                    rng,
                    tokenizer,
                    f"probe/{name}/{step}",
                    12,
                    2,
                    0.02 + 0.07 * left,
                    50 + int(40 * left),
                    right,
                    f"probe/{name}",
                )
                found += list(zip(own, monitor.mark([row.ids for row in own]), strict=True))
            folder = out / "probes"
            shards.write(folder / shards.name_of("hits", step, 0), hit_rows(found))
            shards.write(folder / shards.name_of("step", step, 0), rollout_rows(found, step, monitor.classes[2:]))


def _rows(rng, tokenizer, key, problems, samples, chance, words, right, condition) -> list[Rollout]:
    rows = []
    for problem in range(problems):
        for sample in range(samples):
            correct = rng.random() < right
            ids = [*tokenizer.encode(text(rng, chance, max(8, int(rng.gauss(words, 8))))), tokenizer.eos_token_id]
            rows.append(
                Rollout(
                    f"{key}/{problem}/{sample}", ids, problem_id=f"p{problem}", benchmark="sums", sample=sample, prompt="Add.",
                    gold="12", truncated=rng.random() < 0.05, correct=correct, reward=float(correct), grade_reason="boxed",
                    condition=condition, domain=condition.split("/")[-1] if "/" in condition else None,
                )
            )  # fmt: skip
    return rows


def as_run(recorded: Path, out: Path, *, report: bool = True) -> Run:
    """The record as a finished run, through `analyze` and with what only training knows."""
    import epiverb as ev

    run = ev.analyze(str(recorded), out=str(out), lexicon=["epiverb-en"], draws=50, report=False)
    record = finish(recorded)
    of = dict(run.scan("traces").select(pl.concat_str("source", pl.lit(":"), "line"), "trace_id").collect().iter_rows())
    raw = record.frame()
    ids = {
        key: of[f"{recorded}/{source}:{line}"]
        for key, source, line in raw.select("trace_id", "source", "line").iter_rows()
    }
    values = record.values().with_columns(pl.col("trace_id").replace_strict(ids))
    for name, more in (("values", values), ("points", record.points())):
        table = pl.concat([run.scan(name).collect(), more])
        path = out / f"{name}.parquet"
        table.write_parquet(path if path.is_file() else path / "part-99999.parquet")
    if report:
        from epiverb.report import write

        write(out, out / "report.html")
    return Run(out)
