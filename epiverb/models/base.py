"""The protocol behind every engine: prompts in, completions with tokens and log-probabilities out, as they finish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Message = dict[str, str]
FinishReason = Literal["stop", "length", "error"]


@dataclass(frozen=True)
class Sampling:
    """How to decode. What an engine cannot do is an error, never dropped in silence."""

    n: int = 1
    """Samples a request."""
    temperature: float = 1.0
    """0: greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0: off."""
    min_p: float = 0.0
    max_tokens: int = 2048
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    """None: none; 0: of the sampled token; k: of the k most likely tokens as well."""
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One prompt, sampled `Sampling.n` times."""

    key: str
    """The caller's name for it; comes back with each of its completions."""
    messages: tuple[Message, ...] = ()
    """A chat, rendered by the model's template..."""
    text: str | None = None
    """...or the prompt as it is, which goes before `messages` where both are given."""
    prefix: str = ""
    """What the response is made to begin with: continued, and part of the completion's text."""
    thinking: bool | None = None
    """Thinking on or off; None: as the template does by itself."""
    first: int = 0
    """Index of the first sample wanted (a continued run has the earlier ones)."""
    n: int | None = None
    """Samples of this request; None: `Sampling.n`."""
    contextual: bool = False
    """The messages show more than the question, so that a recorded answer to the question alone is none to them."""


@dataclass(frozen=True)
class Completion:
    """One sampled response."""

    key: str
    sample: int
    """Index among the samples of the request."""
    prompt: str
    """The prompt as the model was shown it, template included; where only a server knows it, the messages as text."""
    text: str
    """Exactly what was generated, thinking tags included, the end-of-turn token not; behind the request's `prefix`, and
    up to the stop string that ended it, where there are such."""
    token_ids: tuple[int, ...] | None
    """Ids of the generated tokens as sampled, the final end-of-turn token not and none of the prefix; None where a server
    does not tell. Those of a stop string stay, though its text goes."""
    finish_reason: FinishReason
    n_tokens: int | None = None
    """Generated tokens as the engine counts them."""
    logprobs: tuple[float, ...] | None = None
    """Natural log-probability of each token of `token_ids`, under the distribution before temperature and truncation
    unless `Engine.used` says otherwise."""
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] | None = None
    """For each token the most likely (id, log-probability), best first."""
    error: str | None = None
    """Why `finish_reason` is `error`."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What an intervention did to it: flat values, written into the run."""
    given: int = 0
    """Code points at the start of `text` that the request gave (its `prefix`): not sampled, and without token ids."""
    thinking: tuple[int, int] | None = None
    """Where a server keeps reasoning and answer apart: the span of the reasoning in `text`, which joins the two as
    `io.rows.joined` does. None: `text` has tags, or no thinking."""


@dataclass(frozen=True)
class Row:
    """One sample that is being decoded, as a `Processor` is told of it."""

    key: str
    """Of its request."""
    sample: int
    start: int
    """Column of `input_ids` where its response begins (a prefix included). The prompt is before it, padded on the left."""


class Processor(Protocol):
    """Changes logits while decoding: a `transformers.LogitsProcessor`, handed to the hf engine as `processors=[...]`.

    It is called with `input_ids` (rows x columns) and the raw logits in float32, before temperature and truncation.
    Two methods more are called where it has them.
    """

    def __call__(self, input_ids: Any, scores: Any) -> Any: ...

    def begin(self, rows: Sequence[Row]) -> None:
        """Optional: told which samples the rows of the next calls are, at the start of a batch and whenever finished
        rows have been dropped from it."""
        ...

    def report(self, row: Row) -> dict[str, Any]:
        """Optional: what it did to a sample that has finished; goes into `Completion.extra`."""
        ...


class Engine(Protocol):
    """A model that generates. Opened as a context manager: leaving it frees the model, or stops the workers."""

    name: str
    """`hf`, `vllm`, `server` or `replay`."""
    window: int | None
    """Tokens of prompt and response together; None where it is not known."""
    used: dict[str, Any]
    """The decoding parameters really used, after the first completion: what goes into `run.json`."""

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Completion]:
        """Completions as they finish: requests in any order, those of one request together and in the order of samples.

        Several requests may have one key (the gaps of an interrupted run); sample `j` of a key is then the same
        whichever request asks for it. A prompt that leaves no room in the window gives completions that are errors.

        Raises:
            EngineError: the engine is gone or cannot go on; what was yielded before stays valid.
        """
        ...

    def count_tokens(self, texts: list[str]) -> list[int] | None:
        """Tokens of each text without special tokens; None where the engine has no tokenizer."""
        ...

    def render(self, request: Request) -> str | None:
        """The prompt as the model would be shown it; None where only a server knows its template."""
        ...

    def __enter__(self) -> Engine: ...

    def __exit__(self, *exception: object) -> None: ...
