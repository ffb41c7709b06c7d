"""The parts of a training: rewards, examples, prompts, faults, the run folder."""

from __future__ import annotations

import errno
import json
import time
from types import SimpleNamespace

import pytest

from epiverb.errors import ConfigError, EngineError, MissingExtra, Stopped, StorageError
from epiverb.graders import GRADERS, Task
from epiverb.problems import Problem
from epiverb.verbs.training import examples, faults, folder, problems
from epiverb.verbs.training.rewards import Rewards, graded
from epiverb.verbs.training.template import switched
from tests.models.tiny import tiny_tokenizer

# ---- rewards ----


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """A grader of another package that never comes back where the answer is `hang`."""
    (tmp_path / "slowpack.py").write_text(
        "from epiverb.graders import Grade\n\n\n"
        "class Slow:\n    def __call__(self, tasks):\n"
        "        while any(task.response == 'hang' for task in tasks):\n            pass\n"
        "        return [Grade(task.response == task.gold, 'compared', task.response) for task in tasks]\n"
    )
    info = tmp_path / "slowpack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slowpack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[epiverb.graders]\nslow = slowpack:Slow\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(GRADERS, "_targets", {**GRADERS._targets, "slow": "slowpack:Slow"})


def test_a_grader_that_hangs_is_an_unknown_grade(hanging):
    tasks = [Task("4", "4"), Task("hang", "4"), Task("5", "4"), Task(r"\boxed{4}", "4")]
    begun = time.monotonic()
    found = graded(["slow", "slow", "slow", "math"], tasks, limit=1.0)
    assert time.monotonic() - begun < 60
    assert [grade.correct for grade in found] == [True, None, False, True]
    assert found[1].reason == "the grader slow: time limit"


def test_rewards_count_what_they_do_not_know():
    tokenizer = tiny_tokenizer()
    reward = Rewards(tokenizer)
    said = {}
    texts = [r"<think>maybe 4</think> \boxed{4}", r"\boxed{5}", r"\boxed{4}", "4"]
    ids = [[*tokenizer.encode(text), tokenizer.eos_token_id] for text in texts]
    rewards = reward(
        [[]] * 4, [[{"role": "assistant", "content": "not what is graded"}]] * 4, ids, grader=["math"] * 4,
        gold=["4", "4", None, "4"], extra=["{}"] * 4, log_extra=lambda name, values: said.update({name: values}),
    )  # fmt: skip
    assert rewards == [1.0, 0.0, None, 0.0]
    assert said["correct"] == [True, False, None, False]
    assert said["answer"][:2] == ["4", "5"]
    assert reward.unknown == {said["grade_reason"][2]: 1}
    assert said["feedback"] == [None] * 4


def test_tests_that_fail_are_feedback():
    tokenizer = tiny_tokenizer()
    said = {}
    tests = json.dumps({"tests": [{"input": "2", "output": "4", "testtype": "stdin", "public": True}]})
    text = "```python\nprint(int(input()) * 3)\n```"
    rewards = Rewards(tokenizer)(
        [[]], [text], None, grader=["code"], gold=[None], extra=[tests],
        log_extra=lambda name, values: said.update({name: values}),
    )  # fmt: skip
    assert rewards == [0.0]
    assert said["feedback"][0].startswith("test 1 of 1: another output")


# ---- problems and prompts ----


def source(*questions, **more):
    made = [
        Problem(f"p{i}", "b", ({"role": "user", "content": q},), "4", "math", **more) for i, q in enumerate(questions)
    ]
    return SimpleNamespace(problems=[SimpleNamespace(problem=problem) for problem in made], spec="s", notes=())


def test_long_prompts_are_left_out_and_few_problems_repeated():
    tokenizer = tiny_tokenizer()
    many = source("What is 2 + 2?", "What is 1 + 3?", "What? " * 200, extra={"level": 3})
    found = problems.rows_of([many], tokenizer, max_prompt=60, questions=5, switch={})
    assert [row["problem_id"] for row in found.rows] == ["p0", "p1"] * 3
    assert json.loads(found.rows[0]["extra"]) == {"level": 3}
    assert found.notes == (
        "1 of 3 problems left out: their prompts are longer than 60 tokens",
        "2 problems for a batch of 5 questions: each stands 3 times in it",
    )


@pytest.mark.parametrize("family", ["qwen3", "r1", "olmo3", "llama"])
@pytest.mark.parametrize("thinking", ["on", "off"])
def test_thinking_is_switched_as_when_sampling(family, thinking):
    """What the trainer renders is what `epiverb sample --thinking` shows the model."""
    from epiverb.models.base import Request
    from epiverb.models.chat import Chat

    messages = ({"role": "user", "content": "What is 2 + 2?"},)
    chat = Chat(tiny_tokenizer(family), family)
    tokenizer = tiny_tokenizer(family)
    if family == "llama":
        with pytest.raises(EngineError, match="no thinking switch"):
            switched(tokenizer, thinking, family)
        return
    told = switched(tokenizer, thinking, family)
    shown = tokenizer.apply_chat_template(
        [dict(m) for m in messages], tokenize=False, add_generation_prompt=True, **told
    )
    assert shown == chat.render(Request("", messages, thinking=thinking == "on"))


# ---- examples ----


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_example_is_what_the_model_saw_and_wrote(tmp_path):
    tokenizer = tiny_tokenizer("r1")
    question = [{"role": "user", "content": "What is 2 + 2?"}]
    shown = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    said = "Wait, it is 4.\n</think>\n\n\\boxed{4}"
    forms = [
        {"prompt": shown, "completion": said},
        {"messages": [*question, {"role": "assistant", "content": f"<think>\n{said}"}]},
        {"prompt": question, "completion": said},
        {"prompt": question, "completion": [{"role": "assistant", "content": said}]},
        {"instruction": "What is 2 + 2?", "input": "", "output": f"<think>\n{said}"},
    ]
    files = examples.read([str(write(tmp_path / "x.jsonl", *forms))], limit=None)
    rows, notes = examples.encoded(files, tokenizer, model="r1", thinking=None, max_length=400)
    assert notes == []
    assert all(row["input_ids"] == rows[0]["input_ids"] and row["labels"] == rows[0]["labels"] for row in rows)
    learned = [token for token, label in zip(rows[0]["input_ids"], rows[0]["labels"], strict=True) if label != -100]
    assert tokenizer.decode(learned) == said + tokenizer.eos_token
    assert tokenizer.decode(rows[0]["input_ids"]) == shown + said + tokenizer.eos_token
    assert rows[0]["input_ids"].count(tokenizer.bos_token_id) == 1


def test_sets_of_sft_data_by_their_names(tmp_path):
    (tmp_path / "sft" / "as-is").mkdir(parents=True)
    for side in ("guided", "unguided"):
        for form in ("chat", "prompt-completion", "alpaca"):
            write(tmp_path / "sft" / "as-is" / f"{side}.{form}.jsonl", {"prompt": form, "completion": side})
    file = examples.read([str(tmp_path / "sft" / "as-is" / "guided")], limit=None)[0]
    assert (file.examples[0].prompt, file.examples[0].completion) == ("prompt-completion", "guided")
    with pytest.raises(ConfigError, match=r"holds several sets\. Give one of: .*as-is/guided, .*as-is/unguided"):
        examples.read([str(tmp_path / "sft")], limit=None)
    with pytest.raises(ConfigError, match="Did you mean"):
        examples.read([str(tmp_path / "sft" / "as-is" / "guided.chat.json")], limit=None)


# ---- folder and faults ----


def checkpoint(out, step, *, whole=True):
    path = out / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    if whole:
        folder.seal(path, step, None)
    return path


def test_checkpoints_count_when_they_are_whole(tmp_path):
    for step in (2, 10, 4):
        checkpoint(tmp_path, step)
    checkpoint(tmp_path, 12, whole=False)
    assert list(folder.checkpoints(tmp_path)) == [2, 4, 10]
    assert folder.last_checkpoint(tmp_path).name == "checkpoint-10"
    assert [path.name for path in folder.broken(tmp_path)] == ["checkpoint-12"]
    folder.seal(tmp_path / "checkpoints" / "checkpoint-12", 12, 2)
    assert list(folder.checkpoints(tmp_path)) == [10, 12]
    assert not (tmp_path / "checkpoints" / "checkpoint-4").exists()


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.bin"), StorageError, "x.bin: the disk is full"),
        (RuntimeError("PytorchStreamWriter failed writing file data/3"), StorageError, "the disk is full"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), EngineError, "fewer --max-tokens"),
        (
            type("ConnectionError", (Exception,), {})("Max retries exceeded"),
            EngineError,
            "the server that samples is gone",
        ),
        (RuntimeError("Connection refused by 0.0.0.0:8000"), EngineError, "the server that samples is gone"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), StorageError, "x: Permission denied"),
    ],
)
def test_what_ends_a_training_says_what_is_kept(tmp_path, error, kind, said):
    checkpoint(tmp_path, 4)
    with pytest.raises(kind, match=said) as caught, faults.told(tmp_path):
        raise error
    assert str(caught.value).endswith(f"checkpoint-4 is kept in {tmp_path}; the same command continues from it.")


def test_faults_of_ours_stay_faults(tmp_path):
    with pytest.raises(ZeroDivisionError), faults.told(tmp_path):
        1 / 0  # noqa: B018
    with pytest.raises(MissingExtra, match="peft is not installed"), faults.told(tmp_path):
        raise MissingExtra("peft", "train")
    with (
        pytest.raises(Stopped, match="There is no checkpoint yet; the same command begins again"),
        faults.told(tmp_path),
    ):
        raise KeyboardInterrupt
