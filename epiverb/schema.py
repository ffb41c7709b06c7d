"""The tables of a run: every column with its type, unit and meaning, as data.

`docs/tables.md` is generated from here and the readers and writers are checked against it. Types are names, not polars
objects, so that this module imports nothing: `str`, `int`, `float`, `bool`; `?` on a column means that it may be null,
and null always means *unknown*, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1
"""Raised when a column or JSON key is renamed or changes its meaning; adding one does not raise it."""

STATUSES = ("complete", "truncated", "empty", "missing")
SEGMENTS = ("thinking", "answer")
EPISTEMIC = ("uncertainty", "reconsideration", "verification", "alternative")
CONTROLS = ("booster", "procedural")
CATEGORIES = EPISTEMIC + CONTROLS
AXES = ("position", "sentence", "step", "token", "train_step")


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    dtype: str
    nullable: bool
    meaning: str


def _columns(text: str) -> tuple[Column, ...]:
    columns = []
    for line in text.strip().splitlines():
        name, dtype, meaning = (part.strip() for part in line.split("|"))
        columns.append(Column(name, dtype.rstrip("?"), dtype.endswith("?"), meaning))
    return tuple(columns)


TABLES: dict[str, tuple[Column, ...]] = {
    "traces": _columns("""
        trace_id       | str    | unique in the run: source, line and sample
        problem_id     | str?   | the question; the unit that intervals resample; null only where the source tells no question
        benchmark      | str?   | the data set or task the problem belongs to
        domain         | str?   | `id` or `ood`, where the user said so
        condition      | str?   | the arm: a label given to the source, or a context
        step           | int?   | training step of the policy that wrote it
        sample         | int    | index of the response among those of its problem
        prompt         | str?   | what the model was shown, where the source tells
        context        | str?   | privileged context in the prompt (a solution, a hint), where the source tells
        response       | str    | exactly what was generated; reasoning and answer kept apart are joined by a blank line
        thinking_start | int?   | where the thinking begins (code point), behind its opening tag; null: no thinking
        thinking_end   | int?   | code point where the thinking ends, before its closing tag
        status         | str    | complete (ended by itself), truncated (cut off), empty (no text), missing (no text kept)
        loop_start     | int?   | code point where a degenerate loop begins that lasts to the end; null: none
        answer         | str?   | the final answer as the source extracted it
        gold           | str?   | the reference answer
        correct        | bool?  | graded right; null: not graded, see `grade_reason`
        grade_reason   | str?   | why `correct` is null, or which grader decided
        reward         | float? | the score a trainer or scorer gave, in its own unit
        n_tokens       | int?   | tokens generated, as the source or a tokenizer counts them
        n_words        | int    | runs of non-space characters in the response
        source         | str    | path of the file it came from
        line           | int    | line, row or member number in the source, from 1
    """),
    "hits": _columns("""
        trace_id | str  | the trace
        lexicon  | str  | name of the lexicon
        category | str  | the marker's category in that lexicon
        marker   | str  | the lexicon's entry, in its own spelling
        start    | int  | code point in `response`, from 0
        end      | int  | code point behind the last character
        segment  | str  | thinking or answer; a trace without thinking tags is all answer
        in_loop  | bool | lies inside a degenerate loop
    """),
    "values": _columns("""
        trace_id | str    | the trace
        measure  | str    | name of the measure, with its lexicon and category where it has them: `density/epiverb-en/uncertainty`
        version  | int    | version of the measure's definition
        value    | float? | in the measure's unit; null: does not apply to this trace
    """),
    "points": _columns("""
        trace_id | str?   | the trace; null: an aggregate over traces
        measure  | str    | name of the measure
        axis     | str    | position (share of the response, 0 to 1), sentence, step (of the thinking), token or train_step
        x        | float  | the coordinate on that axis; a bin by its left edge
        value    | float? | in the measure's unit; a bin without hits is 0, not absent
    """),
    "tokens": _columns("""
        trace_id | str    | the trace
        position | int    | index of the token in the response, from 0
        token_id | int    | as generated, never from encoding the text again
        start    | int?   | code point in `response` where the token's text begins; null: no offset could be had
        end      | int?   | code point behind it; a token that holds part of a character spans the whole of it
        logprob  | float? | natural log-probability, before temperature and truncation unless run.json says otherwise
    """),
    "alternatives": _columns("""
        trace_id | str   | the trace
        position | int   | index of the token in the response, from 0
        rank     | int   | 0 is the most likely token
        token_id | int   | the token
        logprob  | float | its natural log-probability at this position
    """),
    "spans": _columns("""
        trace_id | str  | a scored trace that has no rows in `tokens`: its text was encoded for the model
        position | int  | index of the token, from 0; `x` of the axis `token` in `points`
        start    | int? | code point in `response` where the token's text begins; null: no offset could be had
        end      | int? | code point behind it
    """),
    "beliefs": _columns("""
        trace_id  | str    | the trace
        x         | int    | 0: before the thinking; n: behind its nth sentence or step
        end       | int    | code point in `response` where the thinking is broken off
        candidate | str    | an answer of the problem's samples, or the gold answer
        right     | bool?  | equal to the gold answer, or an answer graded right; null: not known of any candidate
        own       | bool   | the answer that the trace gives in the end
        logprob   | float? | natural log-probability of the answer behind closing tag and stem; null: sampled
        n_scored  | int    | tokens in it; answers sampled at x, where they were sampled
        p         | float  | probability among the candidates
    """),
}
