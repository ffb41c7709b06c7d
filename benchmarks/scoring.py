"""Scoring a trace against the plain way, one forward pass with all logits: peak memory and time, as ratios.

    python benchmarks/scoring.py                      # 8,192 tokens, a vocabulary of 151,936, a tiny hidden size
    python benchmarks/scoring.py --tokens 2048 --hidden 256

Both give the log-probability, the exact entropy and the 20 most likely tokens of every token, in float32. The plain way is
what one writes first: `log_softmax` of all logits, then what follows from it. Each way runs in a process of its own; its
memory is the peak resident size above that of the loaded model, and its time the CPU's, the best of `--repeats`: other
work on the machine changes that less than the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

K = 20


def _model(args: argparse.Namespace) -> Any:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    config = Qwen3Config(
        vocab_size=args.vocabulary, hidden_size=args.hidden, intermediate_size=2 * args.hidden, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=args.hidden // 4, tie_word_embeddings=True,
        max_position_embeddings=args.tokens + 64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def _plain(model: Any, prompt: list[int], response: list[int]) -> dict[str, Any]:
    import torch

    with torch.inference_mode():
        logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].float()
        logp = logits.log_softmax(-1)
        del logits  # at 8,192 tokens the plainest way would need 20 GB; this one needs half of it
        own = logp.gather(1, torch.tensor(response)[:, None])[:, 0]
        top = logp.topk(K, -1).values
        return {"logprob": own, "entropy": -logp.exp().mul_(logp).sum(-1), "top": top}


def _ours(scorer: Any, prompt: list[int], response: list[int]) -> dict[str, Any]:
    from epiverb.models.scorer import Item

    (scored,) = scorer.score([Item("t", tuple(prompt), tuple(response))], k=K)
    return {"logprob": scored["logprob"], "entropy": scored["entropy"], "top": scored["top_logprobs"]}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Seconds, bytes and checksums of one way, in this process."""
    import numpy as np

    model = _model(args)
    rng = np.random.default_rng(0)
    prompt, response = (rng.integers(3, args.vocabulary, n).tolist() for n in (32, args.tokens))
    way: Any = _plain
    engine = model
    if args.way == "epiverb":
        from epiverb.models.hf import HF
        from epiverb.models.scorer import Scorer

        engine, way = Scorer(HF.over(model, _NoTokenizer())), _ours
    way(engine, prompt, response[:64])  # what is loaded and allocated once
    before, seconds = _peak(), []
    for _ in range(args.repeats):
        start = time.process_time()
        found = way(engine, prompt, response)
        seconds.append(time.process_time() - start)
    sums = {name: float(np.asarray(values, dtype=np.float64).sum()) for name, values in found.items()}
    return {"seconds": min(seconds), "bytes": _peak() - before, **sums}


class _NoTokenizer:
    """Stands for the tokenizer, which ids need none of."""

    chat_template = None
    eos_token_id = 2
    name_or_path = ""


def main() -> None:
    """Measure both ways and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    parser.add_argument("--way", choices=("plain", "epiverb"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args)))
        return
    found = {}
    for way in ("plain", "epiverb"):
        done = subprocess.run([sys.executable, *sys.argv, "--way", way], stdout=subprocess.PIPE, check=True, text=True)
        found[way] = json.loads(done.stdout.splitlines()[-1])
        print(f"{way:8} {found[way]['seconds']:7.2f} s  {found[way]['bytes'] / 2**20:9.0f} MiB")
    plain, ours = found["plain"], found["epiverb"]
    off = max(abs(plain[name] - ours[name]) / abs(plain[name]) for name in ("logprob", "entropy", "top"))
    print(
        f"{args.tokens:,} tokens, {args.vocabulary:,} in the vocabulary, hidden {args.hidden}, {args.threads} threads"
    )
    print(f"time   {ours['seconds'] / plain['seconds']:.2f} of the plain way's")
    print(f"memory {ours['bytes'] / plain['bytes']:.3f} of the plain way's")
    print(f"sums differ by {off:.1e} of their size")


if __name__ == "__main__":
    main()
