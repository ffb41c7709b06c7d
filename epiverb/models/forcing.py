"""Thinking made longer or shorter while the hf engine decodes: processors that put tokens into a row's mouth.

    ForceThinking(tokenizer, sampling, phrase("wait"), times=2, ends=engine.eos)   # budget forcing
    StopThinking(tokenizer, budget=512, cue="**Final Answer**")                    # close the thinking, force the answer

They stand last among an engine's processors: what they force, nothing before them has a say in. Forced tokens are part of
the response and of its token ids; their log-probabilities are the model's own. `extra` tells how often (`n_stop_thinking`)
and where (`stop_thinking_at`, tokens of the response before it).

Source: Muennighoff et al., s1: Simple test-time scaling, arXiv 2501.19393, section 3.1. Ours differs: the end of the
thinking is not cut off after it was written, but replaced at the step at which it would be sampled, with the probability
that it has there under the temperature and truncation asked for; the distribution is the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from epiverb.errors import ConfigError, EngineError
from epiverb.models.base import Row, Sampling
from epiverb.models.choose import truncated
from epiverb.models.phrases import Phrase
from epiverb.models.seeds import uniform
from epiverb.text.thinking import FAMILIES, Tags


@dataclass
class Forced:
    """A sample as a forcing processor knows it."""

    source: random.Random
    queue: list[int] = field(default_factory=list)
    """Tokens to come, whatever the model says."""
    places: list[int] = field(default_factory=list)
    """Tokens of the response before each intervention."""
    length: int = -1
    """Tokens of the response at the last step."""


class Forcing:
    """What both have in common: rows, forced tokens, and the record. See `base.Processor`."""

    intervention = ""

    def __init__(self, tokenizer: Any, seed: int) -> None:
        self.tokenizer = tokenizer
        self.seed = seed
        self.n_samples = self.n_acted = 0
        self._rows: Sequence[Row] = ()
        self._forced: dict[tuple[str, int], Forced] = {}

    def begin(self, rows: Sequence[Row]) -> None:
        """Told which samples the rows of the next calls are; a sample that goes on keeps its state."""
        self._rows = tuple(rows)
        known = self._forced
        self._forced = {(row.key, row.sample): known.get((row.key, row.sample)) or self._new(row) for row in rows}

    def _new(self, row: Row) -> Forced:
        # Another stream than the one that chooses the tokens.
        return Forced(uniform(self.seed, f"{self.intervention}\x1f{row.key}", row.sample))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`scores` (B, V) with all but the forced token of a row impossible, where there is one."""
        if len(self._rows) != len(scores):
            raise EngineError(f"{self.intervention} needs an engine that tells the rows of a batch: --engine hf.")
        scores = scores.clone()
        states = [self._forced[row.key, row.sample] for row in self._rows]
        for row, state in zip(self._rows, states, strict=True):
            length = input_ids.shape[1] - row.start
            if length <= state.length:  # decoded once more from its beginning
                state = self._forced[row.key, row.sample] = self._new(row)
            state.length = length
        states = [self._forced[row.key, row.sample] for row in self._rows]
        self._plan(input_ids, scores, states)
        for i, state in enumerate(states):
            if state.queue:
                scores[i] = float("-inf")
                scores[i, state.queue.pop(0)] = 0.0
        return scores

    def _plan(self, input_ids: torch.Tensor, scores: torch.Tensor, states: list[Forced]) -> None:
        """Fill queues, and take from `scores` what must not be sampled."""
        raise NotImplementedError

    def _act(self, state: Forced, tokens: Sequence[int]) -> None:
        state.queue = list(tokens)
        state.places.append(state.length)

    def report(self, row: Row) -> dict[str, Any]:
        """What was done to a sample, for `Completion.extra`: flat."""
        state = self._forced[row.key, row.sample]
        self.n_samples += 1
        self.n_acted += len(state.places)
        name = self.intervention.replace("-", "_")
        return {
            f"n_{name}": len(state.places),
            f"{name}_at": state.places[0] if state.places else None,
            f"{name}_places": " ".join(map(str, state.places)),
        }

    def _record(self) -> dict[str, Any]:
        return {"intervention": self.intervention, "n_samples": self.n_samples, "n_acted": self.n_acted}


class ForceThinking(Forcing):
    """Budget forcing: the first `times` ends of the thinking become `phrase`.

    An end is the closing tag, or the end of the turn while the thinking is open. A response without thinking is left alone.

    Args:
        sampling: as the engine is asked to sample, which says how likely the end is.
        ends: ids that end a response by the generation config (`HF.eos`).

    Raises:
        EngineError: no closing tag is one token of this vocabulary.
    """

    intervention = "force-thinking"

    def __init__(
        self, tokenizer: Any, sampling: Sampling, phrase: Phrase, times: int = 1, ends: Iterable[int] = ()
    ) -> None:
        if times < 1 or not phrase.text:
            raise ConfigError("budget forcing needs a phrase with text, and a number of times of at least 1.")
        super().__init__(tokenizer, sampling.seed)
        self.sampling, self.phrase, self.times = sampling, phrase, times
        self._opening, self._closing = _tag_ids(tokenizer)
        own = () if tokenizer.eos_token_id is None else (tokenizer.eos_token_id,)
        self._ends = sorted({self._closing, *ends, *own})
        self._tokens = tokenizer.encode(phrase.text, add_special_tokens=False)

    def describe(self) -> dict[str, Any]:
        """For run.json."""
        return {**self._record(), "phrase": self.phrase.name, "phrase_text": self.phrase.text, "times": self.times}

    def report(self, row: Row) -> dict[str, Any]:
        """What was done to a sample, for `Completion.extra`: flat."""
        return {**super().report(row), "force_thinking_phrase": self.phrase.name}

    def _plan(self, input_ids: torch.Tensor, scores: torch.Tensor, states: list[Forced]) -> None:
        on = [i for i, s in enumerate(states) if not s.queue and len(s.places) < self.times]
        on = [i for i in on if self._thinks(input_ids[i])]
        if not on:
            return
        chance = self._chance(scores[on])
        for i, p in zip(on, chance, strict=True):
            if states[i].source.random() < p:
                self._act(states[i], self._tokens)
            else:
                scores[i, self._ends] = float("-inf")

    def _thinks(self, ids: torch.Tensor) -> bool:
        """Whether the last tag is an opening one."""
        opened, closed = ((ids == tag).nonzero() for tag in (self._opening, self._closing))
        return len(opened) > 0 and (len(closed) == 0 or bool(opened[-1] > closed[-1]))

    def _chance(self, scores: torch.Tensor) -> list[float]:
        """Probability that the next token of each row is an end."""
        ends = torch.tensor(self._ends, device=scores.device)
        if self.sampling.temperature == 0:
            return torch.isin(scores.argmax(-1), ends).double().tolist()
        probs, ids = truncated(scores / self.sampling.temperature, self.sampling)
        is_end = torch.isin(torch.arange(probs.shape[1], device=scores.device) if ids is None else ids, ends)
        return ((probs * is_end).sum(-1) / probs.sum(-1)).tolist()


class StopThinking(Forcing):
    """Closes a thinking that is still open after `budget` tokens, and begins the answer with `cue`.

    Args:
        tags: of the model's thinking; None: those that its vocabulary has, or `<think>`.
        before: what stands before the closing tag.
    """

    intervention = "stop-thinking"

    def __init__(
        self, tokenizer: Any, budget: int, cue: str = "", *, tags: Tags | None = None, before: str = "\n", seed: int = 0
    ) -> None:
        if budget < 0:
            raise ConfigError("a thinking budget in tokens is 0 or more.")
        super().__init__(tokenizer, seed)
        self.budget, self.cue = budget, cue
        self.tags = tags or _tags(tokenizer) or FAMILIES[0]
        self._tokens = tokenizer.encode(f"{before}{self.tags.closing}\n\n{cue}", add_special_tokens=False)

    def describe(self) -> dict[str, Any]:
        """For run.json."""
        return {**self._record(), "budget": self.budget, "closing": self.tags.closing, "cue": self.cue}

    def _plan(self, input_ids: torch.Tensor, scores: torch.Tensor, states: list[Forced]) -> None:
        for ids, state in zip(input_ids, states, strict=True):
            if state.length == self.budget and not state.places:
                text = self.tokenizer.decode(ids, skip_special_tokens=False)
                if text.rfind(self.tags.opening) > text.rfind(self.tags.closing):
                    self._act(state, self._tokens)


def _tags(tokenizer: Any) -> Tags | None:
    """The tags of which both are one token of the vocabulary, or None."""
    vocabulary = tokenizer.get_vocab()
    return next((tags for tags in FAMILIES if tags.opening in vocabulary and tags.closing in vocabulary), None)


def _tag_ids(tokenizer: Any) -> tuple[int, int]:
    tags = _tags(tokenizer)
    if tags is None:
        raise EngineError(
            "budget forcing needs a closing tag of the thinking that is one token, such as </think>; this vocabulary has "
            "none. Cut recorded traces at a fraction instead."
        )
    vocabulary = tokenizer.get_vocab()
    return vocabulary[tags.opening], vocabulary[tags.closing]
