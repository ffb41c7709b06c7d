"""Steering inside vLLM: rows by their own output, slots that are used again; and the real engine, where it is installed."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from epiverb.models import vllm_steering
from epiverb.models.processors import SteeringProcessor
from epiverb.models.steering import Compiled, steer, vllm_arguments
from tests.models.vocabularies import lexicon, tokenizer

MARKERS = lexicon(reconsideration=["wait", "hold on"], verification=["check"])


@pytest.fixture
def config(tmp_path: Any) -> Any:
    tokenizer("byte-level").save_pretrained(tmp_path)
    model = SimpleNamespace(tokenizer=str(tmp_path), tokenizer_revision=None, trust_remote_code=False)
    return SimpleNamespace(model_config=model)


def params(prefix: str = "", action: str = "ban") -> Any:
    return SimpleNamespace(**vllm_arguments(steer(MARKERS, action), prefix=prefix)[1])


def test_a_row_gets_what_the_processor_of_transformers_gives() -> None:
    own = tokenizer("byte-level")
    steering, rng = steer(MARKERS, "penalise", 2.0), random.Random(0)
    row, acts = vllm_steering.RowSteering(Compiled(steering, own), steering.bias), SteeringProcessor(steering, own)
    ids, changed = [own.encode("x", add_special_tokens=False)[0]], 0
    for _ in range(200):
        scores = torch.randn(len(own))
        ours, theirs = row(ids, scores.clone()), acts(torch.tensor([ids]), scores[None])[0]
        assert torch.equal(ours, theirs)
        changed += int((ours != scores).sum())
        candidates = own.encode(rng.choice([" wait", "hold on", " che", "ck", "un"]), add_special_tokens=False)
        ids = [*ids, candidates[0]]
    assert changed > 200


def test_a_prefix_is_read_before_the_first_token(config: Any) -> None:
    own = tokenizer("byte-level")
    row = vllm_steering.row_steering(params(prefix="hold"), config)
    out = row([], torch.zeros(len(own)))
    on = [i for i in range(len(own)) if own.decode([i]) == " on"]
    assert on
    assert all(torch.isinf(out[i]) for i in on)


def test_the_engine_tells_steering_what_each_response_begins_with() -> None:
    from epiverb.models.vllm import VLLM

    engine = VLLM.__new__(VLLM)
    engine.extra = {"min_tokens": 1, **vllm_arguments(steer(MARKERS, "ban"))[1]}
    more = engine._more("x hold")
    assert more == {"min_tokens": 1, **vllm_arguments(steer(MARKERS, "ban"), prefix="x hold")[1]}
    assert engine._more("") == engine.extra  # and the next request knows nothing of it
    assert "prefix" not in engine.extra["extra_args"]["epiverb_steering"]


def test_a_slot_used_again_knows_nothing_of_the_request_before(config: Any) -> None:
    own = tokenizer("byte-level")
    text = own.encode("x hold", add_special_tokens=False)
    tokens = torch.tensor([[7, *text, 0, 0]] * 2, dtype=torch.int32)
    states = SimpleNamespace(prompt_len=SimpleNamespace(np=np.array([1, 1])), all_token_ids=SimpleNamespace(gpu=tokens))
    slots = vllm_steering.Slots(config, states)
    context = SimpleNamespace(idx_mapping_np=np.array([1, 0]), pos=torch.tensor([len(text), len(text)]))
    assert slots.add(0, params()) is True
    assert slots.add(1, SimpleNamespace(extra_args=None)) is False
    out = slots.apply(torch.zeros(2, len(own)), context)
    on = next(i for i in range(len(own)) if own.decode([i]) == " on")
    assert (out[0] == 0).all()  # the row of slot 1
    assert torch.isinf(out[1, on])
    assert slots.add(0, SimpleNamespace(extra_args={})) is False
    assert (slots.apply(torch.zeros(2, len(own)), context) == 0).all()
    with pytest.raises(ValueError, match="speculative"):
        slots.apply(torch.zeros(3, len(own)), context)


def test_parameters_that_are_no_steering_are_refused() -> None:
    with pytest.raises(ValueError, match="is no steering"):
        vllm_steering.steered(SimpleNamespace(extra_args={"epiverb_steering": {"name": "x"}}))
    assert vllm_steering.steered(SimpleNamespace(extra_args=None)) is None
    with pytest.raises(AttributeError):
        vllm_steering.Other  # noqa: B018


def test_the_real_engine_bans_only_where_it_is_asked_to(tmp_path: Any) -> None:
    vllm = pytest.importorskip("vllm", reason="needs vLLM, see make test-vllm")
    from tests.models.test_steering import hits
    from tests.models.tiny import tiny_model

    folder = tiny_model(tmp_path / "m", likely={"Wait": 3.0, " check": 3.0})
    load, _ = vllm_arguments(steer(MARKERS, "ban"))
    llm = vllm.LLM(str(folder), dtype="float32", enforce_eager=True, max_model_len=256, **load)
    asked = {"temperature": 1.0, "max_tokens": 150, "n": 8, "seed": 1}
    several = [vllm.SamplingParams(**asked, extra_args=extra) for extra in (params().extra_args, None)]
    banned, free = ([o.text for o in r.outputs] for r in llm.generate(["What is 12 + 30?"] * 2, several))
    assert hits(banned, MARKERS) == []
    assert len(hits(free, MARKERS)) > 3
