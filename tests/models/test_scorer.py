"""The scorer against full logits in float64, on models of several families, and on models that are no body and head."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from tests.models.tiny import tiny_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from epiverb.models import distributions, heads  # noqa: E402
from epiverb.models.hf import HF  # noqa: E402
from epiverb.models.scorer import Item, Pair, Scorer  # noqa: E402


@pytest.fixture(scope="module", params=["qwen3", "llama"])
def engine(request, tmp_path_factory):
    return HF(str(tiny_model(tmp_path_factory.mktemp("m") / request.param, request.param)), device="cpu")


def _items(n: int, vocabulary: int, seed: int = 0) -> list[Item]:
    rng = np.random.default_rng(seed)
    draw = lambda size: tuple(rng.integers(0, vocabulary, size).tolist())  # noqa: E731
    return [Item(str(i), draw(3 + 5 * i), draw(1 + 17 * i)) for i in range(n)]


def _logits(model, prompt, response):
    """One forward pass with all logits: what the scorer must agree with."""
    with torch.inference_mode():
        return model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunked_equals_naive(engine, chunk):
    scorer = Scorer(engine, chunk=chunk)
    items = _items(6, scorer.vocabulary)
    found = {scored.key: scored for scored in scorer.score(items, sets={"some": [5, 6, 300]}, k=4)}
    assert len(found) == 6
    for item in items:
        exact = _logits(engine.model, item.prompt, item.response).double().log_softmax(-1).numpy()
        p = np.exp(exact)
        ours = found[item.key]
        assert np.allclose(ours["logprob"], exact[np.arange(len(exact)), item.response], atol=1e-5)
        assert np.allclose(ours["entropy"], -(p * exact).sum(1), atol=1e-5)
        assert np.allclose(ours["self_certainty"], -np.log(exact.shape[1]) - exact.mean(1), atol=1e-5)
        assert np.allclose(ours["mass/some"], p[:, [5, 6, 300]].sum(1), atol=1e-6)
        assert np.allclose(ours["top_logprobs"], -np.sort(-exact, axis=1)[:, :4], atol=1e-5)
        assert np.allclose(np.take_along_axis(exact, ours["top_ids"], 1), ours["top_logprobs"], atol=1e-5)


def test_in_float64_chunked_equals_naive_to_a_millionth(tmp_path):
    engine = HF(str(tiny_model(tmp_path / "m")), device="cpu", dtype="float64")
    items = _items(5, 400)
    for scored in Scorer(engine, chunk=5).score(items, k=3):
        item = items[int(scored.key)]
        exact = _logits(engine.model, item.prompt, item.response).log_softmax(-1)
        assert scored["entropy"].dtype == np.float64
        assert np.abs(scored["entropy"] + (exact.exp() * exact).sum(-1).numpy()).max() < 1e-6
        assert np.abs(scored["top_logprobs"] - exact.topk(3).values.numpy()).max() < 1e-6
        own = exact.gather(1, torch.tensor(item.response)[:, None])[:, 0].numpy()
        assert np.abs(scored["logprob"] - own).max() < 1e-6


def test_same_rows_give_the_same_whatever_the_chunk(engine):
    items = _items(1, engine.model.config.vocab_size) + _items(5, engine.model.config.vocab_size, 1)[4:]
    by_chunk = [{s.key: s for s in Scorer(engine, chunk=c).score(items, k=3)} for c in (3, 500)]
    for item in items:
        for name in ("logprob", "entropy", "self_certainty", "top_logprobs"):
            assert np.allclose(by_chunk[0][item.key][name], by_chunk[1][item.key][name], atol=1e-5)


def test_pairs_equal_float64(engine):
    scorer = Scorer(engine, chunk=11)
    items = _items(5, scorer.vocabulary)
    other = items[2].prompt
    pairs = [Pair(item.key, item.prompt, {"a": other, "same": item.prompt}, item.response) for item in items]
    seen = 0
    for scored in scorer.compare(pairs, sets={"some": [7, 8]}):
        item = items[int(scored.key)]
        teacher = other if scored.context == "a" else item.prompt
        s, t = (
            _logits(engine.model, prompt, item.response).double().log_softmax(-1).numpy()
            for prompt in (item.prompt, teacher)
        )
        m = np.logaddexp(s, t) - math.log(2)
        kl = lambda a, b: (np.exp(a) * (a - b)).sum(1)  # noqa: E731
        at = (np.arange(len(s)), item.response)
        assert np.allclose(scored["kl"], kl(s, t), atol=2e-5)
        assert np.allclose(scored["reverse_kl"], kl(t, s), atol=2e-5)
        assert np.allclose(scored["jsd"], (kl(s, m) + kl(t, m)) / 2, atol=1e-5)
        assert np.allclose(scored["log_ratio"], t[at] - s[at], atol=2e-5)
        assert np.allclose(scored["teacher_mass/some"], np.exp(t[:, [7, 8]]).sum(1), atol=1e-6)
        assert np.allclose(scored["student_entropy"], -(np.exp(s) * s).sum(1), atol=1e-5)
        if scored.context == "same":
            assert scored["kl"].max() == 0
            assert scored["log_ratio"].any() == 0
        seen += 1
    assert seen == 10


def test_only_log_probabilities_where_no_divergence_is_wanted(engine):
    scorer, item = Scorer(engine), _items(3, 400)[2]
    pair = Pair("x", item.prompt, {"c": item.prompt[1:]}, item.response)
    (short,) = scorer.compare([pair], divergences=False)
    (full,) = scorer.compare([pair])
    assert set(short.columns) == {"student_logprob", "teacher_logprob", "log_ratio"}
    for name in short.columns:
        assert np.allclose(short[name], full[name], atol=1e-5)


def test_no_more_logits_than_a_chunk_are_ever_there(engine, monkeypatch):
    shapes = []
    single = distributions.single
    monkeypatch.setattr(
        distributions, "single", lambda logits, *rest: shapes.append(len(logits)) or single(logits, *rest)
    )
    items = _items(6, 400)
    assert len(list(Scorer(engine, chunk=16).score(items))) == 6
    assert max(shapes) == 16
    assert sum(shapes) == sum(len(item.response) for item in items)


def test_values_by_hand():
    p = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0]])
    found = distributions.single(p.log(), torch.tensor([0, 1, 0]), {"last": torch.tensor([1, 2])}, 2)
    assert found["logprob"].tolist() == pytest.approx([math.log(0.5), math.log(1 / 3), 0])
    assert found["entropy"].tolist() == pytest.approx([1.5 * math.log(2), math.log(3), 0])
    assert found["mass/last"].tolist() == pytest.approx([0.5, 2 / 3, 0])
    kl_from_uniform = -(math.log(1.5) + 2 * math.log(0.75)) / 3
    assert found["self_certainty"].tolist()[:2] == pytest.approx([kl_from_uniform, 0], abs=1e-6)
    s, t = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    pair = distributions.pair(s, t, torch.tensor([0]), {})
    assert pair["kl"].item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert pair["reverse_kl"].item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    assert pair["log_ratio"].item() == pytest.approx(math.log(0.5))


def test_largest_is_topk(rng):
    rows = torch.tensor(rng.normal(size=(5, 10_037)), dtype=torch.float32)
    ours, theirs = distributions.largest(rows, 20), rows.topk(20, -1)
    assert torch.equal(ours[0], theirs.values)
    assert torch.equal(ours[1], theirs.indices)


def test_nan_is_counted_and_stays_where_it_is(tmp_path):
    engine = HF(str(tiny_model(tmp_path / "m")), device="cpu")
    with torch.no_grad():
        engine.model.get_input_embeddings().weight[9] = float("nan")
    items = [Item("bad", (1, 2), (3, 4, 9, 5, 6)), Item("good", (1, 2), (3, 4, 5, 5, 6))]
    found = {scored.key: scored for scored in Scorer(engine).score(items, sets={"s": [1]}, k=2)}
    assert found["good"].n_unknown == 0
    assert np.isfinite(found["good"]["entropy"]).all()
    assert found["bad"].n_unknown >= 2  # behind that token; some attention kernels spread it to those before it
    for name in ("logprob", "entropy", "mass/s"):
        assert np.isnan(found["bad"][name]).sum() == found["bad"].n_unknown
        assert np.isnan(found["bad"][name][-2:]).all()


def test_what_cannot_be_scored_is_a_reason_and_nothing_is_cut(engine):
    items = [
        Item("long", (1,), (2,) * 600),
        Item("foreign", (1,), (2, 99_999)),
        Item("bare", (), (2, 3)),
        Item("none", (1,), ()),
        Item("good", (1,), (2, 3)),
    ]
    found = {scored.key: scored for scored in Scorer(engine).score(items)}
    assert found["long"].fault == "longer than the model: 601 tokens with the prompt, the window is 512"
    assert "99999 is not among the model's" in found["foreign"].fault
    assert "no prompt" in found["bare"].fault
    assert found["none"].fault == "no tokens"
    assert found["good"].fault is None
    pair = Pair("p", (1,), {"short": (1, 2), "long": (1,) * 600}, (3, 4))
    both = {scored.context: scored for scored in Scorer(engine).compare([pair])}
    assert both["short"].fault is None
    assert "longer than the model" in both["long"].fault


SIZES = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "more"),
    [("Gemma2Config", {"head_dim": 16, "final_logit_softcapping": 4.0}), ("CohereConfig", {"logit_scale": 0.25}),
     ("GraniteConfig", {"logits_scaling": 4.0}), ("Olmo3Config", {}), ("GPT2Config", {"n_embd": 64, "n_head": 4, "n_layer": 2})],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_caps_and_scales_of_logits_are_the_models_own(config, more, dtype):
    torch.manual_seed(0)
    made = getattr(transformers, config)(**SIZES, **more, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    model = transformers.AutoModelForCausalLM.from_config(made).eval().to(getattr(torch, dtype))
    parts = heads.take_apart(model)
    assert parts.how == "float32, from hidden states"
    row = heads.Row((5, 6), (7, 8, 9, 10))
    with torch.inference_mode():
        parts.prepare([row])
        ours = parts.logits([(row, 0, 4)])
    theirs = _logits(model, row.prompt, row.response).float()
    assert float((ours - theirs).abs().max()) < (1e-4 if dtype == "float32" else 0.03) * float(theirs.abs().max())


def test_a_head_of_another_kind_is_run_whole_over_its_cache(tmp_path):
    engine = HF(str(tiny_model(tmp_path / "m")), device="cpu")
    forward = engine.model.forward

    def squared(*args, **kwargs):
        out = forward(*args, **kwargs)
        out.logits = out.logits * out.logits.abs()
        return out

    engine.model.forward = squared
    scorer = Scorer(engine, chunk=4)
    assert scorer.used["projection"].startswith("the model's own")
    item = _items(3, 400)[2]
    (scored,) = scorer.score([item])
    exact = _logits(engine.model, item.prompt, item.response).double().log_softmax(-1)
    assert np.allclose(scored["entropy"], -(exact.exp() * exact).sum(-1).numpy(), atol=1e-4)
    (same,) = scorer.compare([Pair("x", item.prompt, {"c": item.prompt}, item.response)])
    assert same["kl"].max() == 0


class Chains(torch.nn.Module):
    """Two Markov chains over symbols 3 and 4, told apart by the first token: 1, 2, or 0 for an even mixture of both.

    The mixture is no Markov chain: what comes next depends on which chain the symbols so far speak for.
    """

    FIRST: ClassVar = {1: (0.5, 0.5), 2: (0.25, 0.75)}
    STEP: ClassVar = {1: ((0.75, 0.25), (0.5, 0.5)), 2: ((0.25, 0.75), (0.5, 0.5))}
    device = torch.device("cpu")

    def get_input_embeddings(self):
        return SimpleNamespace(weight=torch.zeros(5, 1))

    @classmethod
    def p(cls, chain: int, y: tuple[int, ...]) -> float:
        found = 1.0
        for i, symbol in enumerate(y):
            found *= (cls.FIRST[chain] if not i else cls.STEP[chain][y[i - 1] - 3])[symbol - 3]
        return found

    def forward(self, input_ids, past_key_values=None, use_cache=True):
        seen, rows = list(past_key_values or ()), []
        for token in input_ids[0].tolist():
            seen.append(token)
            chains = (1, 2) if seen[0] == 0 else (seen[0],)
            y = tuple(seen[1:])
            joint = [sum(self.p(c, (*y, symbol)) for c in chains) for symbol in (3, 4)]
            rows.append([-1e9, -1e9, -1e9, *(math.log(p / sum(joint)) for p in joint)])
        return SimpleNamespace(logits=torch.tensor([rows]), past_key_values=tuple(seen))


def test_richness_is_the_mutual_information_of_a_mixture_of_chains():
    from itertools import product

    from epiverb.stats.resample import Resampler
    from epiverb.stats.richness import richness

    model = Chains()
    scorer = Scorer(SimpleNamespace(model=model, window=None, used={}, chat=SimpleNamespace(name="chains")), chunk=2)
    assert isinstance(scorer.parts, heads.Whole)
    words = list(product((3, 4), repeat=3))
    pairs = [Pair(f"{c}:{i}", (0,), {"c": (c,)}, y) for c in (1, 2) for i, y in enumerate(words)]
    gains = {s.key: float(s["log_ratio"].sum()) for s in scorer.compare(pairs, divergences=False)}
    mixture = {y: (Chains.p(1, y) + Chains.p(2, y)) / 2 for y in words}
    exact = sum(Chains.p(c, y) / 2 * math.log(Chains.p(c, y) / mixture[y]) for c in (1, 2) for y in words)
    # Each word as often as its chain writes it: probabilities are multiples of 1/64.
    copies = [gains[f"{c}:{i}"] for c in (1, 2) for i, y in enumerate(words) for _ in range(round(64 * Chains.p(c, y)))]
    assert len(copies) == 128
    found = richness(Resampler(range(128)), copies, [3] * 128)
    assert found["per_trace"]["value"] == pytest.approx(exact, abs=1e-6)
    assert found["per_token"]["value"] == pytest.approx(exact / 3, abs=1e-6)
    assert found["per_trace"]["lo"] < exact < found["per_trace"]["hi"]
