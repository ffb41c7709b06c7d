"""lm-eval-harness sample logs: `samples_{task}_{date}.jsonl`, one JSON line a document and filter.

Source: EleutherAI/lm-evaluation-harness, loggers/evaluation_tracker.py (`doc_id, doc, target, arguments, resps,
filtered_resps, filter, metrics, doc_hash, prompt_hash, target_hash` and one key a metric named in `metrics`).

Traps: a task with several filters writes every response once for each, so only the first filter's rows are read.
`resps` has been cut already where `think_end_token` was set. Since 0.4.12 a prompt may be a list with the JSON text of
chat messages in it. Log-likelihood tasks generate nothing.
"""

from __future__ import annotations

import re
from typing import Any

from epiverb.io.detect import Format
from epiverb.io.raw import Reading, Unreadable
from epiverb.io.rows import Row, amount, as_string, item, plain, verdict
from epiverb.io.sniff import Head

METRICS = ("exact_match", "math_verify", "acc", "pass@1", "acc_norm")
"""Looked for where a row does not name its metrics (before 0.4.8)."""


def recognise(head: Head) -> str | None:
    """Responses before and after filtering."""
    if not head.has("resps", "filtered_resps"):
        return None
    return "its records have doc_id, resps and filtered_resps, as lm-eval logs samples"


def task_of(path: str) -> str | None:
    """The task in a file name `samples_{task}_{date}.jsonl`."""
    match = re.search(r"samples_(.+?)(?:_\d{4}-\d\d-\d\dT[\d.:-]+)?\.jsonl", re.split(r"[/\\]", path)[-1])
    return match[1] if match else None


def rows(record: dict[str, Any], reading: Reading, head: Head) -> list[Row]:
    """One row a repeat; none for the rows of a second filter, which repeat the same responses."""
    name = record.get("filter")
    first = reading.remember("filter", name)
    if name != first:
        reading.note(f"several filters: responses are read once and graded by {first!r}; {name!r} is left out.")
        return []
    texts = _texts(record.get("resps"))
    metric = _metric(record)
    score = record.get(metric) if metric else None
    doc = record.get("doc")
    shared = {
        "problem_id": as_string(record.get("doc_hash") or record.get("doc_id")),
        "benchmark": task_of(head.path),
        "prompt": _prompt(record.get("arguments")),
        "question": as_string(doc),
        "gold": as_string(record.get("target")),
        "grade_reason": f"lm-eval {metric}" if metric else "no metric in the row",
    }
    if len(texts) > 1 and not isinstance(score, list):
        reading.note(f"{metric} grades the {len(texts)} repeats of a document together: correct is unknown.")
    return [
        {
            **shared,
            "sample": j,
            "response": text,
            "answer": _answer(record.get("filtered_resps"), j, len(texts)),
            **_grade(score, j, len(texts), metric),
        }
        for j, text in enumerate(texts)
    ]


def _texts(resps: Any) -> list[str]:
    """The repeats of one document: `resps` holds a list a request, and generation makes one request."""
    repeats = resps[0] if isinstance(resps, list) and resps and isinstance(resps[0], list) else resps
    if not isinstance(repeats, list) or not repeats:
        raise Unreadable("no text: 'resps' is empty")
    if not all(isinstance(text, str) for text in repeats):
        raise Unreadable("no text: a log-likelihood request, which generates nothing")
    return repeats


def _metric(record: dict[str, Any]) -> str | None:
    names = record.get("metrics") or METRICS
    return next((name for name in names if name in record), None)


def _grade(score: Any, j: int, n: int, metric: str | None) -> Row:
    """One number for several repeats is a statement on all of them (majority, any), not on each."""
    if n > 1 and not isinstance(score, list):
        return {"grade_reason": f"lm-eval {metric} grades {n} repeats together"}
    value = item(score, j)
    return {"correct": verdict(value), "reward": amount(value)}


def _answer(answers: Any, j: int, n: int) -> str | None:
    """What the filters made of repeat j; None where they keep one answer for all repeats (take_first, majority)."""
    if isinstance(answers, list) and len(answers) == 1:
        answers = answers[0] if isinstance(answers[0], list) else answers
    return as_string(item(answers, j)) if isinstance(answers, list) and len(answers) == n else None


def _prompt(arguments: Any) -> str | None:
    """The first argument of the first request, in the layouts of lm-eval's versions."""
    if isinstance(arguments, dict):
        first = next(iter(arguments.values()), None)
        return plain(first.get("arg_0")) if isinstance(first, dict) else None
    if isinstance(arguments, list) and arguments:
        first = arguments[0]
        return plain(first[0]) if isinstance(first, list) and first else plain(first)
    return None


LM_EVAL = Format(
    "lm-eval",
    "lm-eval-harness sample logs (--log_samples)",
    recognise,
    rows=rows,
    remedy="run lm-eval without think_end_token, and its server without a reasoning parser",
)
