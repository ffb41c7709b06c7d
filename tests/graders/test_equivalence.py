"""Answers of one problem grouped by equality: by text, as numbers, by algebra."""

from __future__ import annotations

from epiverb.graders.equivalence import group


def test_groups():
    told = group([[r"\frac{1}{2}", "0.5", "1/2", "3", None, "3.0", " "], ["(A)", "A", "B"], []])
    assert told.of == [[0, 0, 0, 1, None, 1, None], [0, 0, 1], []]
    assert told.n_failed == 0
    assert told.n_compared > 0


def test_the_gold_answer_leads_and_equal_texts_need_no_algebra():
    told = group([["24", "$24$", "24.", "17"], [None, "7", "7"]], algebra=False)
    assert told.of == [[0, 0, 0, 1], [None, 0, 0]]
    assert told.n_compared == 0


def test_each_pair_is_compared_once_for_all_problems():
    once = group([["x^2", "x*x"]])
    often = group([["x^2", "x*x"]] * 30)
    assert once.of[0] == [0, 0]
    assert often.n_compared == once.n_compared == 1


def test_what_cannot_be_parsed_is_a_group_by_itself():
    told = group([["42", r"\frac{", "\\\\\\", "no idea at all", "42"]])
    assert told.of[0][0] == told.of[0][4] == 0
    assert len(set(told.of[0])) == 4
