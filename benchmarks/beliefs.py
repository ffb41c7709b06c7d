"""Beliefs behind 50 prefixes of one trace: one pass over a shared cache against one pass a prefix; prints the ratio.

The rival is generous: it scores all candidates of a prefix together, by the same code over a cache of that prefix alone.
The plainest way, a pass a prefix and candidate, is timed on a few prefixes and scaled. A model is made from a config on the
spot, weights at random: what is timed does not depend on them. Body and head weigh 3 to 1, as in Qwen3-0.6B.

    python benchmarks/beliefs.py [--tokens 2000] [--prefixes 50] [--hidden 256] [--layers 8] [--vocabulary 8192] [--repeat 3]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from epiverb.models.beliefs import force
from epiverb.models.heads import take_apart
from epiverb.models.probe import Probe

FEW = 4
"""Prefixes on which the plainest way is timed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (
        ("tokens", 2000), ("prefixes", 50), ("hidden", 256), ("layers", 8), ("vocabulary", 8192), ("repeat", 3),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=args.vocabulary, hidden_size=args.hidden, intermediate_size=3 * args.hidden,
        num_hidden_layers=args.layers, num_attention_heads=4, num_key_value_heads=2, head_dim=args.hidden // 4,
        max_position_embeddings=args.tokens + 64,
    )  # fmt: skip
    parts = take_apart(Qwen3ForCausalLM(config).eval())
    rng = np.random.default_rng(0)
    ids = rng.integers(0, args.vocabulary, args.tokens).tolist()
    # Tag, eight tokens of stem, five answers of three tokens, a brace: what the stem `boxed` comes to with Qwen3's tokenizer.
    stem = rng.integers(0, args.vocabulary, 9).tolist()
    answers = [[*rng.integers(0, args.vocabulary, 3).tolist(), 1] for _ in range(5)]
    probe = Probe(tuple((*stem, *answer) for answer in answers), 1, len(stem))
    ends = np.unique(np.linspace(20, args.tokens, args.prefixes).astype(int)).tolist()
    shared, apart, plain = [], [], []
    for _ in range(args.repeat):
        shared.append(timed(lambda: force(parts, ids, ends, probe)))
        apart.append(timed(lambda: [force(parts, ids, [end], probe) for end in ends]))
        few = ends[:: max(1, len(ends) // FEW)]
        plain.append(timed(lambda few=few: force(parts, ids, few, probe, share=False)) * len(ends) / len(few))
    together, alone = force(parts, ids, ends, probe), [force(parts, ids, [end], probe) for end in ends]
    off = max(np.abs(together.logp_N_K[i] - one.logp_N_K[0]).max() for i, one in enumerate(alone))
    one, many, naive = (statistics.median(times) for times in (shared, apart, plain))
    print(f"{len(ends)} prefixes of {args.tokens} tokens, {len(answers)} candidates, {torch.get_num_threads()} threads")
    print(f"one pass over a shared cache     {one:8.2f} s")
    print(
        f"one pass a prefix                {many:8.2f} s   ratio {many / one:6.1f}  (each run: {_ratios(apart, shared)})"
    )
    print(f"one pass a prefix and candidate  {naive:8.2f} s   ratio {naive / one:6.1f}")
    print(f"largest difference of a log-probability: {off:.1e}")


def timed(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _ratios(many: list[float], one: list[float]) -> str:
    return ", ".join(f"{a / b:.1f}" for a, b in zip(many, one, strict=True))


if __name__ == "__main__":
    main()
