"""The hf engine: against transformers' own generate, against whole forward passes, and against itself in other batches."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import groupby

import pytest
import torch

from epiverb.errors import ConfigError, EngineError, MissingExtra
from epiverb.models import ENGINES, open_engine
from epiverb.models.base import Request, Sampling
from epiverb.models.hf import HF
from tests.models.tiny import EOS, FAMILIES, tiny_model

TEXTS = ["What is 2 + 2?", "设 $n$ 为正整数。 😀", "Wait, let me check this again. " * 9, "naïve"]
SAMPLED = Sampling(n=4, max_tokens=24, seed=11, logprobs=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {family: tiny_model(root / family, family, likely={EOS[family][0]: 1.0, "Wait": 1.5}) for family in FAMILIES}


@pytest.fixture(scope="module")
def hf(folders):
    with open_engine("hf", str(folders["qwen3"]), device="cpu") as engine:
        yield engine


@pytest.fixture
def engine(hf):
    """The same model without what a test did to the engine before."""
    return HF.over(hf.model, hf.tokenizer)


def requests(texts=TEXTS, **more):
    return [Request(f"q{i}", messages=({"role": "user", "content": text},), **more) for i, text in enumerate(texts)]


def by_sample(completions):
    return {(one.key, one.sample): one for one in completions}


class Watch:
    """Shapes of what goes through a model: rows and columns of each forward pass."""

    def __init__(self, model):
        self.shapes = []
        self.hook = model.register_forward_pre_hook(
            lambda _, args, kwargs: self.shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
        )

    def __enter__(self):
        return self.shapes

    def __exit__(self, *exception):
        self.hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_is_what_generate_gives(folders, family):
    """Alone, without padding, transformers decodes the same tokens; OLMo's window of 32 is shorter than one prompt."""
    with open_engine("hf", str(folders[family]), device="cpu", plain=family == "base") as engine:
        found = by_sample(engine.generate(requests(), Sampling(temperature=0, max_tokens=40)))
        for request in requests():
            ids = torch.tensor([engine.chat.encode(request).ids])
            out = engine.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40)
            own = out[0, ids.shape[1] :].tolist()
            ended = own[-1] in engine.eos
            one = found[request.key, 0]
            assert one.token_ids == tuple(own[:-1] if ended else own)
            assert one.finish_reason == ("stop" if ended else "length")
            assert one.text == engine.tokenizer.decode(one.token_ids)
            assert one.n_tokens == len(one.token_ids)
            assert one.prompt == engine.tokenizer.decode(ids[0].tolist() if family != "base" else ids[0, 1:].tolist())


def test_log_probabilities_are_those_of_a_whole_forward_pass(engine):
    for one in engine.generate(requests(), Sampling(n=2, temperature=0.6, top_k=5, max_tokens=12, logprobs=3, seed=1)):
        prompt = engine.tokenizer.encode(one.prompt, add_special_tokens=False)
        with torch.inference_mode():
            logits = engine.model(torch.tensor([[*prompt, *one.token_ids]])).logits[0, len(prompt) - 1 : -1]
        logp = logits.float().log_softmax(-1)
        expected = logp.gather(1, torch.tensor(one.token_ids, dtype=torch.long)[:, None])[:, 0].tolist()
        assert one.logprobs == pytest.approx(expected, abs=1e-4)
        values, ids = logp.topk(3, -1)
        assert len(one.top_logprobs) == len(one.token_ids)
        for step, best, names in zip(one.top_logprobs, values.tolist(), ids.tolist(), strict=True):
            assert [token for token, _ in step] == names
            assert [value for _, value in step] == pytest.approx(best, abs=1e-4)


def test_a_sample_depends_on_seed_key_and_index_alone(engine):
    whole = by_sample(engine.generate(requests(), SAMPLED))
    assert len(whole) == 16
    assert len({one.token_ids for one in whole.values()}) == 16
    for request in requests():
        again = engine.generate([Request(request.key, request.messages, first=2, n=2)], SAMPLED)
        assert [(one.sample, one.token_ids) for one in again] == [(j, whole[request.key, j].token_ids) for j in (2, 3)]
    other = by_sample(engine.generate(requests(), Sampling(n=4, max_tokens=24, seed=12)))
    assert all(other[key].token_ids != one.token_ids or not one.token_ids for key, one in whole.items())
    for limits in ({"batch_tokens": 100}, {"batch_size": 3}):
        small = by_sample(HF.over(engine.model, engine.tokenizer, **limits).generate(requests(), SAMPLED))
        assert {key: one.token_ids for key, one in small.items()} == {key: one.token_ids for key, one in whole.items()}


def test_samples_of_a_request_come_together_and_in_order(engine):
    engine.batch_tokens = 150  # the long prompt's samples take two batches
    keys = [(one.key, one.sample) for one in engine.generate(requests(), SAMPLED)]
    runs = [(key, [sample for _, sample in run]) for key, run in groupby(keys, key=lambda pair: pair[0])]
    assert sorted(runs) == [(f"q{i}", [0, 1, 2, 3]) for i in range(4)]


def test_a_prompt_is_computed_once_and_finished_rows_never(engine):
    lengths = {len(engine.chat.encode(request).ids) for request in requests()}
    with Watch(engine.model) as shapes:
        found = list(engine.generate(requests() + requests()[:1], Sampling(n=4, max_tokens=24, seed=11)))
    assert shapes[0] == (4, max(lengths))
    rows = [rows for rows, columns in shapes[1:]]
    assert rows == sorted(rows, reverse=True)
    # Each response of k tokens takes part in k passes behind the prefill, its end-of-turn token included, less one.
    passes = [one.n_tokens + (one.finish_reason == "stop") - 1 for one in found]
    assert sum(rows) == sum(passes)


def test_every_end_of_the_generation_config_ends(folders, tmp_path):
    folder = tiny_model(
        tmp_path / "m",
        generation={"do_sample": True, "temperature": 0.6, "top_k": 20},
        likely={"Wait": 3.0, "<|endoftext|>": 3.0},
    )
    with open_engine("hf", str(folder), device="cpu") as engine:
        names = {engine.tokenizer.convert_tokens_to_ids(name) for name in EOS["qwen3"]}
        assert engine.eos == names
        found = list(engine.generate(requests(), Sampling(n=8, max_tokens=60)))
        assert "stop" in {one.finish_reason for one in found}
        assert not any(name in one.text for one in found for name in EOS["qwen3"])
        assert not any(names & set(one.token_ids) for one in found)
        assert engine.used["suggested_not_used"] == {"do_sample": True, "temperature": 0.6, "top_k": 20}
        assert engine.used["sampling"]["temperature"] == 1.0


def test_stop_strings_end_the_text_and_not_the_tokens(engine):
    stops = ("it", "Wait")
    free = by_sample(engine.generate(requests(), Sampling(n=4, max_tokens=24, seed=11)))
    cut = by_sample(engine.generate(requests(), Sampling(n=4, max_tokens=24, seed=11, stop=stops)))
    stopped = 0
    for key, one in cut.items():
        places = [place for stop in stops if (place := free[key].text.find(stop)) >= 0]
        assert one.text == (free[key].text[: min(places)] if places else free[key].text)
        assert one.token_ids == free[key].token_ids[: len(one.token_ids)]
        if places:
            stopped += 1
            assert one.finish_reason == "stop"
            assert any(stop in engine.tokenizer.decode(one.token_ids) for stop in stops)
            assert not any(stop in engine.tokenizer.decode(one.token_ids[:-1]) for stop in stops)
    assert stopped > 4


def test_a_prefix_is_part_of_the_text_and_not_of_the_tokens(engine):
    begun = Request("q", requests()[0].messages, prefix="<think>\nWait,")
    one = next(engine.generate([begun], Sampling(temperature=0, max_tokens=8, logprobs=0)))
    assert one.given == 13
    assert one.text[:13] == "<think>\nWait,"
    assert engine.tokenizer.decode(one.token_ids) == one.text[13:]
    assert len(one.logprobs) == len(one.token_ids) == one.n_tokens
    assert one.top_logprobs is None
    shown = Request("q", text=one.prompt + begun.prefix)
    assert next(engine.generate([shown], Sampling(temperature=0, max_tokens=8))).text == one.text[13:]


def test_the_window_bounds_responses_and_refuses_prompts_aloud(engine):
    engine.window = 80
    prompts = [*requests(["short", "Wait, " * 100]), Request("tight", text="Wait, " * 35)]
    found = by_sample(engine.generate(prompts, Sampling(n=2, max_tokens=500, temperature=0)))
    assert [found["q1", j].finish_reason for j in (0, 1)] == ["error", "error"]
    size = len(engine.chat.encode(prompts[1]).ids)
    assert found["q1", 0].error == f"the prompt has {size} tokens, which leaves no room in the window of 80"
    room = 80 - len(engine.chat.encode(prompts[2]).ids)
    assert 0 < room < 40
    assert found["tight", 0].n_tokens <= room
    assert found["q0", 0].n_tokens < 80


class Ban:
    """Takes one token away, and counts."""

    def __init__(self, token):
        self.token, self.told, self.seen = token, [], []

    def begin(self, rows):
        self.told.append(list(rows))

    def __call__(self, input_ids, scores):
        assert len(input_ids) == len(scores) == len(self.told[-1])
        self.seen.append(input_ids.clone())
        scores = scores.clone()
        scores[:, self.token] = -torch.inf
        return scores

    def report(self, row):
        return {"banned": self.token, "of": f"{row.key}/{row.sample}"}


def test_processors_change_the_choice_and_are_told_the_rows(engine):
    free = [
        token for one in engine.generate(requests(), Sampling(n=4, max_tokens=24, seed=11)) for token in one.token_ids
    ]
    token, often = Counter(free).most_common(1)[0]
    assert often > 3
    engine.processors = [ban := Ban(token)]
    found = by_sample(engine.generate(requests(), SAMPLED))
    assert not any(token in one.token_ids for one in found.values())
    assert all(one.extra == {"banned": token, "of": f"{key[0]}/{key[1]}"} for key, one in found.items())
    assert any(
        token in dict(step) for one in found.values() for step in one.top_logprobs
    )  # under the model's own logits
    assert len(ban.told) > 1
    last = ban.seen[-1]
    for row, ids in zip(ban.told[-1], last, strict=True):  # what it saw is what was sampled, less the last token
        assert tuple(ids[row.start :].tolist()) == found[row.key, row.sample].token_ids[: last.shape[1] - row.start]
    assert engine.used["processors"] == ["Ban"]


class Crowded:
    """Runs out of memory where more than `most` rows are decoded."""

    def __init__(self, most):
        self.most = most

    def __call__(self, input_ids, scores):
        if len(scores) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return scores


def test_out_of_memory_makes_batches_smaller_and_changes_no_sample(engine):
    expected = {key: one.token_ids for key, one in by_sample(engine.generate(requests(), SAMPLED)).items()}
    engine.processors = [Crowded(3)]
    found = list(engine.generate(requests(), SAMPLED))
    assert len(found) == 16
    assert {key: one.token_ids for key, one in by_sample(found).items()} == expected
    assert engine.used["rows_after_out_of_memory"] in (2, 3)
    engine.processors = [Crowded(0)]
    with pytest.raises(EngineError, match="out of memory on one response of 'q"):
        list(engine.generate(requests(), SAMPLED))


def test_what_came_is_kept_when_it_breaks(engine):
    class Breaks:
        calls = 0

        def __call__(self, input_ids, scores):
            Breaks.calls += 1
            if Breaks.calls > 10:
                raise EngineError("gone")
            return scores

    engine.processors = [Breaks()]
    kept = []

    def run():
        for one in engine.generate(requests(), SAMPLED):
            kept.append(one)

    with pytest.raises(EngineError, match="gone"):
        run()
    expected = by_sample(HF.over(engine.model, engine.tokenizer).generate(requests(), SAMPLED))
    short = {key for key, one in expected.items() if one.finish_reason == "stop" and one.n_tokens < 9}
    assert {(one.key, one.sample) for one in kept} == short != set()


def test_used_says_what_was_used(hf):
    list(hf.generate(requests(thinking=False)[:1], SAMPLED))
    used = hf.used
    assert used["engine"] == "hf"
    assert used["dtype"] == "float32"
    assert used["window"] == 512
    assert used["sampling"] == {
        "n": 4, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "max_tokens": 24, "stop": (), "logprobs": 2, "seed": 11,
    }  # fmt: skip
    assert used["thinking"]["off"] == "enable_thinking=False"
    assert used["versions"].keys() == {"torch", "transformers"}
    assert len(used["chat_template_sha256"]) == 64


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: "/no/such/model", r"no model folder /no/such/model"),
        (lambda f: str(f / "config.json"), r"is a file; a model is a folder"),
        (lambda f: [(f / "config.json").unlink(), str(f)][1], r"it has no config.json"),
        (
            lambda f: [[p.unlink() for p in f.glob("tokenizer*")], str(f)][1],
            r"no tokenizer could be loaded from .*complete\?",
        ),
        (lambda f: [(f / "model.safetensors").unlink(), str(f)][1], r"no model could be loaded from .*complete\?"),
        (lambda f: [(f / "config.json").write_text("{"), str(f)][1], r"could be loaded from"),
    ],
)
def test_a_folder_that_is_no_model_is_one_line(tmp_path, spoil, message):
    folder = tiny_model(tmp_path / "m", layers=1)
    with pytest.raises(EngineError, match=message) as caught:
        open_engine("hf", spoil(folder), device="cpu")
    assert "\n" not in str(caught.value)


def test_settings_that_cannot_be_are_one_line(folders):
    folder = str(folders["qwen3"])
    with pytest.raises(EngineError, match="dtype 'float31' is unknown"):
        open_engine("hf", folder, dtype="float31")
    with pytest.raises(EngineError, match="cannot be put on device 'cuda:9'"):
        open_engine("hf", folder, device="cuda:9")
    with pytest.raises(ConfigError, match=r"engine hf has no option 'devise'\. Did you mean 'device'"):
        open_engine("hf", folder, devise="cpu")
    with pytest.raises(ConfigError, match=r"unknown engine 'vlm'\. Did you mean 'vllm'"):
        open_engine("vlm", folder)
    assert list(ENGINES) == ["hf", "vllm", "server", "replay"]


@pytest.mark.parametrize(
    ("engine", "package", "extra"), [("hf", "torch", "train"), ("vllm", "vllm", "vllm"), ("server", "httpx", "server")]
)
def test_what_is_not_installed_is_one_line(monkeypatch, folders, engine, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package} is not installed.*pip install 'epiverb\[{extra}\]'"):
        open_engine(engine, str(folders["qwen3"]))
