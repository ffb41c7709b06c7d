"""Which demonstration is chosen, and the prompt it is put into."""

from __future__ import annotations

import random

import pytest

from epiverb.errors import ConfigError, DataError
from epiverb.train.demonstrations import Demonstration, Rollout, fractions, groups_of, select_demonstration
from epiverb.train.reprompt import reprompt

GROUP = [
    Rollout("wrong", 0.0, n_tokens=5, n_markers=0, solution="the book's", feedback="Not 5."),
    Rollout("long", 1.0, n_tokens=90, n_markers=2),
    Rollout("unknown", None, n_tokens=1, n_markers=9),
    Rollout("short", 1.0, n_tokens=10, n_markers=2),
    Rollout("doubtful", 0.5, n_tokens=50, n_markers=7),
    Rollout("also wrong", 0.2, n_tokens=4, n_markers=4),
]


def chosen(index, **options):
    found = select_demonstration(GROUP, index, **options)
    return None if found is None else found.text


@pytest.mark.parametrize(
    ("choose", "for_wrong", "for_long"),
    [
        ("first", "long", "short"),
        ("shortest", "short", "short"),
        ("longest", "long", "doubtful"),
        ("most-markers", "doubtful", "doubtful"),
        ("fewest-markers", "long", "short"),
    ],
)
def test_choices(choose, for_wrong, for_long):
    assert chosen(0, choose=choose) == for_wrong
    assert chosen(1, choose=choose) == for_long
    assert chosen(1, choose="longest", own=True) == "long"


def test_random_reaches_every_peer_and_is_the_same_again():
    drawn = [chosen(1, choose="random", rng=random.Random(f"7/{step}")) for step in range(60)]
    assert set(drawn) == {"short", "doubtful"}
    assert drawn == [chosen(1, choose="random", rng=random.Random(f"7/{step}")) for step in range(60)]


def test_a_lone_success_has_no_peer():
    lone = [Rollout("yes", 1.0), Rollout("no", 0.0)]
    assert select_demonstration(lone, 0) is None
    assert select_demonstration(lone, 1).index == 0
    assert select_demonstration(lone, 0, own=True).text == "yes"


def test_threshold_decides_and_unknown_never_succeeds():
    assert chosen(0, threshold=0.6, choose="most-markers") == "long"
    assert chosen(0, threshold=2.0) is None


def test_a_peer_that_failed_for_contrast():
    assert chosen(0, correct=False) == "also wrong"
    assert chosen(1, correct=False) == "wrong"


def test_sources_in_order():
    assert chosen(0, sources=("dataset", "peer")) == "the book's"
    assert chosen(1, sources=("dataset", "peer")) == "short"
    assert select_demonstration(GROUP, 0, sources=("feedback",)) == Demonstration("feedback", "Not 5.")
    assert chosen(1, sources=("feedback",)) is None


def test_groups_of_a_shuffled_batch():
    assert groups_of(["b", "a", "b", "c", "a"]) == [[0, 2], [1, 4], [3]]


def test_fractions_by_hand():
    rollouts = [Rollout("x", 1.0), Rollout("y", 0.0, feedback="no"), Rollout("z", 0.0), Rollout("u", None)]
    ours = fractions(rollouts, ["a", "a", "b", "b"], [False, True, False, False], [False, False, False, True])
    assert list(ours.values()) == [0.5, 0.25, 0.25, 0.25, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choose": "frist"}, "Did you mean 'first'"),
        ({"sources": ("peers",)}, "Did you mean 'peer'"),
        ({"choose": "random"}, "needs rng"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ConfigError, match=message):
        chosen(0, **options)


def test_a_missing_count_is_said():
    with pytest.raises(DataError, match="response 1 of the group has no n_markers"):
        select_demonstration([Rollout("a", 0.0), Rollout("b", 1.0)], 0, choose="most-markers")


CHAT = [{"role": "system", "content": "S"}, {"role": "user", "content": "What is {x}?"}]
PEER = Demonstration("peer", "<think>Wait {solution}</think>It is 4.", 1)


def last(shown):
    return shown.messages[-1]["content"]


def test_reprompt_by_published_template():
    shown = reprompt(CHAT, PEER)
    assert last(shown) == (
        "What is {x}?\nCorrect solution:\n\n<think>Wait {solution}</think>It is 4.\n\nCorrectly solve the original question."
    )
    assert shown.messages[0] == CHAT[0]
    assert shown.used
    assert last(reprompt(CHAT, PEER, context="solution-no-think@sdpo-yaml")) == (
        "What is {x}?\nCorrect solution:\n\nIt is 4.\n\nCorrectly solve the original question."
    )


def test_feedback_and_answers():
    told = reprompt(CHAT, Demonstration("feedback", "Not 5."), context="solution-or-feedback")
    assert "unsuccessful earlier attempt:\n\nNot 5." in last(told)
    assert told.context == "Not 5."
    both = reprompt(CHAT, PEER, context="solution-and-feedback", feedback="Not 5.")
    assert "It is 4." in last(both)
    assert "Not 5." in last(both)
    assert "Correct answer: 4" in last(reprompt(CHAT, None, context="answer", gold="4"))
    assert "It is 4." in last(reprompt(CHAT, PEER, context="wrong"))
    assert reprompt(CHAT, None, context="concise").used


def test_without_a_demonstration_the_prompt_is_the_students_and_the_reason_is_said():
    shown = reprompt(CHAT, None)
    assert list(shown.messages) == CHAT
    assert not shown.used
    assert "no correct solution" in shown.reason
    open_ended = reprompt(CHAT, Demonstration("peer", "<think>never", 0), context="solution-no-think")
    assert not open_ended.used


def test_trimming_cuts_the_demonstration_only():
    def count(messages):
        return sum(len(message["content"]) for message in messages)

    whole = count(reprompt(CHAT, PEER).messages)
    shown = reprompt(CHAT, PEER, room=whole - 10, count=count)
    assert count(shown.messages) == whole - 10
    assert shown.trimmed == 10
    assert last(shown).endswith("\n\nCorrectly solve the original question.")
    assert last(shown).startswith("What is {x}?\nCorrect solution:\n\n<think>Wait")
    none_fits = reprompt(CHAT, PEER, room=20, count=count)
    assert not none_fits.used
    assert list(none_fits.messages) == CHAT
    assert "room for 20" in none_fits.reason


def test_bad_contexts():
    with pytest.raises(ConfigError, match="Did you mean 'solution'"):
        reprompt(CHAT, PEER, context="solutoin")
    with pytest.raises(ConfigError, match="last turn"):
        reprompt([{"role": "assistant", "content": "x"}], PEER)
