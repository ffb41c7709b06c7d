"""The hf engine against plain `generate`, same tiny model, same prompts, one run; prints tokens per second and their ratio.

The rival is what a script does: one `model.generate(num_return_sequences=n)` call a prompt, its outputs decoded. Both sample
at temperature 1 up to the same limit and count what they generated, the end-of-turn token not; finished rows of the
rival are not counted as tokens, though it computes them. The two take turns, so that a busy machine slows both.

    python benchmarks/sampling.py [--prompts 16] [--samples 8] [--tokens 128] [--repeat 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

from epiverb.models import open_engine
from epiverb.models.base import Request, Sampling
from tests.models.tiny import tiny_model


def plain(engine, requests, sampling):
    """Tokens of one `generate` call a prompt."""
    import torch

    torch.manual_seed(sampling.seed)
    n = 0
    for request in requests:
        prompt = engine.render(request)
        inputs = engine.tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        out = engine.model.generate(
            **inputs, do_sample=True, top_k=0, num_return_sequences=sampling.n, max_new_tokens=sampling.max_tokens
        )
        for row in out[:, inputs["input_ids"].shape[1] :]:
            ids = row.tolist()
            end = next((i for i, token in enumerate(ids) if token in engine.eos), len(ids))
            engine.tokenizer.decode(ids[:end], skip_special_tokens=False)
            n += end
    return n


def ours(engine, requests, sampling):
    """Tokens of the engine."""
    return sum(completion.n_tokens for completion in engine.generate(requests, sampling))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_model(Path(folder) / "qwen3", layers=4, window=1024, likely={"<|im_end|>": 0.5})
        engine = open_engine("hf", str(model))
        questions = [
            f"What is {i} + {i * 7 % 31}? " + "Wait, let me check this again. " * (i % 4) for i in range(args.prompts)
        ]
        requests = [Request(f"q{i}", messages=({"role": "user", "content": text},)) for i, text in enumerate(questions)]
        sampling = Sampling(n=args.samples, max_tokens=args.tokens)
        speeds = {plain: [], ours: []}
        for function in speeds:
            function(engine, requests[:2], sampling)
        for _ in range(args.repeat):
            for function, found in speeds.items():
                start = time.perf_counter()
                n = function(engine, requests, sampling)
                found.append(n / (time.perf_counter() - start))
    rival, own = (statistics.median(found) for found in speeds.values())
    print(f"{args.prompts} prompts x {args.samples} samples, at most {args.tokens} tokens, Qwen3 shape, CPU, 1 thread")
    print(f"generate, a call a prompt   {rival:8,.0f} tokens/s")
    print(f"epiverb hf                  {own:8,.0f} tokens/s")
    print(f"ratio                       {own / rival:8.2f}")


if __name__ == "__main__":
    main()
