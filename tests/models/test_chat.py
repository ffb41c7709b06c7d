"""Chats become prompts as each family's template has it, thinking switched as the family can."""

from __future__ import annotations

import pytest

from epiverb.errors import EngineError
from epiverb.models.base import Request
from epiverb.models.chat import Chat
from tests.models.tiny import tiny_tokenizer

USER = ({"role": "user", "content": "What is 2 + 2?"},)
SYSTEM = ({"role": "system", "content": "Please reason step by step."}, *USER)
QWEN3 = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
R1 = "<|begin_of_sentence|><|User|>What is 2 + 2?<|Assistant|><think>\n"
OLMO3 = "<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n" + QWEN3 + "<think>"
LLAMA = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWhat is 2 + 2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"


def chat(family, **options):
    return Chat(tiny_tokenizer(family), f"models/{family}", **options)


@pytest.mark.parametrize(
    ("family", "thinking", "prompt"),
    [
        ("qwen3", None, QWEN3),
        ("qwen3", True, QWEN3),
        ("qwen3", False, QWEN3 + "<think>\n\n</think>\n\n"),
        ("r1", None, R1),
        ("r1", True, R1),
        ("r1", False, R1.rstrip() + "\n\n</think>\n\n"),
        ("olmo3", True, OLMO3),
        ("olmo3", False, OLMO3 + "\n\n</think>\n\n"),
        ("llama", None, LLAMA),
    ],
)
def test_prompts_by_family_and_thinking(family, thinking, prompt):
    assert chat(family).render(Request("q", messages=USER, thinking=thinking)) == prompt


@pytest.mark.parametrize("thinking", [True, False])
def test_thinking_that_cannot_be_switched_is_one_line(thinking):
    with pytest.raises(EngineError, match=r"models/llama has no thinking switch .* leave --thinking out"):
        chat("llama").render(Request("q", messages=USER, thinking=thinking))


def test_how_thinking_was_switched_is_on_record():
    qwen3, r1 = chat("qwen3"), chat("r1")
    for thinking in (None, False):
        for one in (qwen3, r1):
            one.render(Request("q", messages=USER, thinking=thinking))
    assert qwen3.how == {"as the template does": "template", "off": "enable_thinking=False"}
    assert r1.how == {"as the template does": "template", "off": "<think> closed at once"}


def test_chats_with_no_template_need_plain():
    with pytest.raises(EngineError, match=r"models/base has no chat template.*--engine-option plain=true"):
        chat("base").render(Request("q", messages=USER))
    plain = chat("base", plain=True)
    assert plain.render(Request("q", messages=USER)) == "What is 2 + 2?"
    assert plain.render(Request("q", messages=SYSTEM)) == "system: Please reason step by step.\n\nuser: What is 2 + 2?"


def test_a_template_that_refuses_is_one_line():
    one = chat("qwen3")
    one.tokenizer.chat_template = "{{ raise_exception('system role not supported') }}"
    with pytest.raises(EngineError, match=r"cannot render a chat of system, user: system role not supported"):
        one.render(Request("q", messages=SYSTEM))


@pytest.mark.parametrize("family", ["r1", "llama"])
def test_the_first_token_is_there_once(family):
    one = chat(family)
    bos = one.tokenizer.bos_token_id
    rendered = one.render(Request("q", messages=USER))
    for request in (Request("q", messages=USER), Request("q", text="What is"), Request("q", text=rendered)):
        ids = one.encode(request).ids
        assert ids[0] == bos
        assert ids.count(bos) == 1
    assert one.encode(Request("q", text=rendered)).ids == one.encode(Request("q", messages=USER)).ids


def test_a_prefix_is_encoded_behind_the_prompt():
    one = chat("qwen3")
    bare, begun = (one.encode(Request("q", messages=USER, prefix=prefix)) for prefix in ("", "<think>\nWait"))
    assert begun.text == bare.text
    assert begun.ids[: len(bare.ids)] == bare.ids
    assert begun.prefix_ids == len(begun.ids) - len(bare.ids) > 0
    assert one.decode(list(begun.ids[-begun.prefix_ids :])) == "<think>\nWait"


def test_decoding_is_exact():
    one = chat("qwen3")
    text = " <think>\nHmm , wait . 设 😀</think>\n\n \\boxed{4}  <|im_start|>"
    assert one.decode(one.tokenizer.encode(text, add_special_tokens=False), after=(5, 6)) == text


def test_a_response_keeps_the_space_it_begins_with():
    """SentencePiece's way: the decoder takes the space off where the text begins."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"▁yes": 0, "▁Wait": 1, "<unk>": 2}, unk_token="<unk>"))
    words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    one = Chat(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>"), "words")
    assert one.decode([1]) == "Wait"
    assert one.decode([1], after=(0,)) == " Wait"


def test_tokens_are_counted_without_special_ones():
    one = chat("llama")
    assert one.count_tokens(["Wait", "", "Wait Wait"]) == [
        len(one.tokenizer.tokenize(t)) for t in ("Wait", "", "Wait Wait")
    ]
    assert one.count_tokens([]) == []
