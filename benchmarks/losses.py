"""The divergence from hidden states against the ways of others, forward and backward, in one run; prints ratios.

Each variant runs in a process of its own on one thread, in float32, with a trainable head. Memory is the peak of the
resident set less what it was with the inputs in place; time is CPU time, the least of `--repeat` processes, taken in turn.
The rivals: TRL's `full_logits` and `topk_logits` losses on whole logits, and TRL's `ChunkedDivergenceFunction`.

    python benchmarks/losses.py [--repeat 3] [--skip-paper] [--chunks 8 16 ...]

Aims: at T = 2,048 and V = 32,000 a fifth of the memory of whole logits and at most 1.1 times their time; T = 20,480 and
V = 151,936 in under 3 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

WORKER = """
import json, resource, sys, time
import torch
torch.set_num_threads(1)
name, T, V, H, chunk = sys.argv[1], *map(int, sys.argv[2:6])
from epiverb.train.chunked import chunked_divergence
if name.startswith("trl"):
    from trl.experimental.sdpo import loss_utils as trl
    from trl.kernels.chunked_divergence import ChunkedDivergenceFunction
torch.manual_seed(0)
h, W = torch.randn(T, H), torch.randn(V, H) * H**-0.5 * 2
ht, Wt = h + 0.1 * torch.randn(T, H), W
h.requires_grad_(), W.requires_grad_()

def loss():
    if name == "trl-full":
        return trl.compute_full_logit_self_distillation_loss(h @ W.T, ht @ Wt.detach().T, distillation_alpha=0.5).mean()
    if name == "trl-topk":
        return trl.compute_topk_self_distillation_loss(h @ W.T, ht @ Wt.detach().T, distillation_topk=100,
            distillation_alpha=0.5, distillation_add_tail=True).mean()
    if name == "trl-chunked":
        return ChunkedDivergenceFunction.apply(h, W, None, ht, Wt.detach(), None, 0.5)[0].mean()
    return chunked_divergence(h, W, ht, Wt, 0.5, topk=100 if "topk" in name else None, chunk=chunk or None).loss

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

warm = torch.randn(64, 64); (warm @ warm).log_softmax(-1)
before, start = peak(), time.process_time()
value = loss()
value.backward()
print(json.dumps(dict(mb=peak() - before, s=time.process_time() - start, loss=value.item(),
    gradient=[h.grad.norm().item(), W.grad.norm().item()])))
"""


PRECISION = """
import json, sys
import torch
torch.set_num_threads(1)
from epiverb.train.chunked import chunked_divergence
from epiverb.train.losses import divergence
T, V, H = 64, 32_000, 512
torch.manual_seed(0)
h, W = torch.randn(T, H).bfloat16(), (torch.randn(V, H) * H**-0.5 * 2).bfloat16()
for gap in (0.02, 0.1, 0.5):
    ht = (h.double() + gap * torch.randn(T, H)).bfloat16()
    exact = W.double().requires_grad_()
    truth = divergence(h.double() @ exact.T, ht.double() @ W.double().T, 0.5).mean()
    (wanted,) = torch.autograd.grad(truth, exact)
    def off(loss, weight):
        (gradient,) = torch.autograd.grad(loss, weight)
        return abs(loss.item() / truth.item() - 1), ((gradient - wanted).norm() / wanted.norm()).item()
    rounded = W.clone().requires_grad_()
    bf16 = off(divergence(h @ rounded.T, ht @ W.T, 0.5).mean(), rounded)
    single = W.float().requires_grad_()
    fp32 = off(divergence(h.float() @ single.T, ht.float() @ W.float().T, 0.5).mean(), single)
    widened = W.float().requires_grad_()
    ours = off(chunked_divergence(h, widened, ht, W, 0.5).loss, widened)
    print(json.dumps(dict(truth=truth.item(), bf16=bf16, fp32=fp32, ours=ours)))
"""


def precision() -> None:
    """Print how far loss and gradient on the head are from double precision, for bfloat16 hidden states and head."""
    print("\nT=64 V=32,000 H=512, bfloat16 inputs: relative error of loss and gradient against float64")
    print(f"{'JSD':>10} {'logits in bfloat16':>22} {'logits in float32':>22} {'ours':>22}")
    for line in _script(PRECISION).splitlines():
        row = json.loads(line)
        errors = "".join(f"{row[name][0]:14.0e} {row[name][1]:7.0e}" for name in ("bf16", "fp32", "ours"))
        print(f"{row['truth']:10.1e} {errors}")


def _script(code: str, *arguments: object) -> str:
    """What a fresh Python on one thread prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    return done.stdout


def run(name: str, tokens: int, vocabulary: int, hidden: int, chunk: int = 0) -> dict[str, float]:
    """Peak MB, CPU seconds, loss and norms of the gradient of one variant."""
    return json.loads(_script(WORKER, name, tokens, vocabulary, hidden, chunk))


def compare(variants: dict[str, tuple[str, int]], tokens: int, vocabulary: int, hidden: int, repeat: int) -> None:
    """Print the variants, each against the first."""
    rounds = [
        {label: run(name, tokens, vocabulary, hidden, chunk) for label, (name, chunk) in variants.items()}
        for _ in range(repeat)
    ]
    first = next(iter(variants))
    best = {label: {key: min(each[label][key] for each in rounds) for key in ("mb", "s")} for label in variants}
    print(f"\nT={tokens:,} V={vocabulary:,} H={hidden}: peak MB, CPU s, and ratios to {first}")
    for label, figures in best.items():
        ratios = [figures[key] / best[first][key] for key in ("mb", "s")]
        off = abs(rounds[0][label]["loss"] / rounds[0][first]["loss"] - 1)
        print(
            f"{label:28} {figures['mb']:8.0f} {figures['s']:7.2f}   {ratios[0]:6.3f} {ratios[1]:6.3f}   loss differs by {off:.0e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--skip-paper", action="store_true", help="leave the size of the paper out, which takes minutes"
    )
    parser.add_argument("--chunks", type=int, nargs="*", default=[], help="sizes of chunk to try besides the default")
    args = parser.parse_args()
    full = {"TRL full_logits": ("trl-full", 0), "ours": ("ours", 0), "TRL ChunkedDivergence": ("trl-chunked", 0)}
    full |= {f"ours, chunk {size}": ("ours", size) for size in args.chunks}
    compare(full, 2048, 32_000, 512, args.repeat)
    compare(
        {"TRL topk_logits, 100": ("trl-topk", 0), "ours, top 100": ("ours-topk", 0)}, 2048, 32_000, 512, args.repeat
    )
    precision()
    if not args.skip_paper:
        figures = run("ours", 20_480, 151_936, 64)
        print(f"\nT=20,480 V=151,936 H=64: peak {figures['mb']:.0f} MB, {figures['s']:.0f} s of CPU")


if __name__ == "__main__":
    main()
