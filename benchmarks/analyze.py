"""epiverb analyze against the counting script of the literature, on the same file, in one run; prints ratios.

The rival is our own equivalent of the published counter: `json.loads` per line, `lower().count(word)` per word, totals
printed. It finds no offsets, splits nothing, knows no loops, truncation or intervals, and writes nothing. epiverb does all
of that, from a cold start in a process of its own, report left out; once with the rival's ten words, once with
its five default lexicons (2,500 forms). The corpus is real traces repeated, with random
numbers put in so that no two responses are the same (dictionary encoding must not help).

    python benchmarks/analyze.py [--sizes 200 2000] [--repeat 3] [--traces DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
HINDRANCES = ("PYTHONDONTWRITEBYTECODE", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables of a test machine that would make an installed package compile anew at each start, or use old kernels."""

COUNTER = """
import json, sys
WORDS = ["wait", "hmm", "perhaps", "maybe", "actually", "alternatively", "seems", "might", "likely", "check"]
totals = dict.fromkeys(WORDS, 0)
with open(sys.argv[1], encoding="utf-8") as file:
    for line in file:
        for response in json.loads(line)["generated_responses"]:
            text = response.lower()
            for word in WORDS:
                totals[word] += text.count(word)
print(sum(totals.values()))
"""

MATCHING = """
import sys, time
import polars as pl
from epiverb.text.lexicon import load
from epiverb.text.match import Matcher
from epiverb.verbs.pipeline import in_order
WORDS = ["wait", "hmm", "perhaps", "maybe", "actually", "alternatively", "seems", "might", "likely", "check"]
texts = pl.read_ndjson(sys.argv[1], schema={"generated_responses": pl.List(pl.String)})["generated_responses"].explode()
frame = pl.DataFrame({"response": texts}).with_row_index("trace_id").with_columns(
    pl.col("trace_id").cast(pl.String), pl.lit(None, pl.String).alias("prompt"),
    *[pl.lit(None, pl.Int64).alias(name) for name in ("thinking_start", "thinking_end", "loop_start")])
matcher = Matcher([load("kim2026")])
start = time.perf_counter()
hits = sum(len(part) for part in in_order(matcher.hits, frame.iter_slices(5000)))
ours = time.perf_counter() - start
rows = texts.to_list()
start = time.perf_counter()
counted = 0
for row in rows:
    text = row.lower()
    for word in WORDS:
        counted += text.count(word)
theirs = time.perf_counter() - start
assert hits == counted, (hits, counted)
print(ours, theirs)
"""


def make_corpus(path: Path, megabytes: int, traces: Path, rng: random.Random) -> None:
    """Write a JSONL file of at least `megabytes` MB from the trace files in `traces`."""
    files = sorted(traces.glob("*.jsonl"))
    # Not splitlines: traces hold U+2028, which ends no line of JSON.
    rows = [json.loads(line) for file in files for line in file.read_text("utf-8").split("\n") if line]
    with open(path, "w", encoding="utf-8") as file:
        size = 0
        while size < megabytes * 1e6:
            for row in rows:
                texts = row.get("generated_responses") or [row["response"]]
                changed = [" ".join(_numbered(text.split(" "), rng)) for text in texts]
                size += file.write(json.dumps({**row, "generated_responses": changed}) + "\n")


def _numbered(words: list[str], rng: random.Random) -> list[str]:
    """The words with a random number put in before every three-hundredth."""
    for index in range(0, len(words), 300):
        words[index] = f"{rng.randrange(10**8)} {words[index]}"
    return words


def timed(command: list[str]) -> tuple[float, float, str]:
    """Wall seconds, peak memory in MB, and standard output of a command in a fresh process.

    Memory is that of the process and its workers together, looked at five times a second; pages that they share count in each.
    """
    env = {key: value for key, value in os.environ.items() if key not in HINDRANCES}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    peak, ended = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.2):
            peak = max(peak, resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.stdout.read()
    ended.set()
    watcher.join()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return time.perf_counter() - start, max(peak, usage.ru_maxrss / 1e3), output


def resident(pid: int) -> float:
    """MB in memory of a process and its children; 0 of one that has ended."""
    total = 0.0
    with contextlib.suppress(OSError, IndexError, ValueError):
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        for task in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
            total += sum(resident(int(child)) for child in children)
    return total


def best(command: list[str], repeat: int, before: object = None) -> tuple[float, float]:
    """Median wall seconds and peak memory over `repeat` runs."""
    runs = []
    for _ in range(repeat):
        if callable(before):
            before()
        runs.append(timed(command)[:2])
    return statistics.median(run[0] for run in runs), max(run[1] for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 200, 2000], help="megabytes")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--traces", type=Path, default=ROOT.parent / "shared" / "traces")
    args = parser.parse_args()
    rng = random.Random(0)
    epiverb = str(Path(sys.executable).parent / "epiverb")
    print(
        "| MB | counter s | same ten words s | ratio | all five lexicons s | ratio | peak MB | matching alone: ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            corpus, out = Path(folder) / "corpus.jsonl", Path(folder) / "run"
            make_corpus(corpus, size, args.traces, rng)
            repeat = args.repeat if size <= 500 else 1
            theirs, _ = best([sys.executable, "-c", COUNTER, str(corpus)], repeat)
            command = [epiverb, "analyze", str(corpus), "--out", str(out), "--no-report", "--quiet", "--json"]

            def fresh(path: Path = out) -> None:
                shutil.rmtree(path, ignore_errors=True)

            same, _ = best([*command, "--lexicon", "kim2026"], repeat, fresh)
            ours, memory = best(command, repeat, fresh)
            matching = "-"
            if size <= 500:
                a, b = map(float, timed([sys.executable, "-c", MATCHING, str(corpus)])[2].split())
                matching = f"{b / a:.2f}"
            ratios = f"{same:.2f} | {theirs / same:.2f} | {ours:.2f} | {theirs / ours:.2f}"
            print(f"| {size} | {theirs:.2f} | {ratios} | {memory:,.0f} | {matching} |", flush=True)
        small = Path(folder) / "small.jsonl"
        make_corpus(small, 10, args.traces, rng)
        seconds, _ = best(
            [epiverb, "analyze", str(small), "--out", str(Path(folder) / "r"), "--overwrite", "--quiet"], 2
        )
        print(f"\n10 MB with report, cold: {seconds:.2f} s")
        print(f"epiverb --help, cold: {best([epiverb, '--help'], 5)[0]:.3f} s")


if __name__ == "__main__":
    main()
