"""A tiny model that answers: it has learned to say one of a few short responses, right or wrong, whatever it is asked."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from epiverb.cli import main
from tests.models.tiny import LINES, tiny_model

SAID = (
    "<think>\nWait, maybe it is 4.\n</think>\n\nSo \\boxed{4}.",
    "<think>\nHmm, perhaps it is 5. Wait, it is 5.\n</think>\n\nSo \\boxed{5}.",
    "<think>\nIt is 4.\n</think>\n\n\\boxed{4}",
    "<think>\nIt is 5.\n</think>\n\n\\boxed{5}",
)
"""Half of them are right where the gold answer is 4."""


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def message(self) -> str:
        """The last line of stderr: the mistake, behind any progress."""
        assert "Traceback" not in self.err
        return self.err.strip().splitlines()[-1]


@pytest.fixture
def epiverb(monkeypatch, capsys, tmp_path):
    """Call `epiverb ARGS...` in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EPIVERB_DEBUG", raising=False)

    def call(*args: object, stdin: bytes | None = None) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["epiverb", *map(str, args)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """The folder of a Qwen3-style model that says one of `SAID`, each as often as the others."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = tiny_model(
        tmp_path_factory.mktemp("model") / "qwen3", hidden=64, window=2048, readable=False, lines=(*LINES, *SAID)
    )
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


@pytest.fixture(scope="session")
def problems(tmp_path_factory) -> Path:
    """Twelve problems with the gold answer 4, in a file whose name is their benchmark."""
    file = tmp_path_factory.mktemp("data") / "sums.jsonl"
    rows = [{"problem_id": f"p{i}", "question": f"What is {i} + {4 - i}?", "gold": "4"} for i in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file
