"""The sizes of a model from its `config.json`, or from a table where there is no file at hand. Nothing is loaded.

The families whose layers are built alike: attention with grouped keys, a gated MLP of three matrices, RMS norms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("qwen2", "qwen3", "llama", "mistral", "olmo2", "olmo3")
"""Values of `model_type` whose parameters are counted here."""


@dataclass(frozen=True)
class Shape:
    """A dense decoder."""

    kind: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    window: int
    head: int
    """Width of an attention head."""
    tied: bool
    """The embedding is the output head, too."""
    source: str

    @property
    def queries(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head

    @property
    def keys(self) -> int:
        """Width of all key heads, and of all value heads."""
        return self.kv_heads * self.head

    @property
    def parameters(self) -> int:
        """All weights of the model."""
        return self.layers * self._layer + self.vocabulary * self.hidden * (1 if self.tied else 2) + self.hidden

    @property
    def _layer(self) -> int:
        attention = 2 * self.hidden * (self.queries + self.keys)
        biases = self.queries + 2 * self.keys if self.kind == "qwen2" else 0
        norms = {"qwen3": 2 * self.head, "olmo2": self.queries + self.keys, "olmo3": self.queries + self.keys}
        return attention + biases + norms.get(self.kind, 0) + 3 * self.hidden * self.intermediate + 2 * self.hidden

    def lora(self, rank: int) -> int:
        """Weights of low-rank factors on all linear layers but the output head."""
        pairs = [(self.hidden, self.queries), (self.hidden, self.keys), (self.hidden, self.keys)]
        pairs += [(self.queries, self.hidden)] + 3 * [(self.hidden, self.intermediate)]
        return self.layers * rank * sum(a + b for a, b in pairs)

    @property
    def cached(self) -> int:
        """Bytes of keys and values that a token leaves in a cache of half precision."""
        return 2 * 2 * self.layers * self.keys


_HUB = "config.json of the model's repository on the hub"
_QWEN3: dict[str, tuple[int, int, int, int, bool]] = {
    "0.6B": (1024, 28, 16, 3072, True),
    "1.7B": (2048, 28, 16, 6144, True),
    "4B": (2560, 36, 32, 9728, True),
    "8B": (4096, 36, 32, 12288, False),
    "14B": (5120, 40, 40, 17408, False),
    "32B": (5120, 64, 64, 25600, False),
}
TABLE = {
    f"Qwen/Qwen3-{name}": Shape("qwen3", hidden, layers, heads, 8, inner, 151936, 40960, 128, tied, _HUB)
    for name, (hidden, layers, heads, inner, tied) in _QWEN3.items()
}
TABLE["deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"] = Shape(
    "qwen2", 1536, 28, 12, 2, 8960, 151936, 131072, 128, False, _HUB
)
TABLE["deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"] = Shape(
    "qwen2", 3584, 28, 28, 4, 18944, 152064, 131072, 128, False, _HUB
)
TABLE["allenai/Olmo-3-7B-Instruct"] = Shape("olmo3", 4096, 32, 32, 32, 11008, 100278, 65536, 128, False, _HUB)
"""Hub name -> sizes, of the models of the recipes and their siblings."""


def shape_of(model: str) -> Shape | str:
    """The sizes of `model`, a folder or a name of the hub; text: why they are not known."""
    if Path(model).is_dir():
        try:
            return _read(json.loads((Path(model) / "config.json").read_text("utf-8")), f"{model}/config.json")
        except (OSError, ValueError):
            return f"{model} has no config.json that can be read"
    found = next((shape for name, shape in TABLE.items() if name.lower() == model.lower()), None)
    return found or _cached(model)


def _cached(model: str) -> Shape | str:
    """From the hub's cache on this machine; the hub itself is not asked."""
    unknown = f"the sizes of {model} are not known without its config.json; give its folder"
    try:
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(model, "config.json")
    except (ImportError, ValueError):
        return unknown
    return _read(json.loads(Path(path).read_text("utf-8")), path) if isinstance(path, str) else unknown


def _read(config: dict[str, Any], source: str) -> Shape | str:
    kind = str(config.get("model_type"))
    if kind not in KINDS or config.get("num_experts"):
        return f"{source}: models of type {kind!r} are not reckoned; known are {', '.join(KINDS)}"
    try:
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        return Shape(
            kind=kind,
            hidden=hidden,
            layers=config["num_hidden_layers"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            intermediate=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            window=config["max_position_embeddings"],
            head=config.get("head_dim") or hidden // heads,
            tied=bool(config.get("tie_word_embeddings")),
            source=source,
        )
    except KeyError as error:
        return f"{source} has no {error.args[0]}"
