"""A real vLLM, offline and served, gives the log-probabilities of stored tokens that full logits give."""

from __future__ import annotations

import numpy as np
import pytest

from epiverb.models import open_engine
from epiverb.models.prompt_logprobs import PromptScorer
from epiverb.models.scorer import Item, Pair, Scorer
from tests.with_vllm.test_serve import serving

__all__ = ["serving"]


@pytest.fixture(scope="module")
def asked(folder):
    """Responses of several lengths, one of them two tokens short of the window, one as long as it."""
    from transformers import AutoTokenizer

    encode = AutoTokenizer.from_pretrained(folder).encode
    prompt = tuple(encode("<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"))
    texts = ["Wait, 2 + 2 = 4. Maybe.", "设 $n$ 😀 naïve", "x", "So it is 5. " * 200]
    ids = [tuple(encode(text)) for text in texts]
    ids[3] = ids[3][: 511 - len(prompt)]
    return [Item(f"t{i}", prompt, own) for i, own in enumerate(ids)] + [Item("full", prompt, (*ids[3], 7))]


@pytest.fixture(scope="module")
def exact(folder, asked):
    with open_engine("hf", str(folder), dtype="float32") as engine:
        pair = Pair("p", asked[0].prompt, {"cut": asked[0].prompt[2:]}, asked[0].response)
        scorer = Scorer(engine)
        return {one.key: one for one in scorer.score(asked, k=8)}, next(scorer.compare([pair], divergences=False)), pair


def agree(engine, asked, exact):
    known, ratio, pair = exact
    scorer = PromptScorer(engine)
    found = {one.key: one for one in scorer.score(asked, k=8)}
    assert "longer than the model" in found.pop("full").fault
    assert found.keys() == known.keys() - {"full"}
    for key, own in found.items():
        assert np.allclose(own["logprob"], known[key]["logprob"], atol=1e-3), key
        assert np.allclose(own["top_logprobs"], known[key]["top_logprobs"], atol=1e-3), key
        assert (own["top_ids"] == known[key]["top_ids"]).mean() > 0.99
    other = next(scorer.compare([pair], divergences=False))
    assert np.allclose(other["log_ratio"], ratio["log_ratio"], atol=1e-3)
    return scorer


def test_offline(folder, asked, exact):
    options = {"dtype": "float32", "enforce_eager": True, "distributed_executor_backend": "uni"}
    with open_engine("vllm", str(folder), **options) as engine:
        agree(engine, asked, exact)


def test_served(serving, folder, asked, exact):
    with open_engine("server", "tiny", base_url=serving[0], template=str(folder)) as engine:
        scorer = agree(engine, asked, exact)
    assert scorer.used["projection"] == "prompt_logprobs of token ids"


def test_served_in_the_second_way(serving, folder, asked, exact, monkeypatch):
    from epiverb.models import prompt_logprobs

    monkeypatch.setattr(prompt_logprobs._Asked, "_way", lambda self: self.WAYS[1])
    with open_engine("server", "tiny", base_url=serving[0], template=str(folder)) as engine:
        scorer = PromptScorer(engine)
        assert scorer.used["projection"] == "echo of token ids"
        for one in scorer.score(asked[:3], k=8):
            assert np.allclose(one["logprob"], exact[0][one.key]["logprob"], atol=1e-3)
