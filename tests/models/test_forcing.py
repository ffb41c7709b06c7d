"""Thinking that is made to go on, or to stop: at the token asked for, with the end's own probability, in every batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from epiverb.errors import ConfigError, EngineError
from epiverb.models.base import Request, Row, Sampling
from epiverb.models.forcing import ForceThinking, StopThinking
from epiverb.models.hf import HF
from epiverb.models.phrases import phrase
from tests.models.tiny import tiny_model, tiny_tokenizer
from tests.models.vocabularies import tokenizer


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> HF:
    """A model that closes its thinking often, and is asked with the thinking open."""
    folder = tiny_model(tmp_path_factory.mktemp("tiny") / "r1", family="r1", likely={"</think>": 5.0})
    return HF(str(folder), device="cpu")


ASK = [Request(key, ({"role": "user", "content": f"What is {key} + 30?"},)) for key in ("12", "7")]


def sampled(engine: HF, acts: Any, **sampling: Any) -> list[Any]:
    engine.processors = [acts] if acts else []
    asked = Sampling(**{"n": 6, "max_tokens": 60, "seed": 1, **sampling})
    return sorted(engine.generate(ASK, asked), key=lambda c: (c.key, c.sample))


def forced(engine: HF, times: int, **sampling: Any) -> ForceThinking:
    asked = Sampling(**{"n": 6, "max_tokens": 60, "seed": 1, **sampling})
    return ForceThinking(engine.tokenizer, asked, phrase("wait"), times, engine.eos)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_the_first_ends_of_the_thinking_become_the_phrase(engine: HF, times: int) -> None:
    wait = engine.tokenizer.encode("Wait", add_special_tokens=False)
    closing = engine.tokenizer.convert_tokens_to_ids("</think>")
    acts = forced(engine, times)
    done = sampled(engine, acts)
    for completion in done:
        places = [int(p) for p in completion.extra["force_thinking_places"].split()]
        assert len(places) == completion.extra["n_force_thinking"] <= times
        for place in places:
            assert list(completion.token_ids[place : place + len(wait)]) == wait
        if closing in completion.token_ids:
            assert completion.extra["n_force_thinking"] == times
            assert completion.token_ids.index(closing) > places[-1]
    assert max(c.extra["n_force_thinking"] for c in done) == times
    assert acts.describe()["n_acted"] == sum(c.extra["n_force_thinking"] for c in done)


def test_greedy_decoding_is_the_same_up_to_the_end_of_the_thinking(engine: HF) -> None:
    plain = sampled(engine, None, temperature=0.0, n=1)
    acted = sampled(engine, forced(engine, 1, temperature=0.0), temperature=0.0, n=1)
    closing = engine.tokenizer.convert_tokens_to_ids("</think>")
    for a, b in zip(plain, acted, strict=True):
        end = a.token_ids.index(closing)
        assert a.token_ids[:end] == b.token_ids[:end]
        assert b.extra["force_thinking_at"] == end


def test_an_end_is_replaced_as_often_as_it_would_have_been_sampled() -> None:
    own = tiny_tokenizer("r1")
    opening, closing = own.convert_tokens_to_ids(["<think>", "</think>"])
    scores = torch.zeros(1, len(own))
    scores[0, closing] = 4.0
    sampling = Sampling(temperature=0.8, top_p=0.9, top_k=50)
    from epiverb.models.choose import truncated

    probs, ids = truncated(scores / 0.8, sampling)
    expected = (probs[ids == closing].sum() / probs.sum()).item()
    assert 0.05 < expected < 0.95
    acts = ForceThinking(own, sampling, phrase("wait"), 1)
    n = 4000
    acts.begin([Row("k", j, 1) for j in range(n)])
    out = acts(torch.full((n, 1), opening), scores.expand(n, -1))
    share = torch.isinf(out).sum(-1).gt(5).float().mean().item()
    assert abs(share - expected) < 3 * (expected * (1 - expected) / n) ** 0.5
    kept = out[torch.isinf(out).sum(-1) <= 5]
    assert torch.isinf(kept[:, closing]).all()  # where it was not replaced, it was not sampled


def test_a_sample_is_forced_alike_in_any_batch(engine: HF) -> None:
    whole = sampled(engine, forced(engine, 2))
    engine.processors = [forced(engine, 2)]
    (alone,) = engine.generate([Request("7", ASK[1].messages, first=3, n=1)], Sampling(n=6, max_tokens=60, seed=1))
    assert alone.text == next(c.text for c in whole if (c.key, c.sample) == ("7", 3))


def test_a_response_that_does_not_think_is_left_alone(engine: HF) -> None:
    engine.processors = []
    request = Request("x", text="So the answer", n=4)
    plain = [c.token_ids for c in engine.generate([request], Sampling(max_tokens=40))]
    engine.processors = [ForceThinking(engine.tokenizer, Sampling(max_tokens=40), phrase("wait"), 3, engine.eos)]
    acted = list(engine.generate([request], Sampling(max_tokens=40)))
    assert [c.token_ids for c in acted if c.extra["n_force_thinking"] == 0] == plain


@pytest.mark.parametrize("budget", [0, 3, 10])
def test_an_open_thinking_is_closed_at_its_budget(engine: HF, budget: int) -> None:
    plain = sampled(engine, None)
    acts = StopThinking(engine.tokenizer, budget, "The answer is")
    done = sampled(engine, acts)
    put_in = engine.tokenizer.encode("\n</think>\n\nThe answer is", add_special_tokens=False)
    closing = engine.tokenizer.convert_tokens_to_ids("</think>")
    for before, after in zip(plain, done, strict=True):
        if len(before.token_ids) < budget or closing in before.token_ids[:budget]:
            assert after.extra["n_stop_thinking"] == 0
            assert after.token_ids == before.token_ids
        else:
            assert after.extra["stop_thinking_at"] == budget
            assert after.token_ids[:budget] == before.token_ids[:budget]
            assert list(after.token_ids[budget : budget + len(put_in)]) == put_in
    assert acts.describe()["n_acted"] > 0


def test_what_cannot_be_forced_is_refused() -> None:
    own = tiny_tokenizer("olmo3")
    with pytest.raises(EngineError, match="one token"):
        ForceThinking(own, Sampling(), phrase("wait"))
    StopThinking(own, 5)  # by text: possible
    with pytest.raises(ConfigError, match="phrase with text"):
        ForceThinking(tokenizer("byte-level"), Sampling(), phrase("none"))
    with pytest.raises(ConfigError, match="0 or more"):
        StopThinking(own, -1)
    acts = StopThinking(own, 5)
    with pytest.raises(EngineError, match="--engine hf"):
        acts(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, len(own)))


def test_several_interventions_each_leave_their_record(engine: HF) -> None:
    from epiverb.models.steering import processor, steer
    from tests.models.test_steering import MARKERS

    stop = StopThinking(engine.tokenizer, 30)
    engine.processors = [processor(steer(MARKERS, "ban"), engine.tokenizer, engine.eos), forced(engine, 1), stop]
    done = list(engine.generate(ASK, Sampling(n=6, max_tokens=60, seed=1)))
    for completion in done:
        assert completion.extra.keys() >= {
            "steering",
            "n_steered",
            "steered_mass",
            "n_force_thinking",
            "n_stop_thinking",
        }
    assert sum(c.extra["n_force_thinking"] for c in done) == engine.processors[1].describe()["n_acted"] > 0
    assert sum(c.extra["n_stop_thinking"] for c in done) == stop.describe()["n_acted"]
