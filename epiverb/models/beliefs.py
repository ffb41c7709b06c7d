"""Log-probabilities of candidate answers behind many prefixes of one trace.

One pass over the trace fills a key-value cache; one more scores all continuations of all prefixes: each token attends to
the cache up to the end of its own prefix and to its own ancestors, at the position it would have had. That is exact for
attention that looks back all the way or through a sliding window, and impossible for recurrent layers, whose state of
earlier tokens is gone; for those there is one pass a prefix and candidate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from epiverb.errors import AlignmentError, EngineError
from epiverb.models.heads import Row, Split, Whole
from epiverb.models.probe import Ints, Probe

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]

LOGITS_BYTES = 256 << 20
"""What the logits of one pass may take: 430 positions at a vocabulary of 151,936."""
MASK_CELLS = 32 << 20
KINDS = {"full_attention", "sliding_attention"}
"""Layers whose past can be shared."""


@dataclass(frozen=True)
class Forced:
    """What the model would answer behind each prefix."""

    logp_N_K: Array
    """Natural log-probability of each candidate behind the stem, its end included; NaN: the model gave no number."""
    scored_K: Ints
    """Tokens in each."""
    closed_N: Array
    """Entropy in nats of the next token behind the closing tag (EAT)."""
    asked_N: Array
    """Entropy in nats of the first token of the answer."""


def force(
    parts: Split | Whole, ids_T: Sequence[int], ends_N: Sequence[int] | Ints, probe: Probe, *, share: bool | None = None
) -> Forced:
    """Log-probabilities of the probe's candidates behind `ids_T[:end]` for each end, with the entropies on the way.

    Args:
        parts: a transformers causal language model in evaluation mode, by `heads.take_apart`.
        ends_N: numbers of tokens of the prefixes, each at least one.
        share: one pass for all; None: where the model allows it (`why_not`).

    Raises:
        AlignmentError: a prefix that is empty or longer than the tokens.
        EngineError: the longest prefix with its continuation does not fit into the model, or it cannot be shared.
    """
    import torch

    ends = np.asarray(ends_N, dtype=np.int64)
    if len(ends) and (ends.min() < 1 or ends.max() > len(ids_T)):
        raise AlignmentError(f"prefixes of {ends.min()} to {ends.max()} tokens in a trace of {len(ids_T)}.")
    reason = why_not(parts)
    if share and reason:
        raise EngineError(f"prefixes cannot share one pass: {reason}; leave it to separate passes.")
    shared = reason is None and share is not False
    with torch.inference_mode():
        return (_shared if shared else _separate)(parts, ids_T, ends, probe)


def why_not(parts: Split | Whole) -> str | None:
    """Why prefixes cannot share one pass of this model; None: they can."""
    if isinstance(parts, Whole):
        return f"the model does not come apart into a body and a head ({parts.how})"
    config = parts.model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if other := kinds - KINDS:
        return f"it has layers of kind {', '.join(sorted(other))}, whose past cannot be shared"
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window and "sliding_attention" not in kinds:
        return "it has a sliding window and does not say in which layers"
    if config._attn_implementation not in ("eager", "sdpa"):
        return f"its attention is {config._attn_implementation}, which takes no mask; load it with sdpa or eager"
    return None


def _shared(parts: Any, ids_T: Sequence[int], ends: Ints, probe: Probe) -> Forced:
    import torch
    from transformers import DynamicCache

    device, tree, length = parts.model.device, probe.tree, int(ends.max(initial=1))
    cache = DynamicCache()  # without the config, so that sliding layers keep what earlier prefixes need
    parts.hidden(torch.tensor([list(ids_T[:length])], device=device), cache)
    outputs, order = [], np.argsort(ends, kind="stable")
    for part in _parts(ends[order], len(tree.fed), length, parts.vocabulary):
        past = _first(cache, int(part[-1]))
        token = torch.tensor(np.tile(tree.token[tree.fed], len(part)), device=device)[None]
        place = torch.tensor((part[:, None] + tree.depth[tree.fed]).reshape(1, -1), device=device)
        mask = _masks(parts.model, part, probe, place)
        found = parts.body(
            input_ids=token, attention_mask=mask, position_ids=place, past_key_values=past, use_cache=True
        )
        outputs.append(_read(parts, found.last_hidden_state[0], len(part), probe))
    back = np.argsort(order)
    logp, closed, asked = (np.concatenate(column)[back] for column in zip(*outputs, strict=True))
    return Forced(logp, probe.scored_K, closed, asked)


def _first(cache: Any, length: int) -> Any:
    """A cache of the first tokens alone: what short prefixes do not see need not be masked from them."""
    from transformers import DynamicCache

    part = DynamicCache()
    for i, layer in enumerate(cache.layers):
        part.update(layer.keys[..., :length, :], layer.values[..., :length, :], i)
    return part


def _parts(ends: Ints, nodes: int, length: int, vocabulary: int) -> Iterator[Ints]:
    """Prefixes whose continuations go into one pass: by the memory of logits and mask.

    Tokens of one pass are masked from those of other prefixes but looked at all the same: no more than a tenth of what
    the cache holds.
    """
    rows = min(LOGITS_BYTES // (4 * vocabulary), MASK_CELLS // (2 * length), max(length // 10, 128))
    step = max(1, rows // nodes)
    yield from (ends[i : i + step] for i in range(0, len(ends), step))


def _masks(model: Any, ends: Ints, probe: Probe, place: torch.Tensor) -> Any:
    """What each continuation token attends to: the cache before the end of its prefix, its ancestors, itself.

    Args:
        ends: rising; the cache ends with the last of them.
    """
    import torch

    sees = torch.tensor(probe.tree.sees, device=place.device)
    nodes, blocks = len(sees), len(ends)
    before = torch.arange(int(ends[-1]), device=place.device)
    cached = (before[None] < torch.tensor(ends, device=place.device)[:, None]).repeat_interleave(nodes, 0)
    own = torch.block_diag(*[sees] * blocks).bool()
    allowed = torch.cat([cached, own], 1)
    masks = {"full_attention": _additive(allowed, model.dtype)}
    config = model.config.get_text_config()
    if "sliding_attention" not in (getattr(config, "layer_types", None) or ()):
        return masks["full_attention"]
    distance = place[0][:, None] - torch.cat([before, place[0]])[None]
    masks["sliding_attention"] = _additive(allowed & (distance < config.sliding_window), model.dtype)
    return masks


def _additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    import torch

    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[None, None]


def _read(parts: Split, hidden_R_H: torch.Tensor, blocks: int, probe: Probe) -> tuple[Array, Array, Array]:
    """Log-probabilities (prefix by candidate) and the two entropies, from the states of the fed nodes."""
    tree = probe.tree
    path = tree.paths[0]
    asked, closed = path[probe.asked - 1], path[probe.closed - 1] if probe.closed else None
    scored = [np.array(nodes[probe.asked :]) for nodes in tree.paths]
    # Logits of the stem's own tokens would be most of the work, and nothing is read off them.
    read = np.unique([*tree.parent[np.concatenate(scored)], *([] if closed is None else [closed])])
    chosen = _at_nodes(hidden_R_H, np.searchsorted(tree.fed, read), len(tree.fed))
    logp_N_R_V = log_softmax(parts.head(chosen)).reshape(blocks, len(read), -1)
    steps = [
        logp_N_R_V[:, np.searchsorted(read, tree.parent[nodes]), tree.token[nodes]].double().sum(1) for nodes in scored
    ]
    logp_N_K = np.stack([step.cpu().numpy() for step in steps], 1)
    entropy = {
        node: _entropy(logp_N_R_V[:, np.searchsorted(read, node)]) for node in (asked, closed) if node is not None
    }
    return logp_N_K, np.full(blocks, np.nan) if closed is None else entropy[closed], entropy[asked]


def _at_nodes(hidden_R_H: torch.Tensor, places: Ints, nodes: int) -> torch.Tensor:
    """The states at `places` of every block of `nodes` rows."""
    blocks = hidden_R_H.reshape(-1, nodes, hidden_R_H.shape[1])
    return blocks[:, places].reshape(-1, hidden_R_H.shape[1])


def _entropy(logp_N_V: torch.Tensor) -> Array:
    """Entropy in nats of each row."""
    import torch

    return torch.special.entr(logp_N_V.exp()).sum(-1).double().cpu().numpy()


def log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Natural log-probabilities, float32."""
    return logits.float().log_softmax(-1)


def _separate(parts: Split | Whole, ids_T: Sequence[int], ends: Ints, probe: Probe) -> Forced:
    """The same by one pass a prefix and candidate."""
    rows: list[list[float]] = []
    closed, asked = [], []
    for end in ends:
        row = []
        for path in probe.paths:
            row_of = Row(tuple(ids_T[:end]), path)
            parts.prepare([row_of])
            logp_T_V = log_softmax(parts.logits([(row_of, 0, len(path))]))
            steps = logp_T_V[range(len(path)), path][probe.asked :]
            row.append(float(steps.double().sum()))
        rows.append(row)
        told = _entropy(logp_T_V)
        closed.append(told[probe.closed] if probe.closed else np.nan)
        asked.append(told[probe.asked])
    return Forced(np.array(rows), probe.scored_K, np.array(closed), np.array(asked))
