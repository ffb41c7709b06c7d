"""vLLM's offline engine gives what transformers gives, token by token."""

from __future__ import annotations

import pytest

from epiverb.errors import ConfigError
from epiverb.models import open_engine
from epiverb.models.base import Request, Sampling
from tests.with_vllm.conftest import alike

GREEDY = Sampling(temperature=0, max_tokens=64, logprobs=3)


def by_sample(completions):
    return {(completion.key, completion.sample): completion for completion in completions}


@pytest.fixture(scope="module")
def vllm(folder):
    with open_engine(
        "vllm", str(folder), dtype="float32", enforce_eager=True, distributed_executor_backend="uni"
    ) as engine:
        yield engine


@pytest.fixture(scope="module")
def hf(folder):
    with open_engine("hf", str(folder), dtype="float32") as engine:
        yield engine


def test_greedy_agrees_token_by_token(vllm, hf, requests):
    more = [
        Request("begun", messages=requests[0].messages, prefix="<think>\nWait,"),
        Request("plain", text="What is 2 + 2?"),
    ]
    theirs, ours = (by_sample(engine.generate([*requests, *more], GREEDY)) for engine in (vllm, hf))
    assert theirs.keys() == ours.keys()
    assert len(ours) == len(requests) + 2
    for key, own in ours.items():
        other = theirs[key]
        assert other.token_ids == own.token_ids, key
        assert (other.text, other.prompt, other.finish_reason) == (own.text, own.prompt, own.finish_reason)
        assert (other.n_tokens, other.given) == (own.n_tokens, own.given)
        assert other.logprobs == pytest.approx(own.logprobs, abs=1e-3)
        for step, known in zip(other.top_logprobs, own.top_logprobs, strict=True):
            assert alike(step, known)
    assert {one.finish_reason for one in ours.values()} == {"stop", "length"}
    assert vllm.used["eos_token_ids"] == hf.used["eos_token_ids"]
    assert vllm.used["sampling"]["temperature"] == 0


def test_a_sample_does_not_depend_on_where_its_request_begins(vllm, requests):
    sampling = Sampling(n=4, max_tokens=24, seed=7, top_k=20, top_p=0.95)
    whole = by_sample(vllm.generate(requests[:4], sampling))
    part = list(vllm.generate([Request("q1", messages=requests[1].messages, thinking=True, first=2, n=2)], sampling))
    assert [one.sample for one in part] == [2, 3]
    assert [one.token_ids for one in part] == [whole["q1", 2].token_ids, whole["q1", 3].token_ids]
    assert len({one.token_ids for one in whole.values()}) > 8


def test_stop_strings_end_the_text_and_not_the_tokens(vllm, hf, requests):
    sampling = Sampling(temperature=0, max_tokens=64, stop=("it", "Wa"))
    theirs, ours = (by_sample(engine.generate(requests, sampling)) for engine in (vllm, hf))
    for key, own in ours.items():
        assert (theirs[key].text, theirs[key].token_ids) == (own.text, own.token_ids)
        assert "it" not in own.text
        assert "Wa" not in own.text


def test_a_prompt_without_room_is_counted_and_a_limit_is_cut_to_the_window(vllm):
    long = Request("long", text="Wait, " * 400)
    tight = Request("tight", text="Wait, " * 100)
    failed, short = sorted(vllm.generate([long, tight], Sampling(max_tokens=4096)), key=lambda one: one.key)
    assert failed.finish_reason == "error"
    assert "no room in the window of 512" in failed.error
    assert short.finish_reason in ("stop", "length")


def test_what_vllm_does_not_know_is_one_line(folder, vllm):
    with pytest.raises(ConfigError, match="does not take these options"):
        open_engine("vllm", str(folder), no_such_option=1)
    with pytest.raises(ConfigError, match="does not take these sampling parameters"):
        list(vllm.generate([Request("q", text="What")], Sampling(top_p=7.0)))
