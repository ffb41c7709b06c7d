"""The tokenizer: text to tokens and back exactly, the template, and the split of thinking."""

from __future__ import annotations

import random

import polars as pl
import pytest

from epiverb.contexts import parse
from epiverb.contexts.base import Material
from epiverb.lab import corpus, tokenizer, words
from epiverb.models.tokensets import resolve
from epiverb.text import lexicon
from epiverb.text.thinking import spans


@pytest.fixture(scope="module", params=["base", "terse"])
def habit(request):
    return corpus.HABITS[request.param]


@pytest.fixture(scope="module")
def loaded(habit, tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp(habit.name)
    tokenizer.save(folder, think=habit.think)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def drawn(habit):
    examples = corpus.examples(habit, random.Random(5))
    return [next(examples) for _ in range(400)]


def chat(example, habit):
    return words.rendered(example.content, think=habit.think) + example.said.text + words.END


def test_texts_come_back_and_tokens_are_what_the_corpus_has(habit, loaded, drawn):
    for example in drawn:
        text = chat(example, habit)
        ids, learned = example.tokens(think=habit.think)
        assert len(ids) == len(learned)
        assert loaded.encode(text) == ids
        if words.IDS[words.UNKNOWN] not in ids:
            assert loaded.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) == text
        else:  # only where a beginning of a solution was cut within a word
            assert example.kind == "part"


def test_offsets_are_those_of_the_tokens(habit, loaded, drawn):
    for example in drawn[:50]:
        text = chat(example, habit)
        found = loaded(text, return_offsets_mapping=True, add_special_tokens=False)
        pieces = [text[begin:end] for begin, end in found["offset_mapping"]]
        assert "".join(pieces) == text
        assert pieces == words.split(text)


def test_the_template_is_what_the_corpus_renders(habit, loaded, drawn):
    for example in drawn[:50]:
        messages = [{"role": "user", "content": example.content}]
        shown = loaded.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert shown == words.rendered(example.content, think=habit.think)


def test_foreign_text_is_unknown_and_nothing_breaks(loaded):
    ids = loaded.encode("Reach 24 from Paris, Wait")
    assert loaded.unk_token_id in ids
    assert loaded.decode(ids).startswith("Reach 24 from <|unknown|>")


def test_thinking_is_split_where_the_tags_stand(habit, drawn):
    texts = [example.said.text for example in drawn]
    found = spans(pl.Series(texts))
    if not habit.think:
        assert found["thinking_start"].null_count() == len(texts)
        return
    assert not found["open"].any()
    for text, end in zip(texts, found["thinking_end"], strict=True):
        rest = text[end:].removeprefix("</think>").strip()
        assert rest.removeprefix("The answer is ").startswith("\\boxed{")


def test_every_marker_of_the_paper_is_one_token(loaded):
    found = resolve(lexicon.load("kim2026"), loaded)
    assert found.describe()["n_single_ids"] == 10
    assert not found.unresolved
    assert set(resolve(lexicon.load("epiverb-en"), loaded).singles.values()) >= {"what if", "wait"}


def test_contexts_of_the_ladder_have_no_unknown_word(loaded):
    text = "<think>\nSo 9 - 5 = 4, 4 * 6 = 24.\n</think>\n\nThe answer is \\boxed{(9 - 5) * 6}"
    question = words.question((5, 6, 9), 24, "+-*")
    material = Material(({"role": "user", "content": question},), "24", text, text, text, text)
    for name in (
        "none",
        "solution",
        "solution-no-think",
        "regenerated",
        "answer",
        "unrelated",
        "wrong",
        "uncertain",
        "concise",
        "direct",
    ):
        for template in ("analysis", "sdpo-yaml"):
            plain = name in ("none", "uncertain", "concise", "direct", "answer")
            content = parse(name if plain else f"{name}@{template}")(material).messages[-1]["content"]
            assert loaded.unk_token_id not in loaded.encode(words.rendered(content, think=True)), content
