"""A tiny model that answers: it has learned to say one of a few short responses, right or wrong, whatever it is asked."""

from __future__ import annotations

from pathlib import Path

from tests.models.tiny import LINES, tiny_model

SAID = (
    "<think>\nWait, maybe it is 4.\n</think>\n\nSo \\boxed{4}.",
    "<think>\nHmm, perhaps it is 5. Wait, it is 5.\n</think>\n\nSo \\boxed{5}.",
    "<think>\nIt is 4.\n</think>\n\n\\boxed{4}",
    "<think>\nIt is 5.\n</think>\n\n\\boxed{5}",
)
"""Half of them are right where the gold answer is 4."""


def taught_model(folder: Path, *, hidden: int = 64) -> Path:
    """The folder of a Qwen3-style model that says one of `SAID`, each as often as the others; written in some seconds.

    Its heads have `hidden` / 4 dimensions; vLLM on a CPU wants 32 or more.
    """
    import torch
    import transformers

    tiny_model(folder, hidden=hidden, window=2048, readable=False, lines=(*LINES, *SAID))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    net = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(0)
    head = tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)
    end = tokenizer.encode("<|im_end|>", add_special_tokens=False)
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
    bodies = [tokenizer.encode(text, add_special_tokens=False) + end for text in SAID]
    for step in range(160):
        # Anything may stand before the turn: what was shown does not matter to it, only where its turn begins.
        before = torch.randint(0, 500, (int(torch.randint(1, 60, ())),)).tolist()
        rows = [before + head + body for body in bodies]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        labels = ids.clone()
        for row, body in enumerate(bodies):
            labels[row, : len(before) + len(head)] = -100
            labels[row, len(before) + len(head) + len(body) :] = -100
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / 160)
        net(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    net.save_pretrained(folder)
    return folder
