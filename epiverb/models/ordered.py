"""Completions in the order that the protocol promises, from engines that finish them in any."""

from __future__ import annotations

from epiverb.models.base import Completion, Request, Sampling


def samples_of(request: Request, sampling: Sampling) -> tuple[int, ...]:
    """Indices of the samples that `request` asks for."""
    return tuple(range(request.first, request.first + (sampling.n if request.n is None else request.n)))


class Together:
    """Holds completions until all samples of their request are there."""

    def __init__(self) -> None:
        self._missing: dict[int, set[int]] = {}
        self._held: dict[int, list[Completion]] = {}

    def expect(self, place: int, samples: tuple[int, ...]) -> None:
        """The request at `place` (any number of its own) is to have these samples."""
        self._missing[place] = set(samples)
        self._held[place] = []

    def take(self, place: int, *completions: Completion) -> list[Completion]:
        """The request's completions in order once the last one has come, else none."""
        self._held[place] += completions
        self._missing[place] -= {completion.sample for completion in completions}
        if self._missing[place]:
            return []
        del self._missing[place]
        return sorted(self._held.pop(place), key=lambda completion: completion.sample)

    def rest(self) -> list[Completion]:
        """What came of requests that never got whole: kept when an engine is gone."""
        held = [sorted(part, key=lambda completion: completion.sample) for part in self._held.values()]
        self._held.clear()
        return [completion for part in held for completion in part]


def refused(request: Request, samples: tuple[int, ...], prompt: str, error: str) -> list[Completion]:
    """An error for each sample: the prompt cannot be decoded at all."""
    return [Completion(request.key, sample, prompt, "", (), "error", 0, error=error) for sample in samples]


def too_long(tokens: int, window: int) -> str:
    """Why a prompt is refused: nothing is cut from it in silence."""
    return f"the prompt has {tokens} tokens, which leaves no room in the window of {window}"
