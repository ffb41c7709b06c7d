"""Beliefs by sampling: answers drawn behind every place of a trace, grouped with the candidates by equality."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from epiverb.graders.equivalence import group
from epiverb.measures.base import Column
from epiverb.models.base import Request, Sampling
from epiverb.models.stems import Stem
from epiverb.verbs.beliefs.candidates import Candidates
from epiverb.verbs.beliefs.trace import Told

LONGEST = 64
"""Tokens of a sampled answer."""
NOTHING = "nothing that was sampled is an answer"


def sampled(
    engine: Any, prompt: str, cut: Iterable[str], closing: str, stem: Stem, found: Candidates, key: str, *,
    rollouts: int, seed: int = 0, temperature: float = 1.0,
) -> Told | str:  # fmt: skip
    """Beliefs from `rollouts` answers behind each of the broken-off thinkings; or why there are none.

    An answer that equals no candidate is one itself, right where it equals the gold answer. What is cut off before the
    stem's end, or empty, is no answer and not counted.

    Args:
        engine: any `models.base.Engine`.
        cut: the response up to each place.
    """
    stop = (stem.end,) if stem.end else ("\n",)
    sampling = Sampling(n=rollouts, temperature=temperature, max_tokens=LONGEST, stop=stop, seed=seed)
    ask = stem.lead + closing + stem.text
    requests = [Request(f"{key}/{n}", text=prompt, prefix=part + ask) for n, part in enumerate(cut)]
    answers: list[list[str]] = [[] for _ in requests]
    for told in engine.generate(requests, sampling):
        if told.finish_reason != "stop":
            continue
        answer = told.text[told.given :].strip()
        if answer:
            answers[int(told.key.rpartition("/")[2])].append(answer)
    if not all(answers):
        return NOTHING
    every = [answer for own in answers for answer in own]
    places = group([[*found.texts, *every]]).of[0]
    texts: dict[int, str] = {}
    for place, text in zip(places, [*found.texts, *every], strict=True):
        texts.setdefault(place or 0, text)
    p = _shares(answers, [place or 0 for place in places[len(found.texts) :]], len(texts))
    right = {place for place, is_right in zip(places, found.right, strict=False) if is_right}
    own = found.own.get(key)
    unknown = np.full(len(p), np.nan)
    return Told(
        p, None, np.array([len(told) for told in answers]), unknown, unknown, np.zeros(len(p), np.int64),
        tuple(texts[place] for place in range(len(texts))), tuple(place in right for place in range(len(texts))),
        None if own is None else places[own],
    )  # fmt: skip


def _shares(answers: list[list[str]], places: list[int], count: int) -> Column:
    p = np.zeros((len(answers), count))
    row = np.repeat(np.arange(len(answers)), [len(own) for own in answers])
    np.add.at(p, (row, np.array(places)), 1)
    return p / p.sum(1, keepdims=True)
