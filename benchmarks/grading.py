"""Answers graded a second: epiverb's math grader against Math-Verify called in its process, one answer after the other.

Both grade the same real answers. The rival is called as its documentation shows, `verify(parse(gold), parse(...))` with
its own time limits: once on the boxed answer that our extraction found, once on the whole response, as reward functions
commonly do. Its import is not counted. Ours is counted twice: from nothing, with the start of the workers, and again
with the workers running; each pair is graded once, no result is kept from the first time.

    python benchmarks/grading.py [--traces DIR] [--whole]
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path

from epiverb.graders import Task, make
from epiverb.graders.answers import boxed
from epiverb.graders.workers import available_processors

ROOT = Path(__file__).parent.parent


def read(folder: Path) -> list[Task]:
    tasks = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text("utf-8").split("\n"):
            row = json.loads(line) if line else {"generated_responses": []}
            tasks += [Task(response, row["gold_answer"]) for response in row["generated_responses"]]
    return tasks


def rival(tasks: list[Task], *, whole: bool) -> list[bool]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.disable(logging.CRITICAL)
    config = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())
    verdicts = []
    for task in tasks:
        answer = boxed(task.response)
        text = task.response if whole else rf"\boxed{{{answer}}}"
        found = parse(text, config) if whole or answer else []
        verdicts.append(verify(parse(rf"\boxed{{{task.gold}}}", config), found))
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--traces", type=Path, default=ROOT.parent / "shared" / "traces")
    parser.add_argument("--whole", action="store_true", help="also the rival on whole responses, which takes minutes")
    options = parser.parse_args()
    tasks, timed, verdicts = read(options.traces), {}, {}
    grade = make("math")
    calls = {
        "epiverb, workers started": lambda: [one.correct for one in grade(tasks)],
        "epiverb, workers running": lambda: [one.correct for one in grade(tasks)],
        "math-verify, boxed answer": lambda: rival(tasks, whole=False),
    }
    if options.whole:
        calls["math-verify, whole response"] = lambda: rival(tasks, whole=True)
    import math_verify  # noqa: F401  # its import is not counted

    for name, call in calls.items():
        start = time.perf_counter()
        verdicts[name] = call()
        timed[name] = time.perf_counter() - start
    ours, *others = (timed[name] for name in ("epiverb, workers started", *list(calls)[2:]))
    print(f"{len(tasks)} answers, {available_processors()} processors")
    for name, seconds in timed.items():
        same = sum(a == b for a, b in zip(verdicts[name], verdicts["epiverb, workers started"], strict=True))
        print(f"{name:28} {seconds:7.2f} s {len(tasks) / seconds:7.0f} a second, {same} verdicts as ours")
    print("ratio, workers started:", ", ".join(f"{seconds / ours:.1f}" for seconds in others))
    running = timed["epiverb, workers running"]
    print("ratio, workers running:", ", ".join(f"{seconds / running:.1f}" for seconds in others))


if __name__ == "__main__":
    main()
