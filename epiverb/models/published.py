"""Sampling parameters as published, by family of models: what a model is sampled with unless the user says otherwise.

Source: arXiv 2603.24472 v3, section 3 (32,768 tokens) and appendix D (38,912 tokens at evaluation). `top_k` is what the
paper states; its evaluation script parses the flag and does not pass it on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAPER = "arXiv 2603.24472, appendix D"
SECTION_3_TOKENS = 32_768
EVALUATION_TOKENS = 38_912
PROMPT_TOKENS = 2_048
"""The longest question in the same set-up."""


@dataclass(frozen=True)
class Published:
    """What a family of models is sampled with."""

    family: str
    temperature: float
    top_p: float
    top_k: int
    source: str = PAPER


R1 = Published("DeepSeek-R1-Distill", 0.6, 0.95, 20)
QWEN3_THINKING = Published("Qwen3, thinking", 0.6, 0.95, 20)
QWEN3 = Published("Qwen3, not thinking", 0.7, 0.8, 20)
OLMO3 = Published("OLMo-3", 0.6, 0.95, 20)
PLAIN = Published("unknown family", 1.0, 1.0, 0, "the model's own distribution")

_R1_TURN = re.compile(r"<[｜|]Assistant[｜|]>")
"""Stands in the chat template of DeepSeek-R1's distillations, whatever a fine-tuned checkpoint's folder is called."""
_NAMES = ((r"r1[-_.]distill|deepseek[-_.]?r1", R1), (r"qwen-?3", QWEN3_THINKING), (r"olmo-?3", OLMO3))


def published(model: str, thinking: bool | None = None) -> Published:
    """The published parameters for a model folder or name: by its config and template where there are any, else its name.

    A model of no known family is sampled with its own `generation_config.json`, where it has one, else untruncated.
    """
    folder = Path(model)
    found = _by_config(folder) if folder.is_dir() else None
    if found is None:
        found = next((family for pattern, family in _NAMES if re.search(pattern, model, re.IGNORECASE)), None)
    if found is None:
        return _own(folder)
    return QWEN3 if found is QWEN3_THINKING and thinking is False else found


def _by_config(folder: Path) -> Published | None:
    kind = str(_json(folder / "config.json").get("model_type", ""))
    if kind.startswith("qwen3"):
        return QWEN3_THINKING
    if kind.startswith("olmo3"):
        return OLMO3
    template = str(_json(folder / "tokenizer_config.json").get("chat_template") or "")
    file = folder / "chat_template.jinja"
    return R1 if _R1_TURN.search(template + (file.read_text("utf-8") if file.is_file() else "")) else None


def _own(folder: Path) -> Published:
    own = _json(folder / "generation_config.json")
    if not own.get("do_sample") and "temperature" not in own:
        return PLAIN
    return Published(
        PLAIN.family,
        float(own.get("temperature") or 1.0),
        float(own.get("top_p") or 1.0),
        int(own.get("top_k") or 0),
        "its generation_config.json",
    )


def _json(file: Path) -> dict[str, Any]:
    """What a JSON object holds; nothing where there is no such file or it holds something else."""
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
