"""The `replay` engine: recorded responses instead of a model, for tests, for grading anew, and for outputs made elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import polars as pl

from epiverb.errors import EngineError
from epiverb.io import expand, open_source
from epiverb.io.raw import problem_hash
from epiverb.io.rows import plain as plain_text
from epiverb.models.base import Completion, FinishReason, Request, Sampling
from epiverb.models.ordered import samples_of
from epiverb.text import loops
from epiverb.text.offsets import Flat
from epiverb.text.thinking import annotate

Row = dict[str, Any]
Arms = dict[str | None, list[Row]]
"""Condition -> its samples of one problem."""
KEPT = (
    "response",
    "prompt",
    "condition",
    "finish_reason",
    "status",
    "n_tokens",
    "thinking_start",
    "thinking_end",
    "sample",
)
REASONS: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}


class Replay:
    """Gives back the responses that a trace file, folder or run holds, by problem.

    A request is matched by the first of these that the recording holds: its exact prompt; its key, `benchmark/problem_id` or
    `problem_id`; the hash of its question. Where the recording calls the benchmark something else, or does not name it, the
    `problem_id` alone decides, if only one benchmark of the recording has it; `used["n_by_problem_id"]` counts these
    requests. Where several have it, that is an error, and the options below choose. Of the arms that hold the problem it is
    the one with the shortest prompt that contains the request's last turn. Where one arm holds it and its prompt does not,
    it answers a bare question all the same (`used["n_other_prompt"]` counts them), but not a question under a context:
    that is an error. Sample `j` is the recorded sample `j`. What was not recorded comes back as an error, so that it is
    counted.

    Args:
        model: a trace file in any format that epiverb reads, a folder, or a run.
        condition: only the traces of this arm, whatever their prompts.
        benchmark: only the traces of this benchmark.
        any_prompt: answer a question under a context, too, with what was recorded behind another prompt.
        format: read it as this format.
    """

    name = "replay"
    window = None

    def __init__(
        self,
        model: str,
        *,
        condition: str | None = None,
        benchmark: str | None = None,
        any_prompt: bool = False,
        format: str | None = None,
    ) -> None:
        self.source = model
        self.any_prompt = any_prompt or condition is not None
        self.only = {
            name: value for name, value in (("condition", condition), ("benchmark", benchmark)) if value is not None
        }
        self.by_problem: dict[str, dict[str | None, Arms]] = {}
        self.by_prompt: dict[str, list[Row]] = defaultdict(list)
        opened = [open_source(path, format=format) for path in expand([model])]
        n = sum(self._add(batch.frame) for source in opened for batch in source.batches())
        if not n:
            chosen = " and".join(f" of {name} {value!r}" for name, value in self.only.items())
            raise EngineError(f"{model} holds no traces{chosen}.")
        self.used: dict[str, Any] = {
            "engine": self.name,
            "model": model,
            "condition": condition,
            "benchmark": benchmark,
            "formats": sorted({source.format for source in opened}),
            "sha256": {source.path: source.sha256 for source in opened},
            "n_recorded": n,
            "n_by_problem_id": 0,
            "n_other_prompt": 0,
        }

    def _add(self, frame: pl.DataFrame) -> int:
        """File a batch's traces under their names; how many there were."""
        frame = frame.filter(**self.only) if self.only else frame
        responses = frame["response"].fill_null("")
        known = annotate(frame.with_columns(loops.find(responses, Flat.of(responses))["loop_start"]))
        # The span goes along only where the source keeps reasoning apart: a text with tags tells it again.
        known = known.with_columns(frame["thinking_start"], frame["thinking_end"])
        for row in known.select(*KEPT, "problem_id", "benchmark").iter_rows(named=True):
            kept = {name: row[name] for name in KEPT}
            if row["problem_id"] is not None:
                arms = self.by_problem.setdefault(row["problem_id"], {}).setdefault(row["benchmark"], {})
                arms.setdefault(row["condition"], []).append(kept)
            if row["prompt"] is not None:
                self.by_prompt[row["prompt"]].append(kept)
        return len(known)

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """See `models.base.Engine.generate`."""
        if sampling.logprobs is not None:
            raise EngineError(
                "recorded responses come without log-probabilities; ask for none, or use --engine hf or vllm."
            )
        self.used |= {"sampling": {"as_recorded": True}, "asked_for": asdict(sampling)}
        for request in requests:
            rows = {row["sample"]: row for row in reversed(self._rows(request))}
            for sample in samples_of(request, sampling):
                yield _completion(request, sample, rows.get(sample), self.render(request))

    def _rows(self, request: Request) -> list[Row]:
        """The recorded samples of a request, from one arm."""
        shown = self.render(request)
        if shown in self.by_prompt:
            return self.by_prompt[shown]
        arms = self._arms(request.key, shown)
        turn = (request.messages[-1]["content"] if request.messages else shown).strip()
        prompts = {name: rows[0]["prompt"] for name, rows in arms.items()}
        fitting = [name for name, prompt in prompts.items() if prompt is not None and turn in prompt]
        if fitting:
            return arms[min(fitting, key=lambda name: len(prompts[name]))]
        unknown = all(prompt is None for prompt in prompts.values())
        if len(arms) > 1:
            raise EngineError(
                f"{self.source} holds {request.key!r} in several arms ({', '.join(map(str, arms))}), none with its prompt; "
                "choose one with --engine-option condition=NAME."
            )
        if arms and request.contextual and not self.any_prompt:
            raise EngineError(
                f"{self.source} holds {request.key!r}, but not behind this context: a recording of one prompt does not answer "
                "another. Take it all the same with --engine-option any_prompt=true."
            )
        self.used["n_other_prompt"] += bool(arms) and not unknown
        return next(iter(arms.values()), [])

    def _arms(self, key: str, shown: str) -> Arms:
        """The arms that hold a problem; none where it was not recorded."""
        names = [(key[:i], key[i + 1 :]) for i, sign in enumerate(key) if sign == "/"]
        for benchmark, problem in names:
            if benchmark in self.by_problem.get(problem, {}):
                return self.by_problem[problem][benchmark]
        for problem in (key, problem_hash(shown), *(problem for _, problem in names)):
            held = self.by_problem.get(problem, {})
            if len(held) > 1:
                raise EngineError(
                    f"{self.source} holds problem {problem!r} under several benchmarks ({', '.join(map(str, held))}), and "
                    f"{key!r} is none of them; choose one with --engine-option benchmark=NAME."
                )
            if held:
                self.used["n_by_problem_id"] += key != problem
                return next(iter(held.values()))
        return {}

    def render(self, request: Request) -> str:
        """The prompt as text: the recorded one is known only once it is found."""
        return request.text if request.text is not None else plain_text([dict(m) for m in request.messages]) or ""

    def count_tokens(self, texts: list[str]) -> list[int] | None:
        """None: there is no tokenizer."""
        return None

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


def _completion(request: Request, sample: int, row: Row | None, shown: str) -> Completion:
    fault = None
    if row is None:
        fault = f"sample {sample} of {request.key!r} was not recorded"
    elif row["status"] == "missing" or row["finish_reason"] == "error":
        fault = f"the text of sample {sample} of {request.key!r} was not recorded"
    elif not row["response"].startswith(request.prefix):
        fault = f"sample {sample} of {request.key!r} was recorded without the prefix that is asked for"
    if fault or row is None:
        return Completion(request.key, sample, shown, "", None, "error", error=fault)
    ended = REASONS.get(row["finish_reason"]) or ("length" if row["status"] == "truncated" else "stop")
    span = (row["thinking_start"], row["thinking_end"])
    return Completion(
        key=request.key,
        sample=sample,
        prompt=row["prompt"] if row["prompt"] is not None else shown,
        text=row["response"],
        token_ids=None,
        finish_reason=ended,
        n_tokens=row["n_tokens"],
        given=len(request.prefix),
        thinking=span if span[0] is not None and span[1] is not None else None,
    )
