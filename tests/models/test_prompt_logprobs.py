"""Scoring through prompt log-probabilities equals full logits, in each way a server has of telling them; and what it cannot tell."""

from __future__ import annotations

import json

import numpy as np
import pytest

from epiverb.errors import ConfigError, EngineError
from epiverb.measures.tokens import entropy_bounds
from epiverb.models import open_engine
from epiverb.models.prompt_logprobs import PromptScorer
from epiverb.models.scorer import Item, Pair, Scorer
from epiverb.run import Run
from tests.models.test_server import Fake
from tests.models.tiny import tiny_model
from tests.sample.conftest import epiverb, model, problems
from tests.score.conftest import run, sampled

torch = pytest.importorskip("torch")
__all__ = ["epiverb", "model", "problems", "run", "sampled"]
TEXTS = ("So 2 + 2 = 4. Wait, maybe 5.", "设 😀 naïve", "x")


class Telling:
    """Answers of a server over a model folder, each log-probability from one forward pass; `ways` it knows."""

    def __init__(self, folder, ways):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.net, self.tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        self.ways = ways

    def __call__(self, body):
        ids, k = body["prompt"], body.get("prompt_logprobs", body.get("logprobs"))
        if isinstance(ids, str):
            ids = self.tokenizer.encode(ids, add_special_tokens=False)
        with torch.no_grad():
            table = self.net(torch.tensor([ids])).logits[0].log_softmax(-1)
        best = table.topk(k, -1)
        choice = {"index": 0, "text": "", "finish_reason": "length"}
        steps = [
            {best.indices[p, r].item(): best.values[p, r].item() for r in range(k)} | {i: table[p, i].item()}
            for p, i in enumerate(ids[1:])
        ]
        if "prompt_logprobs" in body and "ids" in self.ways:
            told = [{str(i): {"logprob": v, "rank": 1} for i, v in step.items()} for step in steps]
            choice["prompt_logprobs"] = [None, *told]
        elif body.get("echo") and (isinstance(body["prompt"], str) or "echo" in self.ways):
            names = [self.tokenizer.decode([i]) for i in ids]
            tops = [{self.tokenizer.decode([i]): v for i, v in step.items()} for step in steps]
            own = [table[p, i].item() for p, i in enumerate(ids[1:])]
            choice["logprobs"] = {"tokens": names, "token_logprobs": [None, *own], "top_logprobs": [None, *tops]}
        return {"model": "tiny", "choices": [choice]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "qwen3", window=256)


@pytest.fixture
def told(folder):
    """Opens a scorer over a server that knows some ways."""
    servers = []

    def opened(*ways, answer=None, window=256):
        servers.append(fake := Fake("vllm" if "ids" in ways else "somebody", window=window))
        fake.answer = answer or Telling(folder, ways)
        engine = open_engine("server", "tiny", base_url=fake.url, template=str(folder), retry_delay=0.01)
        return fake, PromptScorer(engine)

    yield opened
    for server in servers:
        server.close()


def items(scorer):
    encode = scorer.chat.tokenizer.encode
    prompt = tuple(encode("<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n"))
    return [Item(f"t{i}", prompt, tuple(encode(text))) for i, text in enumerate(TEXTS)]


@pytest.mark.parametrize(
    ("ways", "how"),
    [(("ids",), "prompt_logprobs of token ids"), (("echo",), "echo of token ids"), ((), "echo of text")],
)
def test_every_way_equals_the_scorer_with_full_logits(told, folder, ways, how):
    fake, scorer = told(*ways)
    assert scorer.used["projection"] == how
    asked = items(scorer)
    found = {one.key: one for one in scorer.score(asked, k=5)}
    with open_engine("hf", str(folder), dtype="float32") as engine:
        exact = {one.key: one for one in Scorer(engine).score(asked, k=5)}
    assert found.keys() == exact.keys()
    for key, own in exact.items():
        other = found[key]
        assert other["logprob"] == pytest.approx(own["logprob"], abs=1e-4)
        whole = np.isfinite(other["top_logprobs"]).all(axis=1)
        assert whole.mean() > 0.5
        assert whole.all() or how != "prompt_logprobs of token ids"
        assert np.allclose(other["top_logprobs"][whole], own["top_logprobs"][whole], atol=1e-4)
        low, high = entropy_bounds(other["top_logprobs"][whole].astype(float), scorer.vocabulary)
        assert (low <= own["entropy"][whole] + 1e-4).all()
        assert (own["entropy"][whole] <= high + 1e-4).all()
    assert fake.asked[-1][0] == "/v1/completions"


def test_the_ratio_of_two_prompts_equals_the_scorers(told, folder):
    _, scorer = told("ids")
    first = items(scorer)[0]
    pair = Pair("t", first.prompt, {"same": first.prompt, "other": first.prompt[3:], "none": ()}, first.response)
    found = {one.context: one for one in scorer.compare([pair], divergences=False)}
    with open_engine("hf", str(folder), dtype="float32") as engine:
        exact = {one.context: one for one in Scorer(engine).compare([pair], divergences=False)}
    assert (found["same"]["log_ratio"] == 0).all()
    assert found["other"]["log_ratio"] == pytest.approx(exact["other"]["log_ratio"], abs=1e-4)
    assert found["none"].fault == exact["none"].fault
    with pytest.raises(ConfigError, match="a divergence needs all"):
        next(scorer.compare([pair]))


def test_what_cannot_be_scored_is_told_and_the_rest_is(told):
    _, scorer = told("ids", window=40)
    one = items(scorer)[0]
    bad = [
        Item("long", one.prompt, one.response * 9),
        Item("bare", (), one.response),
        Item("id", one.prompt, (10**6,)),
        Item("empty", one.prompt, ()),
        one,
    ]
    faults = {found.key: found.fault for found in scorer.score(bad)}
    assert faults.pop("t0") is None
    assert [word in faults[key] for key, word in {"long": "longer than", "bare": "no prompt", "id": "token id", "empty": "no"}.items()] == [True] * 4  # fmt: skip


def test_other_tokens_than_stored_are_a_fault(told, folder):
    telling = Telling(folder, ())

    def shifted(body):
        answer = telling(body)
        block = answer["choices"][0].get("logprobs")
        if block and "2 + 2" in str(body["prompt"]):
            block["tokens"][-1] = "other"
        return answer

    _, scorer = told(answer=shifted)
    assert "into other tokens" in next(iter(scorer.score(items(scorer)[:1]))).fault


def test_a_server_that_tells_nothing_is_one_line(told):
    with pytest.raises(EngineError, match="tells no log-probabilities of a prompt") as caught:
        told(answer=lambda body: {"choices": [{"index": 0, "text": "4"}]})
    assert "\n" not in str(caught.value)
    fake = Fake()
    fake.answer = Fake.chat
    try:
        with pytest.raises(ConfigError, match="template=DIR"):
            PromptScorer(open_engine("server", "tiny", base_url=fake.url))
    finally:
        fake.close()


def test_a_run_is_scored_by_a_server(epiverb, run, model):
    short = ("--around", 2, "--window", 6, "--draws", 100)
    exact = epiverb("score", run, "-m", model, *short, "--json", "-q").json["tokens"]
    fake = Fake("vllm", window=2048)
    fake.answer = Telling(model, ("ids",))
    try:
        server = ("-m", "tiny", "--engine", "server", "--engine-option", f"base_url={fake.url}")
        lacking = epiverb("score", run, *server)
        done = epiverb("score", run, *server, "--engine-option", f"template={model}", "--top-k", 8, *short, "--json")
    finally:
        fake.close()
    assert lacking.code == 2
    assert "template=DIR" in lacking.message
    assert done.code == 0, done.err
    block = done.json["tokens"]
    assert block["entropy"] == "bounds from prompt top-k log-probabilities"
    assert (block["n_scored"], block["n_tokens"]) == (exact["n_scored"], exact["n_tokens"])
    assert block["n_unknown_positions"] == 0
    means = {row["measure"]: row["value"] for row in block["measures"]}
    known = {row["measure"]: row["value"] for row in exact["measures"]}
    assert means["surprisal"] == pytest.approx(known["surprisal"], abs=1e-4)
    assert means["entropy-lower"] <= known["entropy"] <= means["entropy-upper"]
    assert not any(name.startswith("propensity") for name in means)
    assert json.loads((run / "score.json").read_text())["tokens"]["model"]["engine"] == "server"
    assert Run(run).scan("points").collect()["measure"].is_in(["entropy-upper"]).any()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-m", "x", "--engine", "vllm", "--pressure"), "--engine vllm tells the most likely tokens only"),
        (("-m", "x", "--engine", "replay"), "traces are read by hf, vllm, server"),
        (("--engine", "server"), "scores with a model"),
    ],
)
def test_what_an_engine_cannot_do_is_one_line(epiverb, run, flags, words):
    done = epiverb("score", run, *flags)
    assert done.code == 2
    assert words in done.message
