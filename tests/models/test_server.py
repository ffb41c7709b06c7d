"""The server engine against a small HTTP server of our own, which can be full, slow, broken, strict, and gone."""

from __future__ import annotations

import json
import threading
import time

import pytest

from epiverb.errors import ConfigError, EngineError
from epiverb.models import open_engine
from epiverb.models.base import Request, Sampling
from epiverb.models.seeds import base
from tests.models.fake_server import Fake
from tests.models.tiny import tiny_model

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def fake():
    server = Fake()
    yield server
    server.close()


def opened(fake, **options):
    return open_engine("server", "tiny", base_url=fake.url, **{"retry_delay": 0.01, **options})


def requests(n=3, **more):
    return [Request(f"q{i}", messages=({"role": "user", "content": f"What is {i}?"},), **more) for i in range(n)]


def run(engine, asked, sampling):
    kept = []
    error = None
    try:
        for completion in engine.generate(asked, sampling):
            kept.append(completion)
    except EngineError as caught:
        error = str(caught)
    return kept, error


def test_every_sample_comes_with_a_seed_of_its_own(fake):
    sampling = Sampling(n=3, temperature=0.6, top_p=0.95, max_tokens=77, seed=4, stop=("END",))
    kept, error = run(engine := opened(fake), requests(), sampling)
    assert error is None
    assert sorted((one.key, one.sample, one.text) for one in kept) == [
        (f"q{i}", j, f"seed {base(4, f'q{i}') + j}") for i in range(3) for j in range(3)
    ]
    path, body = min(fake.asked, key=lambda asked: (asked[1]["messages"][0]["content"], asked[1]["seed"]))
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "tiny", "n": 1, "temperature": 0.6, "top_p": 0.95, "max_tokens": 77, "seed": base(4, "q0"), "stop": ["END"],
        "messages": [{"role": "user", "content": "What is 0?"}],
    }  # fmt: skip
    one = kept[0]
    assert (one.finish_reason, one.n_tokens, one.token_ids, one.thinking) == ("stop", 5, None, None)
    assert one.prompt == f"What is {one.key[1]}?"
    assert engine.used["answered_by"] == "tiny-2026"
    assert engine.used["sampling"]["top_p"] == 0.95


def test_samples_asked_for_together_are_those_asked_for_alone(fake):
    alone, _ = run(opened(fake), requests(), Sampling(n=5))
    together, _ = run(opened(fake, per_call=4), requests(), Sampling(n=5))
    later, _ = run(opened(fake, per_call=4), [Request("q1", requests()[1].messages, first=3, n=2)], Sampling(n=5))
    assert {(one.key, one.sample): one.text for one in alone} == {(one.key, one.sample): one.text for one in together}
    assert [one.text for one in later] == [
        one.text for one in sorted(alone, key=lambda one: one.sample) if one.key == "q1"
    ][3:]
    assert sorted(body["n"] for _, body in fake.asked[15:21]) == [1, 1, 1, 4, 4, 4]


def test_a_server_that_does_not_know_n_is_asked_again(fake):
    fake.answer = lambda body: Fake.chat({**body, "n": 1})
    kept, error = run(opened(fake, per_call=3), requests(1), Sampling(n=3))
    assert error is None
    assert [one.text for one in kept] == [f"seed {base(0, 'q0') + j}" for j in range(3)]


@pytest.mark.parametrize(
    "trouble",
    [
        [(429, {"error": {"message": "slow down"}})],
        [(500, b"oops"), (503, {"detail": "loading"}), (502, b"")],
        [b"{broken", b"[]", b'{"choices": []}'],
        ["hang up", "half"],
    ],
)
def test_what_passes_is_tried_again(fake, trouble):
    fake.script = list(trouble)
    kept, error = run(engine := opened(fake, concurrency=1), requests(), Sampling(n=2))
    assert error is None
    assert len({(one.key, one.sample) for one in kept}) == 6
    assert len(fake.asked) == 6 + len(trouble)
    assert engine.used["n_retries"] == len(trouble)


def test_a_slow_answer_times_out_and_is_asked_for_again(fake):
    fake.script = [2.0]
    kept, error = run(opened(fake, timeout=0.3, concurrency=1), requests(1), Sampling())
    assert error is None
    assert len(kept) == 1
    assert len(fake.asked) == 2


def test_the_server_says_how_long_to_wait(fake):
    fake.script = [(429, {"error": "full"}, {"Retry-After": "0.6"})]
    run(opened(fake, concurrency=1), requests(2), Sampling())
    assert fake.times[1] - fake.times[0] >= 0.6
    assert fake.times[2] - fake.times[1] < 0.5


def test_waits_grow_between_tries(fake):
    fake.script = [(500, b"")] * 4
    run(opened(fake, retry_delay=0.1, retries=4), requests(1), Sampling())
    gaps = [late - early for early, late in zip(fake.times, fake.times[1:], strict=False)]
    for gap, whole in zip(gaps, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert whole / 2 <= gap < whole + 0.4


def test_no_more_at_a_time_and_a_minute_than_wanted(fake):
    fake.answer = lambda body: time.sleep(0.05) or Fake.chat(body)
    run(opened(fake, concurrency=3), requests(12), Sampling())
    assert fake.most == 3
    began = time.monotonic()
    run(opened(fake, concurrency=8, requests_per_minute=1200), requests(8), Sampling())
    assert fake.times[-1] - began >= 7 * 60 / 1200  # a slow machine makes it longer, nothing makes it shorter


def test_gone_for_good_is_one_line_and_what_came_is_kept(fake):
    whole = threading.Event()

    def last(body):
        whole.set()
        return Fake.chat(body)

    fake.script = [None, None, None, None, last] + ["hang up"] * 100
    kept, error = run(opened(fake, concurrency=1, retries=2), requests(4), Sampling(n=2))
    assert whole.is_set()
    assert [(one.key, one.sample) for one in kept] == [("q0", 0), ("q0", 1), ("q1", 0), ("q1", 1), ("q2", 0)]
    assert "failed 3 times in a row" in error
    assert "the same command goes on from it" in error
    assert "\n" not in error
    assert len(fake.asked) == 8


def test_no_server_and_no_such_model_are_one_line(fake):
    with pytest.raises(EngineError, match="no model 'large'; it has: tiny"):
        open_engine("server", "large", base_url=fake.url)
    fake.close()
    with pytest.raises(EngineError, match=r"no server answers at http://127.0.0.1:\d+/v1"):
        opened(fake)


def test_a_request_at_fault_is_not_tried_again(fake, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    fake.script = [(401, {"error": {"message": f"Incorrect key {KEY}"}})]
    _, error = run(engine := opened(fake), requests(1), Sampling())
    assert "401 Incorrect key ***" in error
    assert len(fake.asked) == 1
    fake.script = [(400, {"error": {"message": "Unrecognized request argument: min_p"}})]
    _, error = run(opened(fake), requests(1), Sampling(min_p=0.1))
    assert "Unrecognized request argument: min_p (a field it does not know is left out by body)" in error
    fake.script = [(429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})]
    _, error = run(opened(fake), requests(1), Sampling())
    assert "You exceeded your quota" in error
    assert KEY not in json.dumps(engine.used)
    assert engine.used["key_env"] == "OPENAI_API_KEY"


def test_a_prompt_that_is_too_long_is_counted(fake):
    fake.script = [(400, {"error": {"message": "This model's maximum context length is 512 tokens.", "code": "x"}})]
    kept, error = run(opened(fake, concurrency=1), requests(2), Sampling(n=2))
    assert error is None
    assert [one.finish_reason for one in kept].count("error") == 1
    assert "maximum context length is 512" in next(one.error for one in kept if one.error)
    assert len(kept) == 4


def test_the_key_is_sent_and_its_variable_must_be_set(fake, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    run(opened(fake), requests(1), Sampling())
    assert "Authorization" not in fake.headers[-1]
    monkeypatch.setenv("LAB_KEY", KEY)
    run(opened(fake, key_env="LAB_KEY"), requests(1), Sampling())
    assert fake.headers[-1]["Authorization"] == f"Bearer {KEY}"
    monkeypatch.delenv("LAB_KEY")
    with pytest.raises(ConfigError, match="LAB_KEY, which is to hold the key, is not set"):
        opened(fake, key_env="LAB_KEY")


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_kept_apart_is_joined_and_its_place_told(fake, field):
    def answer(body):
        message = {field: "Wait, maybe 4.", "content": "4"}
        return {"choices": [{"message": message, "finish_reason": "length"}], "usage": {"completion_tokens": 9}}

    fake.answer = answer
    (one,), _ = run(opened(fake), requests(1, thinking=True), Sampling())
    assert one.text == "Wait, maybe 4.\n\n4"
    assert one.text[slice(*one.thinking)] == "Wait, maybe 4."
    assert one.finish_reason == "length"
    assert fake.asked[-1][1]["chat_template_kwargs"] == {"enable_thinking": True}


def test_an_end_that_is_none_is_an_error(fake):
    fake.answer = lambda body: {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}
    (one,), _ = run(opened(fake), requests(1), Sampling())
    assert (one.finish_reason, one.error, one.text) == ("error", "the server ended it with 'content_filter'", "")


def test_open_servers_are_told_everything():
    fake = Fake("vllm", window=512)
    engine = opened(fake)
    run(engine, requests(1), Sampling(max_tokens=9))
    body = fake.asked[-1][1]
    assert {name: body[name] for name in ("top_k", "min_p", "repetition_penalty", "skip_special_tokens", "return_token_ids")} == {
        "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "skip_special_tokens": False, "return_token_ids": True,
    }  # fmt: skip
    assert engine.window == 512
    fake.script = [(400, {"error": {"message": "max_tokens is too large: 600"}})]
    kept, _ = run(engine, requests(1), Sampling(max_tokens=600))
    assert fake.asked[-1][1]["max_tokens"] is None
    assert kept[0].finish_reason == "stop"
    fake.close()


def test_fields_can_be_renamed_added_and_left_out(fake):
    engine = opened(fake, limit_field="max_completion_tokens", body={"seed": None, "reasoning_effort": "high"})
    fake.answer = lambda body: Fake.chat({**body, "seed": 0})
    run(engine, requests(1), Sampling(max_tokens=9, top_k=20))
    body = fake.asked[-1][1]
    assert "seed" not in body
    assert "max_tokens" not in body
    assert (body["max_completion_tokens"], body["reasoning_effort"], body["top_k"]) == (9, "high", 20)


def test_log_probabilities_of_both_endpoints(fake):
    chat = {"content": [{"token": "4", "logprob": -0.5, "top_logprobs": [{"token": "token_id:9", "logprob": -0.5}]}]}
    fake.answer = lambda body: {"choices": [{"message": {"content": "4"}, "finish_reason": "stop", "logprobs": chat}]}
    (one,), _ = run(opened(fake), requests(1), Sampling(logprobs=1))
    assert (one.logprobs, one.top_logprobs) == ((-0.5,), (((9, -0.5),),))
    assert (fake.asked[-1][1]["logprobs"], fake.asked[-1][1]["top_logprobs"]) == (True, 1)
    plain = {"tokens": ["4"], "token_logprobs": [-0.5], "top_logprobs": [{"token_id:3": -2.0, "token_id:9": -0.5}]}
    fake.answer = lambda body: {"choices": [{"text": "4", "finish_reason": "stop", "logprobs": plain}]}
    (one,), _ = run(opened(fake, plain=True), requests(1), Sampling(logprobs=2))
    assert (one.text, one.logprobs, one.top_logprobs) == ("4", (-0.5,), (((9, -0.5), (3, -2.0)),))
    assert fake.asked[-1] == ("/v1/completions", fake.asked[-1][1])
    assert (fake.asked[-1][1]["prompt"], fake.asked[-1][1]["logprobs"]) == ("What is 0?", 2)
    fake.answer = Fake.chat
    _, error = run(opened(fake), requests(1), Sampling(logprobs=0))
    assert "sent no log-probabilities" in error
    chat["content"][0]["top_logprobs"][0]["token"] = "four"
    fake.answer = lambda body: {"choices": [{"message": {"content": "4"}, "finish_reason": "stop", "logprobs": chat}]}
    _, error = run(opened(fake), requests(1), Sampling(logprobs=1))
    assert "no token id can be told" in error


def test_prompts_rendered_here_are_sent_as_ids(fake, tmp_path):
    folder = tiny_model(tmp_path / "qwen3", layers=1)
    fake.answer = lambda body: {"choices": [{"text": " 4", "finish_reason": "stop"}]}
    engine = opened(fake, template=str(folder), window=64)
    asked = requests(1, thinking=False, prefix="Wait,")
    kept, _ = run(engine, [*asked, Request("long", text="Wait " * 99)], Sampling(max_tokens=500))
    good, failed = sorted(kept, key=lambda one: one.key, reverse=True)
    assert (good.text, good.given) == ("Wait, 4", 5)
    assert good.prompt.endswith("assistant\n<think>\n\n</think>\n\n")
    sent = fake.asked[-1][1]
    assert sent["prompt"] == list(engine.chat.encode(asked[0]).ids)
    assert sent["max_tokens"] == 64 - len(sent["prompt"])
    assert "no room in the window of 64" in failed.error
    assert len(fake.asked) == 1
    assert engine.count_tokens(["Wait"]) == [1]
    assert opened(fake).count_tokens(["Wait"]) is None
    assert opened(fake).render(asked[0]) is None


def test_what_the_server_cannot_do_is_one_line(fake):
    _, error = run(opened(fake), requests(1, prefix="Wait,"), Sampling())
    assert "cannot go on from a response that has begun" in error
    assert fake.asked == []


def test_a_caller_who_has_seen_enough_stops_it(fake):
    fake.answer = lambda body: time.sleep(0.02) or Fake.chat(body)
    stream = opened(fake, concurrency=2).generate(requests(200), Sampling())
    next(stream)
    stream.close()
    n = len(fake.asked)
    time.sleep(0.2)
    assert len(fake.asked) == n < 50
