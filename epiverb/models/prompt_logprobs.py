"""Scoring through prompt log-probabilities: what vLLM or a server says of tokens that are shown to it, the k best of each.

    scorer = PromptScorer(VLLM("Qwen/Qwen3-8B"))
    for scored in scorer.score([Item("t1", prompt_ids, response_ids)], k=20):
        scored["logprob"], scored["top_logprobs"]     # one row a token of the response

The whole distribution is not told, so there are no masses and no divergences, and entropy has bounds only
(`measures.tokens.entropy_bounds`). Ids are shown as they are; a server that takes text only must cut it into the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from epiverb.errors import ConfigError, EngineError
from epiverb.models.client import Refused
from epiverb.models.loading import vocabulary_of
from epiverb.models.scored import Array, Item, Pair, Scored

if TYPE_CHECKING:
    from epiverb.models.chat import Chat
    from epiverb.models.server import Server
    from epiverb.models.vllm import VLLM

AHEAD = 128
"""Items asked for at a time."""
Step = tuple[float, list[float], list[int]]
"""Log-probability of a token, those of the most likely ones in order, and their ids; -1 where only their text is told."""
Found = tuple[str, "list[Step] | str"]
"""Key, and a step for each token of prompt and response but the first, or why there are none."""


class PromptScorer:
    """Scores responses with an engine that tells log-probabilities of a prompt; the same two methods as `scorer.Scorer`.

    Args:
        engine: `VLLM`, or a `Server` with the option `template`.
        vocabulary: tokens that the model gives logits for. Default: as engine or template tell.
    """

    exact = False
    """Entropy is bounded, not known."""

    def __init__(self, engine: VLLM | Server, *, vocabulary: int | None = None) -> None:
        if engine.chat is None:
            raise ConfigError(
                "a server is scored with the tokenizer of its model. Pass --engine-option template=DIR|NAME, a folder or hub "
                "name with the tokenizer."
            )
        self.chat: Chat = engine.chat
        self.backend = _Shown(engine) if engine.name == "vllm" else _Asked(engine)  # type: ignore[arg-type]
        self.vocabulary = vocabulary or self.backend.vocabulary
        self.window = engine.window
        self.used: dict[str, Any] = {**engine.used, "projection": self.backend.how, "vocabulary": self.vocabulary}

    def fault(self, prompt: Sequence[int], response: Sequence[int]) -> str | None:
        """Why this cannot be scored, or None."""
        size, largest = len(prompt) + len(response), max((*prompt, *response), default=0)
        if not prompt:
            return "no prompt is known, so its first token stands behind nothing"
        if not response:
            return "no tokens"
        if self.window is not None and size >= self.window:  # one token has to be generated behind it
            return f"longer than the model: {size:,} tokens with the prompt, the window is {self.window:,}"
        if self.vocabulary is not None and largest >= self.vocabulary:
            return f"token id {largest} is not among the model's {self.vocabulary:,}: another tokenizer made it"
        return None

    def score(
        self, items: Iterable[Item], *, sets: Mapping[str, Sequence[int]] | None = None, k: int = 0
    ) -> Iterator[Scored]:
        """Each item's columns `logprob`, `top_logprobs` and `top_ids`, in any order.

        Raises:
            ConfigError: masses of `sets` are wanted, which need the whole distribution.
            EngineError: the engine is gone, or does not tell log-probabilities of a prompt.
        """
        if sets:
            raise ConfigError(f"--engine {self.used['engine']} does not tell the probability of sets of tokens.")
        waiting = iter(items)
        while block := list(islice(waiting, AHEAD)):
            faults = {one.key: self.fault(one.prompt, one.response) for one in block}
            yield from (Scored(key, fault=why) for key, why in faults.items() if why)
            good = {one.key: one for one in block if not faults[one.key]}
            for key, steps in self.backend.steps(list(good.values()), k):
                yield Scored(key, fault=steps) if isinstance(steps, str) else _scored(good[key], steps, k)

    def compare(
        self, pairs: Iterable[Pair], *, sets: Mapping[str, Sequence[int]] | None = None, divergences: bool = True
    ) -> Iterator[Scored]:
        """Each pair's `student_logprob`, `teacher_logprob` and `log_ratio`, once a context; raises as `score` does."""
        if divergences or sets:
            raise ConfigError(
                f"--engine {self.used['engine']} tells the most likely tokens only, and a divergence needs all. Use --engine hf."
            )
        waiting = iter(pairs)
        while block := list(islice(waiting, AHEAD)):
            asked = {
                f"{i}/{name}": Item(f"{i}/{name}", prompt, one.response)
                for i, one in enumerate(block)
                for name, prompt in {"": one.student, **one.teachers}.items()
            }
            found = {scored.key: scored for scored in self.score(asked.values())}
            for i, one in enumerate(block):
                yield from (_ratio(one.key, name, found[f"{i}/"], found[f"{i}/{name}"]) for name in one.teachers)


class _Shown:
    """vLLM in this process."""

    how = "vLLM's own, the most likely tokens only"

    def __init__(self, engine: VLLM) -> None:
        self.engine = engine
        self.vocabulary: int | None = engine.llm.llm_engine.model_config.get_vocab_size()

    def steps(self, items: list[Item], k: int) -> Iterator[Found]:
        """Steps of each item."""
        params = self.engine.vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=k, detokenize=False)
        prompts = [{"prompt_token_ids": [*one.prompt, *one.response]} for one in items]
        try:
            outputs = self.engine.llm.generate(prompts, params, use_tqdm=False)
        except ValueError as error:
            raise EngineError(f"vLLM refuses to score: {' '.join(str(error).split())[:300]}") from error
        for one, output in zip(items, outputs, strict=True):
            told = output.prompt_logprobs
            ids = (*one.prompt, *one.response)
            yield one.key, [_by_id({i: v.logprob for i, v in told[p].items()}, ids[p], k) for p in range(1, len(ids))]


class _Asked:
    """A server, in whichever of three ways it tells log-probabilities of a prompt."""

    WAYS = ("prompt_logprobs of token ids", "echo of token ids", "echo of text")

    def __init__(self, engine: Server) -> None:
        self.engine = engine
        self.tokenizer = engine.chat.tokenizer  # type: ignore[union-attr]
        self.vocabulary = vocabulary_of(engine.used["template"])
        self.how = self._way()

    def steps(self, items: list[Item], k: int) -> Iterator[Found]:
        """Steps of each item, as the answers come."""
        by_key = {one.key: (*one.prompt, *one.response) for one in items}
        bodies = [(key, self._body(self.how, list(ids), k)) for key, ids in by_key.items()]
        for key, answer in self.engine.post_all(bodies):
            if isinstance(answer, Refused):
                if answer.status in (400, 413, 422):
                    yield key, f"the server refused it: {answer}"
                    continue
                raise EngineError(f"the server refuses the request: {answer.status} {answer}")
            yield key, self._read(self.how, answer, by_key[key], k)

    def _way(self) -> str:
        """The first way in which a few tokens come back as they should."""
        ids, why = self.tokenizer.encode("So 1 + 1 is", add_special_tokens=False), []
        for way in self.WAYS:
            ((_, answer),) = self.engine.post_all([("probe", self._body(way, ids, 1))])
            read = str(answer) if isinstance(answer, Refused) else self._read(way, answer, ids, 1)
            if not isinstance(read, str):
                return way
            why.append(f"{way}: {read}")
        raise EngineError(
            f"the server tells no log-probabilities of a prompt ({'; '.join(why)}). Score with --engine hf or vllm, or with a "
            "server that does, such as vllm serve."
        )

    def _body(self, way: str, ids: list[int], k: int) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.engine.model, "prompt": ids, "temperature": 0}
        if way == self.WAYS[0]:
            return body | {"max_tokens": 1, "prompt_logprobs": k} | self.engine.body
        if way == self.WAYS[2]:
            body["prompt"] = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return body | {"max_tokens": 0, "echo": True, "logprobs": max(k, 1)} | self.engine.body

    def _read(self, way: str, answer: dict[str, Any], ids: Sequence[int], k: int) -> list[Step] | str:
        choice = answer["choices"][0]
        if way == self.WAYS[0]:
            told = choice.get("prompt_logprobs") or answer.get("prompt_logprobs") or []
            if len(told) != len(ids) or not all(
                str(i) in (step or {}) for i, step in zip(ids[1:], told[1:], strict=True)
            ):
                return "no log-probability of each token came back"
            steps = ({int(i): value["logprob"] for i, value in step.items()} for step in told[1:])
            return [_by_id(step, token, k) for step, token in zip(steps, ids[1:], strict=True)]
        block = choice.get("logprobs") or {}
        own, texts = (list(block.get(name) or [])[-len(ids) :] for name in ("token_logprobs", "tokens"))
        tops = list(block.get("top_logprobs") or [None] * len(own))[-len(ids) :]
        if not len(own) == len(texts) == len(tops) == len(ids) or any(value is None for value in own[1:]):
            return "no log-probability of each token came back"
        if not all(self._same(text, token) for text, token in zip(texts, ids, strict=True)):
            return "the server cuts its text into other tokens than it is stored with"
        # By text two tokens may share an entry; then fewer than k are left, and the position's bounds are unknown.
        return [
            (value, best := sorted((top or {}).values(), reverse=True)[:k], [-1] * len(best))
            for value, top in zip(own[1:], tops[1:], strict=True)
        ]

    def _same(self, text: str, token: int) -> bool:
        """Whether the server's name of a token can be this one; a part of a character has no name of its own."""
        own = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
        return "\ufffd" in own or text.startswith("bytes:") or text in (own, f"token_id:{token}")


def _by_id(step: Mapping[int, float], token: int, k: int) -> Step:
    best = sorted(step.items(), key=lambda item: -item[1])[:k]
    return step[token], [value for _, value in best], [i for i, _ in best]


def _scored(one: Item, steps: list[Step], k: int) -> Scored:
    """The columns of the response from the steps of prompt and response."""
    mine = steps[len(one.prompt) - 1 :]
    columns: dict[str, Array] = {
        "logprob": np.array([value for value, _, _ in mine], np.float32),
        "top_logprobs": np.array([best + [np.nan] * (k - len(best)) for _, best, _ in mine], np.float32).reshape(
            len(mine), k
        ),
        "top_ids": np.array([ids + [-1] * (k - len(ids)) for _, _, ids in mine], np.int64).reshape(len(mine), k),
    }
    return Scored(one.key, columns, n_unknown=int(np.isnan(columns["logprob"]).sum()))


def _ratio(key: str, context: str, student: Scored, teacher: Scored) -> Scored:
    if why := student.fault or teacher.fault:
        return Scored(key, fault=why, context=context)
    own, other = student["logprob"], teacher["logprob"]
    columns = {"student_logprob": own, "teacher_logprob": other, "log_ratio": other - own}
    return Scored(key, columns, n_unknown=int(np.isnan(columns["log_ratio"]).sum()), context=context)
