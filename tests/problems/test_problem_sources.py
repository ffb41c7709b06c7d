"""Files and folders of every kind, written by real tools, give the same problems."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys

import polars as pl
import pytest

from epiverb.errors import ConfigError, FormatError
from epiverb.problems import describe, load, read, table
from epiverb.problems.prompts import BOXED

QUESTIONS = [
    ("q1", "What is 1+1?", "2"),
    ("q2", "Was ist {x} für x=3? 😀\u2028", "3"),
    ("q3", "Sum of 2, 2, 2?\n\nThink.", "6"),
]
ROWS = [{"id": key, "problem": question, "answer": gold} for key, question, gold in QUESTIONS]
EXPECTED = [(key, f"{question.strip()}\n{BOXED}", gold) for key, question, gold in QUESTIONS]


def seen(problems):
    return [(problem.problem_id, problem.messages[-1]["content"], problem.gold) for problem in problems]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write(kind, folder):
    file = folder / f"quiz.{kind}"
    if kind == "jsonl":
        return jsonl(file, ROWS)
    if kind == "jsonl.gz":
        file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))
    if kind == "json":
        file.write_text(json.dumps(ROWS), "utf-8")
    if kind == "csv":
        pl.DataFrame(ROWS).write_csv(file)
    if kind == "parquet":
        pl.DataFrame(ROWS).write_parquet(file)
    return file


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "json", "csv", "parquet"])
def test_files(tmp_path, kind):
    problems = load(str(write(kind, tmp_path)))
    assert seen(problems) == EXPECTED
    assert {(problem.benchmark, problem.grader) for problem in problems} == {("quiz", "math")}


def test_saved_by_datasets(tmp_path, offline):
    data = offline.Dataset.from_list(ROWS)
    data.save_to_disk(tmp_path / "one")
    offline.DatasetDict({"train": data.select([0, 1]), "test": data.select([2])}).save_to_disk(tmp_path / "two")
    # A selection is saved as indices beside the whole table: the file alone would hold other rows.
    data.select([2, 0]).save_to_disk(tmp_path / "chosen")
    assert seen(load(str(tmp_path / "one"))) == EXPECTED
    assert seen(load(str(tmp_path / "chosen"))) == [EXPECTED[2], EXPECTED[0]]
    assert seen(load(str(tmp_path / "two"), split="test")) == EXPECTED[2:]
    with pytest.raises(ConfigError, match=r"several splits \(train, test\)"):
        load(str(tmp_path / "two"))
    with pytest.raises(ConfigError, match="Did you mean 'train'"):
        load(str(tmp_path / "two"), split="trainn")


def test_the_hub_code_on_a_folder_of_the_hubs_layout(tmp_path, offline):
    for split, rows in (("train", ROWS[:2]), ("test", ROWS[2:])):
        offline.Dataset.from_list(rows).to_parquet(tmp_path / "sums" / "data" / f"{split}-00000-of-00001.parquet")
    (tmp_path / "sums" / "README.md").write_text(
        "---\nconfigs:\n- config_name: all\n  data_files:\n  - split: train\n    path: data/train-*\n"
        "  - split: test\n    path: data/test-*\n---\n"
    )
    name = str(tmp_path / "sums")
    problems = load(f"{name}?config=all", split="train")
    assert seen(problems) == EXPECTED[:2]
    assert problems[0].benchmark == "sums"
    # Read without datasets, the folder gives the same.
    assert load(name, split="train") == problems
    with pytest.raises(ConfigError, match=r"several splits \(train, test\)"):
        load(f"{name}?config=all")
    with pytest.raises(FormatError, match=r"cannot be loaded by datasets .*nothing"):
        load(f"{name}?config=nothing", split="train")
    with pytest.raises(ConfigError, match="Did you mean 'config'"):
        load(f"{name}?configs=all", split="train")
    with pytest.raises(ConfigError, match="runs no code"):
        load(f"{name}?config=all", split="train", trust_remote_code=True)


def test_a_hub_that_cannot_be_reached(offline):
    for name in ("somebody/some-data-set", "aime24"):
        with pytest.raises(FormatError, match=r"cannot be loaded by datasets .*NAME=PATH"):
            load(name)


def test_files_need_no_datasets(tmp_path):
    file = write("parquet", tmp_path)
    code = f"from epiverb.problems import load; import sys; assert len(load({str(file)!r})) == 3; print('datasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


VERL = {
    "data_source": "math_dapo",
    "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "Why?"}],
    "reward_model": {"ground_truth": 7, "style": "rule"},
    "extra_info": {"index": "u-1"},
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_nested_columns_and_columns_of_json_text(tmp_path, kind, packed):
    if kind == "csv" and not packed:
        pytest.skip("a CSV file holds no nested columns")
    row = {key: json.dumps(value) if packed and not isinstance(value, str) else value for key, value in VERL.items()}
    file = tmp_path / f"v.{kind}"
    if kind == "jsonl":
        jsonl(file, [row])
    else:
        frame = pl.DataFrame([row])
        frame.write_parquet(file) if kind == "parquet" else frame.write_csv(file)
    (problem,) = load(str(file))
    assert problem.messages == tuple(VERL["prompt"])
    assert (problem.gold, problem.problem_id) == ("7", "u-1")


def test_ids_are_stable_and_shared_by_ways_of_asking(tmp_path):
    rows = [{"question": f"How many of {i}?", "gold": i} for i in range(20)]
    first = load(str(jsonl(tmp_path / "a.jsonl", rows)))
    random.Random(1).shuffle(rows)
    again = load(str(jsonl(tmp_path / "b.jsonl", rows)), rewrite="keep")
    assert len({problem.problem_id for problem in first}) == 20
    assert {p.problem_id: p.gold for p in first} == {p.problem_id: p.gold for p in again}
    assert first[0].messages[0]["content"] == f"How many of 0?\n{BOXED}"
    assert again[0].messages[0]["content"] == rows[0]["question"]


def test_each_problem_once(tmp_path):
    rows = [
        *ROWS,
        ROWS[0],
        {**ROWS[1], "answer": "4"},
        {"id": "q1", "problem": "Another with the same id", "answer": "1"},
    ]
    for file in (jsonl(tmp_path / "r.jsonl", rows), tmp_path / "r.parquet"):
        if file.suffix == ".parquet":
            pl.DataFrame(rows).write_parquet(file)
        loaded = read(str(file))
        assert (loaded.n_rows, loaded.n_repeated, len(loaded.problems)) == (6, 2, 4)
        assert seen(loaded.problems)[:3] == EXPECTED
        assert loaded.problems[3].problem_id.startswith("q1-")
        assert loaded.notes == (
            "2 rows repeat an earlier one; each problem counts once.",
            "Repeated rows with another gold answer: 1; the first one's counts.",
            "Questions with the id of an earlier one: 1; they have ids of their own now.",
        )
        assert load(str(file), limit=2) == loaded.problems[:2]


def test_several_files_are_several_benchmarks(tmp_path):
    jsonl(tmp_path / "one.jsonl", ROWS)
    jsonl(tmp_path / "two-00000-of-00002.jsonl", ROWS[:1])
    jsonl(tmp_path / "two-00001-of-00002.jsonl", ROWS)
    loaded = read(str(tmp_path))
    assert [problem.benchmark for problem in loaded.problems] == ["one"] * 3 + ["two"] * 3
    assert (loaded.n_rows, loaded.n_repeated) == (7, 1)
    assert len(load(str(tmp_path), limit=4)) == 4


def test_columns_of_any_name(tmp_path):
    rows = [{"aufgabe": {"text": "1+1?"}, "loesung": ["2"], "stufe": 3, "nr": 5}]
    file = str(jsonl(tmp_path / "x.jsonl", rows))
    with pytest.raises(
        FormatError,
        match=r"line 1: no question found; its columns are: aufgabe, loesung, stufe, nr\. .*map question=COLUMN",
    ):
        load(file)
    (problem,) = load(
        file,
        map={"question": "aufgabe.text", "gold": "loesung", "id": "nr", "extra.level": "stufe"},
        grader="exact",
        rewrite="keep",
    )
    assert problem.messages == ({"role": "user", "content": "1+1?"},)
    assert (problem.gold, problem.problem_id, problem.extra, problem.grader) == ("2", "5", {"level": 3}, "exact")
    with pytest.raises(FormatError, match=r"nothing under 'aufgabe\.txt'"):
        load(file, map={"question": "aufgabe.txt"})
    with pytest.raises(ConfigError, match="Did you mean 'question'"):
        load(file, map={"questions": "aufgabe"})


def test_gold_may_be_missing(tmp_path):
    loaded = read(
        str(
            jsonl(
                tmp_path / "x.jsonl",
                [{"question": "a"}, {"question": "b", "answer": " "}, {"question": "c", "answer": 0}],
            )
        )
    )
    assert [problem.gold for problem in loaded.problems] == [None, None, "0"]
    assert loaded.n_without_gold == 2


def test_published_shapes(tmp_path):
    gsm8k = {"question": "2+2?", "answer": "We add.\n#### 4"}
    collected = {
        "question": "q",
        "prompt": [{"role": "user", "content": "q?"}],
        "gold_answer": "1",
        "correct_solutions": ["s1", "s2"],
    }
    chat = {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "no"},
            {"role": "user", "content": "so?"},
            {"role": "assistant", "content": "done"},
        ]
    }
    problems = [load(str(jsonl(tmp_path / "x.jsonl", [row])))[0] for row in (gsm8k, collected, chat)]
    assert [(problem.gold, problem.solution) for problem in problems] == [("4", "We add."), ("1", "s1"), (None, "done")]
    assert [turn["content"] for turn in problems[2].messages] == ["hi", "no", "so?"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "a"}\n{"question": \n', r"x\.jsonl, line 2: .*no problem is dropped"),
        ('{"question": "a"}\n{"answer": "b"}\n', r"x\.jsonl, line 2: no question found"),
        ('{"question": "  "}\n', "line 1: no question found"),
        ("", "is empty"),
        ("\x80\x03]q\x00.", "is binary"),
        ('{"prompt": [{"role": "assistant", "content": "x"}]}\n', "no question found"),
    ],
)
def test_bad_files(tmp_path, text, message):
    file = tmp_path / "x.jsonl"
    file.write_text(text, "utf-8")
    with pytest.raises(FormatError, match=message):
        load(str(file))


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("aime242", ConfigError, "Did you mean 'aime24'"),
        ("nowhere.parquet", FormatError, "no such file"),
        ("./nowhere", FormatError, "no such file"),
        ("aime24=nowhere.parquet", FormatError, "no such file"),
        ("aime24:3", ConfigError, "takes nothing behind"),
        ("aime24?x=1", ConfigError, "no option 'x'"),
        ("aime24?x", ConfigError, "not OPTION=VALUE"),
        ("coverage@math500", ConfigError, "say how many"),
        ("coverage:0@math500", ConfigError, "say how many"),
        ("chemistry", ConfigError, "not on the hub in this form"),
        ("math500", ConfigError, "unknown rewrite"),
    ],
)
def test_bad_names(spec, error, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        load(spec, rewrite="boxd" if spec == "math500" else None)


def test_a_name_is_the_set_and_a_path_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "aime24", ROWS)
    assert len(load("./aime24")) == 3
    monkeypatch.setenv("EPIVERB_DATA", str(tmp_path))
    loaded = read("aime24")
    assert len(loaded.problems) == 3
    assert loaded.notes == ("aime24 has 3 problems here, 30 as published.",)


def test_every_set_is_described():
    for row in table():
        known = describe(row["name"])
        assert known["name"] == row["name"]
        assert known["about"]
    assert describe("math500")["columns"]["gold"] == ("reward_model.ground_truth", "answer")
    assert "countdown" in describe("reasoning-gym:countdown")["families"]


def test_a_row_may_name_its_grader_and_what_that_needs(tmp_path):
    rows = [
        {
            "question": "Make 6 of 2 and 3.",
            "gold": "6",
            "grader": "countdown",
            "extra": {"numbers": [2, 3], "target": 6},
        },
        {"question": "Which colour?", "gold": "red", "grader": "exact"},
        {"question": "What is 2 + 2?", "gold": "4"},
    ]
    file = tmp_path / "own.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load(str(file))
    assert [problem.grader for problem in found] == ["countdown", "exact", "math"]
    assert found[0].extra == {"numbers": [2, 3], "target": 6}
    assert [problem.messages[-1]["content"] == row["question"] for problem, row in zip(found, rows, strict=True)] == [
        True, True, False,
    ]  # fmt: skip
    assert {problem.grader for problem in load(str(file), grader="exact")} == {"exact"}
