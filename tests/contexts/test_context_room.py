"""Trimming: a real byte-pair tokenizer counts, and the privileged part alone gives way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from epiverb.contexts import parse
from epiverb.contexts.base import Material, PromptTooLong
from epiverb.errors import ConfigError

WORDS = "the square root of two is not a rational number, since p^2 = 2 q^2 has no solution; wait, let me check 1234567890. "


@pytest.fixture(scope="module")
def count():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([WORDS * 20], trainer)

    def counted(messages):
        text = "".join(f"<{m['role']}>{m['content']}</s>" for m in messages) + "<assistant>"
        return len(tokenizer.encode(text).ids)

    return counted


CHAT = ({"role": "system", "content": "You are careful."}, {"role": "user", "content": "Is it rational?"})
SOLUTION = WORDS * 8


@pytest.mark.parametrize("spec", ["solution", "solution@sdpo-yaml", "solution@sdpo-dataclass", "wrong", "uncertain"])
def test_trimmed_to_the_token(count, spec):
    material = Material(CHAT, solution=SOLUTION, wrong=SOLUTION)
    context = parse(spec)
    whole = count(context(material).messages)
    empty = count(context(Material(CHAT, solution="x", wrong="x")).messages)
    for room in range(empty + 2, whole + 1, 7):
        shown = context(material, room=room, count=count)
        used = count(shown.messages)
        assert used <= room
        assert shown.trimmed == whole - used
        assert SOLUTION.startswith(shown.context)
        # Its end is what is cut: instruction, question and the other turns are whole.
        turn, full = shown.messages[-1]["content"], context(material).messages[-1]["content"]
        assert turn.replace(shown.context, "", 1) == full.replace(SOLUTION, "", 1)
        assert shown.messages[0] == CHAT[0]
        if shown.trimmed:
            longer = Material(
                CHAT, solution=SOLUTION[: len(shown.context) + 1], wrong=SOLUTION[: len(shown.context) + 1]
            )
            assert count(context(longer).messages) > room
    assert context(material, room=whole, count=count).trimmed == 0


def test_no_room(count):
    material = Material(CHAT, solution=SOLUTION)
    bare = count(CHAT)
    with pytest.raises(PromptTooLong, match=rf"room for {bare - 1}; the question alone is longer \({bare} tokens"):
        parse("solution")(material, room=bare - 1, count=count)
    with pytest.raises(PromptTooLong, match="nothing of the context would be left"):
        parse("solution")(material, room=bare + 1, count=count)
    with pytest.raises(PromptTooLong, match=f"{bare} tokens and room for {bare - 1}"):
        parse("none")(material, room=bare - 1, count=count)
    assert parse("none")(material, room=bare, count=count).messages == CHAT
    for spec in ("none", "solution", "fraction:0.5:tokens"):
        with pytest.raises(ConfigError, match="needs a count"):
            parse(spec)(material, room=10)


def test_feedback_stays_when_the_solution_is_trimmed(count):
    material = Material(CHAT, solution=SOLUTION, feedback="Your answer is incorrect.")
    shown = parse("solution-and-feedback")(material, room=250, count=count)
    assert shown.context.endswith("\n\nYour answer is incorrect.")
    assert shown.trimmed > 0
    assert SOLUTION.startswith(shown.context.removesuffix("\n\nYour answer is incorrect."))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_fraction_by_tokens(count, share):
    material = Material(CHAT, solution=SOLUTION)
    shown = parse(f"fraction:{share}:tokens")(material, count=count)
    bare = count(parse("none@analysis")(material).messages)
    tokens = count(parse("solution")(material).messages) - bare
    assert (count(shown.messages) - bare) / tokens == pytest.approx(share, abs=0.03)
    assert shown.trimmed == 0
    assert SOLUTION.startswith(shown.context)


def test_fraction_is_trimmed_after_it_is_cut(count):
    material = Material(CHAT, solution=SOLUTION)
    half = parse("fraction:0.5")(material)
    shown = parse("fraction:0.5")(material, room=100, count=count)
    assert half.context.startswith(shown.context)
    assert shown.trimmed == count(half.messages) - count(shown.messages) > 0


@settings(max_examples=60, deadline=None)
@given(solution=st.text(min_size=1, max_size=200).filter(str.strip), room=st.integers(1, 200))
def test_any_text_fits_or_says_why(count, solution, room):
    try:
        shown = parse("solution")(Material(CHAT, solution=solution), room=room, count=count)
    except PromptTooLong:
        return
    assert count(shown.messages) <= room
    assert solution.startswith(shown.context)
    assert (shown.trimmed == 0) or shown.context != solution
