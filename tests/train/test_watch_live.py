"""Alarms and the live view: what rings, once; what is shown on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest

from epiverb.errors import ConfigError
from epiverb.train import shards
from epiverb.train.alarms import Alarms, parse
from epiverb.train.live import Board, View, duration, trend

MARKERS = "epiverb/markers_per_1k_words"


def run(alarms: Alarms, values: list[float], key: str = MARKERS, begin: int = 1, **control) -> list[int]:
    """Log each value; the steps at which something was newly raised."""
    rung = []
    for step, value in enumerate(values, begin):
        shards.append(alarms.out / "metrics.jsonl", {"step": step, key: value})
        before = len(alarms.raised)
        alarms(step, {key: value}, None, control.get("control"))
        rung += [step] if len(alarms.raised) > before else []
    return rung


def test_half_of_the_first_steps_is_said_once(tmp_path):
    said: list[str] = []
    alarms = Alarms(["markers<0.5x"], tmp_path, said.append)
    # first five: mean 10. The mean of the last five is below 5 only at the tenth: (6 + 6 + 4 + 4 + 4) / 5 = 4.8
    assert run(alarms, [8, 12, 10, 10, 10, 6, 6, 4, 4, 4, 3, 2, 12, 12, 12, 12, 12, 1, 1, 1, 1, 1]) == [10]
    assert said == [
        "alarm at step 10: markers per 1,000 words: 4.8, below 0.5 times the 10 of the start (markers<0.5x)."
    ]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line for line in lines if "alarm" in line] == [
        {"step": 10, "alarm": "markers<0.5x", "value": 4.8, "bound": 5.0}
    ]


def test_a_resume_knows_the_start_and_what_was_said(tmp_path):
    first = Alarms(["markers<0.5x", "length>100"], tmp_path)
    run(first, [10.0] * 5 + [4.0] * 5)
    assert first.raised == ["markers<0.5x"]
    shards.roll_back(tmp_path, 8)
    again = Alarms(["markers<0.5x", "length>100"], tmp_path)
    again.begin(8)
    assert again.raised == []  # it rang at step 10, which is run again
    assert run(again, [4.0] * 3, begin=9) == [10]
    third = Alarms(["markers<0.5x", "length>100"], tmp_path)
    third.begin(11)
    assert third.raised == ["markers<0.5x"]
    assert run(third, [1.0] * 8, begin=12) == []


def test_absolute_bounds_and_shares(tmp_path):
    said: list[str] = []
    alarms = Alarms(["finished<0.7", "length>2x"], tmp_path, said.append)
    assert run(alarms, [0.9, 0.9, 0.8, 0.2, 0.2], key="epiverb/finished") == [5]  # their mean is 0.6
    assert "finished: 60 %, below 70 %" in said[0]
    assert run(alarms, [100] * 5 + [300] * 3, key="completions/mean_length") == [8]  # (2 * 100 + 3 * 300) / 5 = 220
    assert run(Alarms(["finished<0.7"], tmp_path), [0.4] * 5, key="completions/clipped_ratio") == [5]  # of plain TRL


def test_a_probe_rings_at_once_and_may_stop(tmp_path):
    control = SimpleNamespace(should_training_stop=False, should_save=False)
    said: list[str] = []
    alarms = Alarms(["stop:probe/ood/accuracy<0.8x"], tmp_path, said.append)
    assert run(alarms, [0.5, 0.45, 0.39], key="epiverb/probe/ood/accuracy", control=control) == [3]
    assert control.should_training_stop
    assert control.should_save
    assert said[0].endswith(
        "accuracy on ood: 39 %, below 0.8 times the 50 % of the start (stop:probe/ood/accuracy<0.8x); the run stops here."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("markers", "not FIGURE<VALUE or FIGURE>VALUE"),
        ("markers<half", "not FIGURE<VALUE"),
        ("marker<0.5x", "no figure 'marker'. Did you mean 'markers'"),
        ("probe/ood<1", "no figure 'probe/ood'"),
    ],
)
def test_alarms_that_cannot_be_read(text, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        parse(text)
    assert "\n" not in message


LOG = {
    "reward": 0.4375, "completions/mean_length": 812.4, MARKERS: 14.21, "epiverb/finished": 0.875, "loss": 0.0312,
    "epiverb/divergence/markers": 0.0812, "epiverb/divergence/others": 0.0324, "epiverb/probe/ood/accuracy": 0.5,
    "epiverb/probe/ood/markers_per_1k_words": 11.0, "learning_rate": 1e-5,
}  # fmt: skip


def test_the_state_as_a_line():
    now = iter([0.0, 30.0])
    board = Board(clock=lambda: next(now))
    board.take(1, 100, LOG)
    assert board.eta() is None
    board.take(2, 100, LOG | {"reward": 0.5})
    assert board.line() == (
        "step 2/100, reward 0.5, tokens a response 812, markers per 1,000 words 14.2, finished 88 %, "
        "divergence on markers 0.0812, divergence on other tokens 0.0324, loss 0.0312, accuracy on ood 50 %, "
        "markers per 1,000 words on ood 11, 49 min left"
    )


def test_plain_lines_where_there_is_no_terminal(tmp_path):
    stream = io.StringIO()
    view = View(stream)
    for step in range(1, 5):
        view(step, LOG, SimpleNamespace(max_steps=4))
    view.say("alarm at step 4: x")
    view.end()
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "step 1/4",
        "step 4/4",
        "alarm at step 4: x",
    ]  # one every ten seconds, and the last
    assert "\x1b" not in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    view = View(stream)
    for step in range(1, 10):
        view(step, LOG | {"reward": step / 10}, SimpleNamespace(max_steps=20))
    view.say("alarm at step 9: [red] is not markup")
    view.end()
    shown = stream.getvalue()
    assert "step 9 of 20" in shown
    assert "markers per 1,000 words" in shown
    assert "▁▂▃" in shown
    assert "[red] is not markup" in shown


def test_small_things():
    assert [duration(s) for s in (5, 59, 90, 3600, 12000)] == ["5 s", "59 s", "2 min", "1 h 0 min", "3 h 20 min"]
    assert trend([1.0, 1.0]) == "▁▁"
    assert trend([0.0, 7.0, 3.5]) == "▁█▅"
