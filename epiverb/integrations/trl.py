"""Watch any trainer of TRL that has reward functions, without changing what it learns.

    rewards = observe([accuracy], "runs/grpo", tokenizer)
    trainer = GRPOTrainer(model, rewards, args=args, train_dataset=data, callbacks=rewards.callbacks)

The reward functions come back with one more behind them. It sees the same responses, returns None for each (TRL leaves it out
of the reward, whatever the weights), and records them with what the others gave. With `callbacks` the trainer's log is recorded
too, and probes are run; without, the rollouts are recorded all the same. `epiverb analyze runs/grpo` reads them at any time.
Reward weights in the trainer's arguments need one number more, of any value.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.io.raw import problem_hash
from epiverb.io.rows import as_string, plain
from epiverb.train import ranks
from epiverb.train.monitor import Monitor
from epiverb.train.watch import Rollout

if TYPE_CHECKING:
    from epiverb.models.base import Sampling
    from epiverb.text.lexicon import Lexicon
    from epiverb.train.probes import Probes

ACCURACY = re.compile(r"acc|correct|exact|solve|verif|math|answer|grade", re.I)
"""Names of reward functions whose 1 means right."""
PROBLEM = ("problem_id", "id", "task_id", "question_id", "unique_id")
GOLD = ("gold", "ground_truth", "answer", "target", "solution")
"""Columns of the data set, the first that is there."""


class Observed(list[Any]):
    """Reward functions of a trainer, the last of which observes. Made by `observe`."""

    def __init__(self, functions: Sequence[Any], monitor: Monitor, weights: Sequence[float] | None) -> None:
        self.monitor = monitor
        self.probes: Probes | None = None
        self._given: dict[str, list[float | None]] = {}
        wrapped = [self._remembering(function) for function in functions]
        super().__init__([*wrapped, Observer(monitor, self._given, weights)])

    @property
    def callbacks(self) -> list[Any]:
        """For the trainer: the record of its log, and probes."""
        return [self.monitor.callback(), *([self.probes] if self.probes else [])]

    def probe(
        self, *specs: str, every: int = 10, sampling: Sampling | None = None, seed: int = 0, **options: Any
    ) -> Observed:
        """With probes, such as `ood=math500:64`; `options` are those of `epiverb.train.probes.Probes`."""
        from epiverb.train.probes import Probes, load_probe

        probes = [load_probe(spec, seed=seed) for spec in specs]
        self.probes = Probes(self.monitor, probes, every=every, sampling=sampling, **options)
        return self

    def alarm(self, *alarms: str, say: Callable[[str], None] | None = None) -> Observed:
        """With alarms, such as `markers<0.5x`; default for `say`: the logger `epiverb`."""
        import logging

        from epiverb.train.alarms import Alarms

        self.monitor.listen(Alarms(alarms, self.monitor.out, say or logging.getLogger("epiverb").warning))
        return self

    def _remembering(self, function: Any) -> Any:
        """A reward function whose results the observer sees; a model, or one that runs at the same time, stays as it is."""
        plain_function = inspect.isfunction(function) or inspect.ismethod(function) or hasattr(function, "__name__")
        called = getattr(function, "__call__", None)  # noqa: B004
        if not plain_function or inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
            return function

        @functools.wraps(function)
        def remembered(*args: Any, **kwargs: Any) -> Any:
            given = function(*args, **kwargs)
            self._given[function.__name__] = list(given)
            return given

        return remembered


class Observer:
    """The reward function that rewards nothing: it records the responses it is shown."""

    __name__ = "epiverb"

    def __init__(self, monitor: Monitor, given: dict[str, list[float | None]], weights: Sequence[float] | None) -> None:
        self.monitor = monitor
        self._given, self._weights = given, weights
        self._step: int | None = None
        self._n = 0

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Sequence[Sequence[int]],
        trainer_state: Any = None, log_metric: Any = None, log_extra: Any = None, **columns: Any,
    ) -> list[None]:  # fmt: skip
        """None for each response, which TRL counts in no reward."""
        step = int(trainer_state.global_step) if trainer_state is not None else (self._step or 0)
        if self._step is None:
            self.monitor.begin(step)
        if step != self._step:
            self._step, self._n = step, 0
        arm = "rollout" if _trains(log_metric) else "eval"
        texts = [plain(prompt) for prompt in prompts]
        marked = self.monitor.mark(completion_ids, texts)
        known = _known(columns, texts)
        rows = [
            Rollout(
                f"{arm}-{step}-{ranks.rank()}-{self._n + i}", completion_ids[i], marked=marked[i], prompt=texts[i],
                condition=arm, truncated=not ended, **known[i], **self._judged(i),
            )
            for i, ended in enumerate(_ended(completion_ids, self.monitor.marks.eos))
        ]  # fmt: skip
        self._n += len(rows)
        self._given.clear()
        self.monitor.rollouts(step, rows)
        self.monitor.close_step(step)
        scalars = self.monitor.metrics()  # of all processes, so that each logs the same
        if log_metric is not None:
            for name, value in scalars.items():
                log_metric(name, value)
        if log_extra is not None:
            log_extra("epiverb_markers", [one.n_markers for one in marked])
        return [None] * len(rows)

    def _judged(self, row: int) -> dict[str, Any]:
        """What the other reward functions gave a response."""
        given = {name: values[row] for name, values in self._given.items()}
        if not given:
            return {}
        weights = self._weights or [1.0] * len(given)
        told = [weight * value for weight, value in zip(weights, given.values(), strict=False) if value is not None]
        named = [name for name in given if ACCURACY.search(name)] or (list(given) if len(given) == 1 else [])
        value = given[named[0]] if named else None
        right = {1.0: True, 0.0: False}.get(float(value)) if value is not None else None
        reason = f"the reward {named[0]}" if named else "no reward is an accuracy"
        several = {f"reward_{name}": value for name, value in given.items()} if len(given) > 1 else {}
        return {"reward": sum(told) if told else None, "correct": right, "grade_reason": reason, "extra": several}


def observe(
    reward_funcs: Any, out: str | Path, tokenizer: Any, *, lexicon: str | Lexicon = "epiverb-en", model: Any = None,
    weights: Sequence[float] | None = None,
) -> Observed:  # fmt: skip
    """The reward functions with an observer behind them, which records into `out` and rewards nothing.

    Args:
        reward_funcs: one or several, as for the trainer.
        out: folder of the record.
        tokenizer: the one that the trainer uses.
        lexicon: whose markers are counted.
        model: tells by its generation config what ends a response, where that is not the tokenizer's end token alone.
        weights: of the reward functions, where the recorded reward is to be their weighted sum; default: the plain sum.
    """
    functions = reward_funcs if isinstance(reward_funcs, list | tuple) else [reward_funcs]
    return Observed(functions, Monitor(out, tokenizer, lexicon, model=model), weights)


def _trains(log_metric: Any) -> bool:
    """Whether the trainer is training and not evaluating: both call reward functions, and neither says so."""
    model = getattr(getattr(log_metric, "__self__", None), "model", None)
    return bool(getattr(model, "training", True))


def _ended(ids: Sequence[Sequence[int]], eos: frozenset[int]) -> list[bool]:
    return [len(row) > 0 and int(row[-1]) in eos for row in ids]


def _known(columns: Mapping[str, Any], prompts: Sequence[str | None]) -> list[dict[str, Any]]:
    """Problem, gold answer and sample of each row, from columns of the data set; without an id the prompt's hash."""
    problem = next((columns[name] for name in PROBLEM if name in columns), None)
    gold = next((columns[name] for name in GOLD if name in columns), None)
    seen: Counter[str] = Counter()
    rows = []
    for i, prompt in enumerate(prompts):
        own = as_string(problem[i]) if problem is not None else None
        name = own if own is not None else problem_hash(prompt or "")
        row = {
            "problem_id": name,
            "gold": as_string(gold[i]) if gold is not None else None,
            # A problem's responses may lie on several processes; numbers need not be without gaps.
            "sample": seen[name] + ranks.rank() * len(prompts),
        }
        for column in ("benchmark", "domain"):
            if column in columns:
                row[column] = as_string(columns[column][i])
        seen[name] += 1
        rows.append(row)
    return rows
