"""Model folders made on the spot: a config, random weights, a byte-level tokenizer, a chat template of the family's shape.

    folder = tiny_model(tmp_path / "qwen3")            # 0.6 million parameters, written in under a second
    tiny_model(folder, family="r1", window=256)        # see FAMILIES

The weights are drawn from a seed, so the same call writes the same model. Logits are spread widely enough that greedy
decoding has clear winners, and `likely` lifts the chance of tokens (the end of turn, a marker) where a test needs them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LINES = (
    "Wait, let me check this again. Maybe the answer is 4, but perhaps it is 5.",
    "Hmm, actually I think we should double-check: 2 + 2 = 4. Alternatively, count on your fingers.",
    "Please reason step by step, and put your final answer within \\boxed{}.",
    "Correct solution:\n\nCorrectly solve the original question.\n\n",
    "So the final answer is \\boxed{42}. Therefore x = 17 and y = 3, which seems likely. Wait.",
    "What is 12 + 30? Using the numbers 3, 7 and 25, make an equation that equals 46.",
    "<answer> (25 - 3) * 7 </answer> It might be wrong. Let me verify: 22 * 7 = 154, not 46.",
    "设 $n$ 为正整数，求 $n$ 的值。 等等，让我再检查一下。 naïve café 😀",
)
"""What the tokenizer is trained on."""

CHATML = """{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.role == 'assistant' and '</think>' in message.content %}{{- message.content.split('</think>')[-1].lstrip('\n') }}
{%- else %}{{- message.content }}{%- endif %}{{- '<|im_end|>\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"""

TEMPLATES: dict[str, str | None] = {
    "qwen3": CHATML
    + """{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}""",
    "olmo3": """{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n' }}{%- endif %}"""
    + CHATML
    + """{{- '<think>' }}{%- endif %}""",
    "r1": """{{- bos_token }}{%- for message in messages %}{%- if message.role == 'system' %}{{- message.content }}
{%- elif message.role == 'user' %}{{- '<|User|>' + message.content }}
{%- else %}{{- '<|Assistant|>' + message.content.split('</think>')[-1] + eos_token }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|Assistant|><think>\n' }}{%- endif %}""",
    "llama": """{{- bos_token }}{%- for message in messages %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}""",
    "base": None,
}
"""Family -> chat template: thinking by a switch; thinking opened by the template, with a system turn and without; none; no chat."""

SPECIAL: dict[str, tuple[str, ...]] = {
    "qwen3": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "olmo3": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "r1": ("<|end_of_sentence|>", "<|begin_of_sentence|>", "<|User|>", "<|Assistant|>"),
    "llama": ("<|end_of_text|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "base": ("<|end_of_text|>", "<|begin_of_text|>"),
}
"""Family -> special tokens; the first one pads, too."""
EOS: dict[str, tuple[str, ...]] = {
    "qwen3": ("<|im_end|>", "<|endoftext|>"),
    "olmo3": ("<|im_end|>", "<|endoftext|>"),
    "r1": ("<|end_of_sentence|>",),
    "llama": ("<|eot_id|>", "<|end_of_text|>"),
    "base": ("<|end_of_text|>",),
}
"""Family -> what ends a response: `eos_token_id` of the generation config, the tokenizer's own `eos_token` first."""
FAMILIES = tuple(TEMPLATES)


def tiny_model(
    folder: Path | str,
    family: str = "qwen3",
    *,
    window: int = 512,
    hidden: int = 128,
    layers: int = 2,
    seed: int = 0,
    likely: dict[str, float] | None = None,
    readable: bool = True,
    generation: dict[str, Any] | None = None,
    lines: tuple[str, ...] = LINES,
) -> Path:
    """The folder of a model of `family`, written where it was not there, ready for `from_pretrained` and vLLM.

    Args:
        window: `max_position_embeddings`.
        likely: token (as text that is one token) -> what is added to its logit at every position, roughly.
        readable: parts of characters and control characters come up rarely, so that what it writes is text.
        generation: more keys of the generation config.
        lines: what the tokenizer is trained on.
    """
    import torch

    folder = Path(folder)
    if (folder / "model.safetensors").exists():
        return folder
    tokenizer = tiny_tokenizer(family, lines)
    config = _config(family, tokenizer, window, hidden, layers)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        lifts = dict.fromkeys(_unreadable(tokenizer) if readable else (), -8.0)
        lifts |= {tokenizer.convert_tokens_to_ids(_one(tokenizer, text)): by for text, by in (likely or {}).items()}
        _spread(model, lifts)
    ends = [tokenizer.convert_tokens_to_ids(token) for token in EOS[family]]
    model.generation_config.update(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, **(generation or {}))
    if "bos_token" in tokenizer.special_tokens_map:
        model.generation_config.update(bos_token_id=tokenizer.bos_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_tokenizer(family: str = "qwen3", lines: tuple[str, ...] = LINES) -> Any:
    """A byte-level BPE tokenizer of about 500 tokens, trained on `lines`, with the family's special tokens and template.

    `<think>` and `</think>` are one token each that is not special, as in Qwen3 and R1; in OLMo 3, Llama and base models
    they are plain text.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(lines, trainer)
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL[family]])
    if family in ("qwen3", "r1"):
        bpe.add_tokens([AddedToken(token, special=False, normalized=False) for token in ("<think>", "</think>")])
    names = {"pad_token": SPECIAL[family][0], "eos_token": EOS[family][0]}
    if family in ("r1", "llama", "base"):
        bos = SPECIAL[family][1]
        names["bos_token"] = bos
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, bpe.token_to_id(bos))]
        )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, clean_up_tokenization_spaces=False, **names)
    tokenizer.chat_template = TEMPLATES[family]
    return tokenizer


def _config(family: str, tokenizer: Any, window: int, hidden: int, layers: int) -> Any:
    from transformers import LlamaConfig, Olmo3Config, Qwen2Config, Qwen3Config

    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": window,
        "initializer_range": 0.2,
        "tie_word_embeddings": False,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    if family == "qwen3":
        return Qwen3Config(head_dim=hidden // 4, **sizes)
    if family == "olmo3":  # three layers of four look back only so far
        kinds = ["full_attention" if i % 4 == 1 else "sliding_attention" for i in range(layers)]
        return Olmo3Config(sliding_window=32, layer_types=kinds, **sizes)
    return (Qwen2Config if family == "r1" else LlamaConfig)(**sizes)


def _spread(model: Any, likely: dict[int, float]) -> None:
    """Make the logits differ clearly, and lift those of some tokens: through one hidden unit that is always on."""
    import torch

    head = model.get_output_embeddings().weight
    with torch.no_grad():
        head.normal_(0.0, 2.0 / head.shape[1] ** 0.5)
        if not likely:
            return
        for name, weight in model.named_parameters():  # nothing writes to the unit...
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight[0] = 0.0
        size: list[float] = []
        hook = model.model.norm.register_forward_pre_hook(
            lambda _, args: size.append(args[0].pow(2).mean().sqrt().item())
        )
        model(torch.arange(len(head))[None, :100])
        hook.remove()
        model.get_input_embeddings().weight[:, 0] = size[
            0
        ]  # ...so behind the final norm it is about 1 at every position
        head[:, 0] = 0.0
        for token, by in likely.items():
            head[token, 0] = by


def _unreadable(tokenizer: Any) -> list[int]:
    """Tokens that are a part of a character, or a control character."""
    texts = [(i, tokenizer.decode([i])) for i in range(len(tokenizer))]
    return [i for i, text in texts if "\ufffd" in text or (text < " " and text != "\n")]


def _one(tokenizer: Any, text: str) -> str:
    tokens = tokenizer.tokenize(text)
    if len(tokens) != 1:
        raise ValueError(f"{text!r} is {len(tokens)} tokens: {json.dumps(tokens)}")
    return tokens[0]
