"""Candidate answers behind many prefixes: one pass over a shared cache against one pass each, and a model whose posterior is known."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from epiverb.errors import AlignmentError, ConfigError, DataError, EngineError  # noqa: E402
from epiverb.models import beliefs  # noqa: E402
from epiverb.models.beliefs import force, why_not  # noqa: E402
from epiverb.models.heads import Whole, take_apart  # noqa: E402
from epiverb.models.probe import Probe, Tree  # noqa: E402
from epiverb.models.stems import STEMS, Stem, stem  # noqa: E402
from tests.models.tiny import tiny_model  # noqa: E402

TEXT = "Wait, let me check this again. Maybe the answer is 4, but perhaps it is 5. 等等 😀\n\n" * 4
ANSWERS = ["4", "42", "-17", "x = 3"]


def load(folder, family, **options):
    path = tiny_model(folder / family, family)
    model = transformers.AutoModelForCausalLM.from_pretrained(path, **options).eval()
    return take_apart(model), transformers.AutoTokenizer.from_pretrained(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("family", ["qwen3", "llama", "r1", "olmo3"])
def test_shared_pass_equals_one_pass_a_prefix(folder, family):
    """OLMo 3 looks through a window of 32 tokens in half its layers, and the prefixes reach beyond it."""
    parts, tokenizer = load(folder, family)
    ids = tokenizer.encode(TEXT)
    probe = Probe.of(tokenizer, "</think>", STEMS["boxed"], ANSWERS)
    ends = [1, 2, 7, 40, 41, 70, len(ids)]
    assert why_not(parts) is None
    together, apart = force(parts, ids, ends, probe, share=True), force(parts, ids, ends, probe, share=False)
    # Float32 sums of some ten log-probabilities of size 3: 1e-5 relative.
    np.testing.assert_allclose(together.logp_N_K, apart.logp_N_K, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(together.closed_N, apart.closed_N, atol=1e-5)
    np.testing.assert_allclose(together.asked_N, apart.asked_N, atol=1e-5)
    assert np.ptp(apart.logp_N_K, axis=0).min() > 1e-2, "prefixes must matter, or the test proves nothing"


def test_equals_plain_transformers(folder):
    """Independent of ours: the model itself, in float64, its log-softmax summed by hand."""
    parts, tokenizer = load(folder, "qwen3")
    ids = tokenizer.encode(TEXT)
    probe = Probe.of(tokenizer, "</think>", STEMS["boxed"], ["4", "5"])
    told = force(parts, ids, [30], probe)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "qwen3").double().eval()
    asked = tokenizer.encode("\n</think>", add_special_tokens=False)
    for k, answer in enumerate(("4", "5")):
        tail = tokenizer.encode("\n\n**Final Answer**\n\\boxed{" + answer + "}", add_special_tokens=False)
        sequence = [*ids[:30], *asked, *tail]
        with torch.no_grad():
            logp = model(torch.tensor([sequence])).logits[0].log_softmax(-1)
        first = 30 + probe.asked
        total = sum(logp[i - 1, sequence[i]].item() for i in range(first, len(sequence)))
        assert told.logp_N_K[0, k] == pytest.approx(total, abs=1e-4)
    row = logp[30 + len(asked) - 1]
    assert told.closed_N[0] == pytest.approx(-(row.exp() * row).sum().item(), abs=1e-5)


def test_small_parts_change_nothing(folder, monkeypatch):
    parts, tokenizer = load(folder, "qwen3")
    ids = tokenizer.encode(TEXT)
    probe = Probe.of(tokenizer, "</think>", STEMS["boxed"], ANSWERS)
    ends = list(range(3, len(ids), 7))
    whole = force(parts, ids, ends, probe)
    monkeypatch.setattr(beliefs, "LOGITS_BYTES", 1)
    np.testing.assert_allclose(force(parts, ids, ends, probe).logp_N_K, whole.logp_N_K, atol=1e-5)


def test_eager_attention_and_any_order_of_prefixes(folder):
    parts, tokenizer = load(folder, "qwen3", attn_implementation="eager")
    ids = tokenizer.encode(TEXT)
    probe = Probe.of(tokenizer, "</think>", STEMS["boxed"], ANSWERS)
    forward, backward = force(parts, ids, [5, 20, 60], probe), force(parts, ids, [60, 20, 5], probe)
    np.testing.assert_allclose(forward.logp_N_K, backward.logp_N_K[::-1], atol=1e-5)


def test_layers_whose_past_is_gone_are_refused_and_scored_apart(folder):
    parts, tokenizer = load(folder, "qwen3")
    probe = Probe.of(tokenizer, "</think>", STEMS["boxed"], ["4", "5"])
    parts.model.config.layer_types = ["linear_attention", "full_attention"]
    assert "linear_attention" in why_not(parts)
    with pytest.raises(EngineError, match=r"linear_attention.*separate passes"):
        force(parts, [1, 2, 3], [2], probe, share=True)
    parts.model.config.layer_types = ["full_attention", "full_attention"]
    parts.model.config._attn_implementation = "flash_attention_2"
    assert "takes no mask" in why_not(parts)
    parts.model.config._attn_implementation = "sdpa"
    parts.model.config.sliding_window, parts.model.config.use_sliding_window = 8, True
    assert "does not say in which layers" in why_not(parts)


def test_prefixes_that_cannot_be(folder):
    parts, tokenizer = load(folder, "qwen3")
    probe = Probe.of(tokenizer, "</think>", STEMS["boxed"], ["4", "5"])
    for ends in ([0], [4]):
        with pytest.raises(AlignmentError, match="prefixes of"):
            force(parts, [1, 2, 3], ends, probe)


class Letters:
    """A tokenizer of letters."""

    chat_template = None

    def encode(self, text, add_special_tokens=True):
        return [ord(letter) for letter in text]


class Bayes(Whole):
    """A model that flips a coin of unknown bias: behind `:` it says H or T by the posterior of what it has read."""

    vocabulary = 128

    def __init__(self):
        self.how = "a toy"

    def prepare(self, rows):
        pass

    def logits(self, pieces):
        ((row, a, b),) = pieces
        text = [*row.prompt, *row.response]
        table = np.full((b - a, self.vocabulary), -50.0)
        for i in range(a, b):
            read = text[: len(row.prompt) + i]
            if chr(read[-1]) == ":":
                heads, tails = (sum(token == ord(side) for token in read) for side in "ht")
                # Two coins, 3/4 and 1/4 for heads, as likely before: H says the first.
                table[i - a, [ord("H"), ord("T")]] = np.log([0.75**heads * 0.25**tails, 0.25**heads * 0.75**tails])
            else:
                table[i - a, row.response[i]] = 0.0
        return torch.tensor(table)


def test_known_posterior():
    flips = "hthh"
    asked = Stem("", ":", "", "")
    probe = Probe.of(Letters(), ")", asked, ["H", "T"])
    ids = [ord(letter) for letter in "(" + flips]
    told = force(Bayes(), ids, range(1, 6), probe)
    p = np.exp(told.logp_N_K)
    heads, n = np.array([0, 1, 1, 2, 3]), np.arange(5)
    odds = 3.0 ** (2 * heads - n)
    np.testing.assert_allclose(p[:, 0], odds / (1 + odds), atol=1e-6)
    entropy = -(p * np.log(p)).sum(1)
    np.testing.assert_allclose(told.asked_N, entropy, atol=1e-6)
    assert told.closed_N == pytest.approx(np.zeros(5), abs=1e-6)  # behind the tag it always says ":"


def test_probe_scores_from_where_the_answers_part():
    probe = Probe.of(Letters(), "</t>", Stem("\n", "is ", ".", ""), ["12", "120", "7"])
    assert probe.closed == 5
    assert probe.asked == 8
    assert probe.scored_K.tolist() == [3, 4, 2]
    tree = probe.tree
    assert len(tree.token) == 8 + 3 + 2 + 2  # 12. then 0. below 12, 7.
    assert [[int(tree.token[node]) for node in path] for path in tree.paths] == [list(path) for path in probe.paths]


def test_tree_sees_its_ancestors_alone():
    tree = Tree.of([[1, 2, 3], [1, 2, 4, 5], [1, 6, 7]])
    fed = tree.fed.tolist()
    assert [int(tree.token[i]) for i in fed] == [1, 2, 4, 6]
    assert tree.sees.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]


def test_an_answer_keeps_a_token_of_its_own():
    """Nothing ends an answer: where 12 and 120 are the candidates, 12 would have no token left to be scored."""
    probe = Probe.of(Letters(), ")", Stem("", ":", "", ""), ["12", "120"])
    assert probe.scored_K.min() >= 1


def test_bad_probes():
    with pytest.raises(DataError, match="no candidate answers"):
        Probe.of(Letters(), ")", STEMS["boxed"], [])
    with pytest.raises(DataError, match="same tokens"):
        Probe.of(Letters(), ")", STEMS["boxed"], ["1", "1"])
    with pytest.raises(DataError, match="leaves no token"):
        Probe.of(Letters(), ")", Stem("", "", "", ""), ["1", "2"])
    with pytest.raises(ConfigError, match="Did you mean 'boxed'"):
        stem("boxd")
