"""The paper's rewriting of DAPO prompts, against the published expressions run as they are."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epiverb.problems import load
from epiverb.problems.prompts import BOXED, boxed

FIRST = r"^Solve the following math problem step by step\.\s*The last line of your response should be of the form Answer: \$Answer \(without quotes\) where \$Answer is the answer to the problem\.\s*\n*"
LAST = r'\s*\n*Remember to put your answer on its own line after "Answer:"\.?\s*$'

HEAD = "Solve the following math problem step by step. The last line of your response should be of the form Answer: $Answer (without quotes) where $Answer is the answer to the problem."
TAIL = 'Remember to put your answer on its own line after "Answer:".'


def published(text):
    return re.sub(LAST, "", re.sub(FIRST, "", text)).strip() + "\n" + BOXED


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}\n\nIn triangle $ABC$, find $a$.\n\n{TAIL}",
        f"{HEAD}Find.{TAIL}",
        f"{HEAD}\n\n设 $x$。\n\n{TAIL[:-1]}\n\n",
        f" {HEAD}\n\nA space before it.\n\n{TAIL}",
        HEAD.replace(". The", ".\n \nThe") + "\t\nTwo lines.",
        f"Before. {HEAD} After. {TAIL} More.",
        f"{HEAD}\n\n{HEAD}\n\nTwice.\n\n{TAIL}\n\n{TAIL}",
        "Nothing around it.",
    ],
)
def test_as_published(text):
    assert boxed(text) == published(text)


pieces = st.sampled_from([HEAD, HEAD[:45], TAIL, TAIL[:-1], "\n", " ", "x", "\u3000", "Find $a$.", "Answer:", "."])


@given(st.lists(pieces, max_size=8).map("".join))
def test_as_published_in_any_order(text):
    assert boxed(text) == published(text)


def test_rewritten_once_only():
    assert boxed(boxed(f"{HEAD}\n\nQ\n\n{TAIL}")) == f"Q\n{BOXED}"


def test_blank_space_takes_no_time():
    text = "Q" + "\n" * 1_000_000 + "Q"
    assert boxed(text) == f"{text}\n{BOXED}"


def test_dapo_is_rewritten_and_each_problem_there_once(tmp_path):
    rows = []
    for i in range(3):
        prompt = [{"role": "user", "content": f"{HEAD}\n\nQuestion {i}?\n\n{TAIL}"}]
        rows.append(
            {
                "data_source": "math_dapo",
                "prompt": prompt,
                "reward_model": {"ground_truth": str(i)},
                "extra_info": {"index": f"u{i}"},
            }
        )
    file = tmp_path / "dapo.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows * 100))
    problems = load(f"dapo-math-17k={file}")
    assert [(p.problem_id, p.messages, p.gold) for p in problems] == [
        (f"u{i}", ({"role": "user", "content": f"Question {i}?\n{BOXED}"},), str(i)) for i in range(3)
    ]
    # By its path alone a file is taken as it stands.
    assert load(str(file))[0].messages == tuple(rows[0]["prompt"])
    assert load(str(file), rewrite="boxed")[0].messages == problems[0].messages


def test_a_question_that_says_how_to_answer_is_left_alone(tmp_path):
    file = tmp_path / "q.jsonl"
    texts = ["Give \\boxed{x}.", "End with Answer: x", "Plain?"]
    file.write_text("".join(json.dumps({"question": text}) + "\n" for text in texts))
    assert [p.messages[0]["content"] for p in load(str(file))] == [*texts[:2], f"Plain?\n{BOXED}"]
