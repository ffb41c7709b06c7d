"""The tokenizer of the lab: words as tokens, saved as an ordinary folder that transformers loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from epiverb.lab import words
from epiverb.lab.words import END, PAD, SPECIAL, START, TAGS, THINK, THOUGHT, UNKNOWN

_TEMPLATE = (
    "{%- for message in messages %}"
    f"{{{{- '{START}' + message.role + '\\n' + message.content + '{END}\\n' }}}}"
    "{%- endfor %}"
    f"{{%- if add_generation_prompt %}}{{{{- '{START}assistant\\n' }}}}"
)
TEMPLATES = {
    True: _TEMPLATE + "{%- endif %}",
    False: _TEMPLATE + f"{{{{- '{THINK}\\n\\n{THOUGHT}\\n\\n' }}}}{{%- endif %}}",
}
"""By whether the model thinks; where it does not, an empty block of thinking stands before its response."""


def build(*, think: bool = True) -> Any:
    """The tokenizer. A text of the lab is decoded to itself; a stretch of anything else is one unknown token."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    written = {word: plain.pre_tokenize_str(word)[0][0] if word in words.WORDS else word for word in words.IDS}
    made = Tokenizer(models.WordLevel({written[word]: i for word, i in words.IDS.items()}, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(words.PATTERN), "isolated"), plain])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    made.add_tokens([AddedToken(token, special=False, normalized=False) for token in TAGS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token=UNKNOWN,
        pad_token=PAD,
        eos_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
    tokenizer.chat_template = TEMPLATES[think]
    return tokenizer


def save(folder: Path, *, think: bool = True) -> None:
    """Write the tokenizer's files into `folder`."""
    build(think=think).save_pretrained(folder)
