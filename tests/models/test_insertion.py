"""Where traces are cut, what stands there then, and what the completions say of it."""

from __future__ import annotations

import pytest

from epiverb.errors import ConfigError
from epiverb.models.base import Completion, Sampling
from epiverb.models.insertion import Recorded, describe, insertions, marked, stop_phrase
from epiverb.models.phrases import PHRASES, n_tokens, neutral, phrase
from tests.models.vocabularies import KINDS, tokenizer

RESPONSE = "Wait, let me check this. Maybe it is 4.\n\nSo the answer is 42. We go on."


def trace(**fields: object) -> Recorded:
    return Recorded(**{"trace_id": "t1", "response": RESPONSE, "text": "Q: ", "correct": False, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.5, 0.8, 0.9, 1.0])
def test_the_cut_is_at_the_token_asked_for(kind: str, fraction: float) -> None:
    own = tokenizer(kind)
    (cut,) = insertions([trace()], own, fractions=[fraction], phrases=[phrase("none")])
    ids = own.encode(RESPONSE, add_special_tokens=False)
    assert cut.extra["n_original"] == len(ids)
    assert cut.extra["position"] == int(fraction * len(ids) + 1e-9)
    assert RESPONSE.startswith(cut.request.prefix)
    kept = own.encode(cut.request.prefix, add_special_tokens=False)
    assert kept == ids[: cut.extra["position"]]
    assert cut.extra["inserted_at"] == len(cut.request.prefix)


def test_a_phrase_stands_behind_the_cut() -> None:
    own = tokenizer("byte-level")
    cuts = list(insertions([trace()], own, budgets=[5], phrases=[phrase("none"), phrase("wait-check")], n=3))
    none, wait = cuts
    assert wait.request.prefix == none.request.prefix + "\n\nWait, let me double-check."
    assert (wait.request.n, wait.request.text) == (3, "Q: ")
    assert wait.extra["inserted"] == "\n\nWait, let me double-check."
    assert wait.extra["n_inserted"] == n_tokens("Wait, let me double-check.", own)
    assert none.request.key != wait.request.key
    (spaced,) = insertions([trace()], own, budgets=[5], phrases=[phrase("wait")], joint=" ")
    assert spaced.request.prefix.endswith(" Wait")


def test_a_line_break_at_the_cut_needs_no_joint() -> None:
    own = tokenizer("byte-level")
    place = next(
        i for i in range(60) if own.decode(own.encode(RESPONSE, add_special_tokens=False)[:i]).endswith("4.\n\n")
    )
    (cut,) = insertions([trace()], own, budgets=[place], phrases=[phrase("wait")])
    assert cut.request.prefix.endswith("4.\n\nWait")


def test_only_wrong_traces_unless_asked() -> None:
    own = tokenizer("byte-level")
    three = [trace(trace_id=str(c), correct=c) for c in (True, False, None)]
    asked = {"fractions": [0.5], "phrases": [phrase("none")]}
    assert [c.extra["original_trace"] for c in insertions(three, own, **asked)] == ["False"]
    assert len(list(insertions(three, own, **asked, wrong_only=False))) == 3


def test_a_fraction_may_be_of_the_thinking() -> None:
    own = tokenizer("byte-level")
    text = "<think>" + RESPONSE + "</think>\n\n42"
    one = trace(response=text, thinking_start=7, thinking_end=7 + len(RESPONSE))
    asked = {"fractions": [1.0], "phrases": [stop_phrase(cue="The answer is")], "within": "thinking"}
    (cut,) = insertions([one, trace(trace_id="none")], own, **asked)
    assert cut.request.prefix == "<think>" + RESPONSE + "\n\n</think>\n\nThe answer is"


def test_a_character_of_several_tokens_is_not_cut_apart() -> None:
    own = tokenizer("byte-level")
    text = "ab 等等 cd"
    n = len(own.encode(text, add_special_tokens=False))
    for place in range(n):
        (cut,) = insertions([trace(response=text)], own, budgets=[place], phrases=[phrase("none")])
        assert text.startswith(cut.request.prefix)
        assert "\ufffd" not in cut.request.prefix


def test_without_a_tokenizer_code_points_are_counted_and_said_so() -> None:
    (cut,) = insertions([trace()], None, fractions=[0.5], phrases=[phrase("none")])
    assert cut.request.prefix == RESPONSE[: len(RESPONSE) // 2]
    assert cut.extra["unit"] == "characters"


def test_completions_say_what_was_done_to_them() -> None:
    own = tokenizer("byte-level")
    cuts = list(insertions([trace()], own, fractions=[0.5], phrases=[phrase("hmm")]))
    done = Completion(cuts[0].request.key, 0, "Q: ", cuts[0].request.prefix + " 42", None, "stop", extra={"own": 1})
    (completion,) = marked([done], cuts)
    wanted = {"own": 1, "intervention": "insertion", "phrase": "hmm", "fraction": 0.5, "original_trace": "t1"}
    assert wanted.items() <= completion.extra.items()
    assert completion.extra["original_correct"] is False
    assert all(isinstance(value, str | int | float | bool | None) for value in completion.extra.values())
    record = describe(cuts, fractions=[0.5], phrases=[phrase("hmm")])
    assert (record["n_cuts"], record["n_traces"]) == (1, 1)
    assert "2603.15500" in record["phrases"]["hmm"]["source"]


@pytest.mark.parametrize("name", [name for name in PHRASES if PHRASES[name].text])
def test_a_neutral_phrase_is_about_as_long(name: str) -> None:
    own = tokenizer("byte-level")
    other = neutral(phrase(name), own)
    size = n_tokens(phrase(name).text, own)
    assert abs(n_tokens(other.text, own) - size) <= max(3, 0.15 * size)
    assert other.neutral
    assert not any(word in other.text.lower() for word in ("wait", "hmm", "sure", "check", "correct"))


def test_wrong_places_and_names_are_refused() -> None:
    own = tokenizer("byte-level")
    with pytest.raises(ConfigError, match="nowhere to cut"):
        list(insertions([trace()], own, phrases=[phrase("none")]))
    with pytest.raises(ConfigError, match=r"0 to 1, not 1\.5"):
        list(insertions([trace()], own, fractions=[1.5], phrases=[phrase("none")]))
    with pytest.raises(ConfigError, match="response or thinking"):
        list(insertions([trace()], own, fractions=[0.5], phrases=[phrase("none")], within="answer"))
    with pytest.raises(ConfigError, match="Did you mean 'wait-check'"):
        phrase("wait-chek")


def test_a_real_engine_continues_behind_the_phrase(tmp_path: object) -> None:
    from epiverb.models.hf import HF
    from tests.models.tiny import tiny_model

    engine = HF(str(tiny_model(f"{tmp_path}/m")), device="cpu")
    asked = {"fractions": [0.2, 0.8], "phrases": [phrase("none"), phrase("next")], "n": 2}
    cuts = list(insertions([trace()], engine.tokenizer, **asked))
    done = list(marked(engine.generate((cut.request for cut in cuts), Sampling(max_tokens=8)), cuts))
    assert len(done) == 8
    by_key = {cut.request.key: cut for cut in cuts}
    for completion in done:
        prefix = by_key[completion.key].request.prefix
        assert completion.text.startswith(prefix)
        assert completion.given == len(prefix)
        assert completion.text[completion.extra["inserted_at"] :].startswith(completion.extra["inserted"])
