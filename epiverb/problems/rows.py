"""One record of any table to one problem: which key holds what, by the user's mapping or the usual names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from epiverb.errors import ConfigError, FormatError, nearest
from epiverb.io.raw import problem_hash
from epiverb.io.rows import as_string, is_messages, message_parts, unpacked
from epiverb.problems.base import Message, Problem
from epiverb.problems.prompts import REWRITES, asks_for_a_form, bare

NAMES: dict[str, tuple[str, ...]] = {
    "question": (
        *("prompt", "messages", "conversations", "question", "problem", "instruction", "input", "query"),
        *("extra_info.raw_problem", "question_content"),
    ),
    "gold": (
        *("reward_model.ground_truth", "gold", "gold_answer", "ground_truth", "answer", "expected_answer"),
        *("reference_answer", "final_answer", "target"),
    ),
    "solution": ("correct_solutions.0", "worked_solution", "extra_info.solution", "solution", "rationale"),
    "problem_id": (
        *("problem_id", "id", "question_id", "task_id", "unique_id", "uid", "problem_idx", "idx", "index"),
        "extra_info.index",
    ),
    "system": ("system", "system_prompt"),
    "benchmark": ("benchmark",),
    "kind": ("kind", "ability", "reward_model.style"),
    "grader": ("grader",),
    "extra": ("extra",),
}
"""Column of a problem -> keys under which it is looked for, in this order. A dot leads into an object or a list."""
SYNONYMS = {"id": "problem_id", "messages": "question", "prompt": "question", "answer": "gold"}
KINDS = {"mcq": "choice", "code": "code"}
"""What a row calls its kind -> grader; anything else is math."""


@dataclass(frozen=True)
class Shape:
    """How the records of a table become problems."""

    benchmark: str
    names: dict[str, tuple[str, ...]] = field(default_factory=lambda: NAMES)
    rewrite: str | None = None
    """None: a chat stays as it is; a bare mathematical question that does not say how to answer is asked for a box."""
    grader: str | None = None
    domain: str | None = None

    @classmethod
    def mapped(cls, mapping: dict[str, str], first: dict[str, tuple[str, ...]], **rest: Any) -> Shape:
        """A shape that looks where the user says, else where `first` says, else under the usual names.

        Raises:
            ConfigError: the mapping names a column that problems do not have.
        """
        names = dict(NAMES)
        for column, paths in first.items():
            names[column] = (*paths, *names.get(column, ()))
        for column, path in mapping.items():
            resolved = SYNONYMS.get(column, column)
            if resolved not in NAMES and not resolved.startswith("extra."):
                raise ConfigError(f"map {column}=...: no such column.{nearest(column, [*NAMES, 'extra.NAME'])}")
            names[resolved] = (path,)
        return cls(names=names, **rest)

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns of a table of which two rows that agree are one problem."""
        paths = [path for name in ("question", "gold", "system", "benchmark") for path in self.names[name]]
        return tuple(dict.fromkeys(key for path in paths for key in (path, path.partition(".")[0])))

    def problem(self, record: dict[str, Any], where: str) -> Problem:
        """The problem in `record`.

        Raises:
            FormatError: it has no question.
        """
        asked = _unpacked(self._value(record, "question"))
        messages, answered = _chat(asked, as_string(self._value(record, "system")))
        if not messages:
            raise FormatError(f"{where}: {self._lost(record)}")
        last = messages[-1]["content"]
        gold, solution = _gold(self._value(record, "gold"), as_string(self._value(record, "solution")) or answered)
        more = self._value(record, "extra")
        more = unpacked(more) if isinstance(more, str) else more
        extra = dict(more) if isinstance(more, dict) else {}
        extra |= {name[6:]: self._value(record, name) for name in self.names if name.startswith("extra.")}
        return Problem(
            problem_id=as_string(self._value(record, "problem_id")) or problem_hash(bare(last)),
            benchmark=as_string(self._value(record, "benchmark")) or self.benchmark,
            messages=(*messages[:-1], {**messages[-1], "content": self._asked(last, is_messages(asked), record)}),
            gold=gold,
            grader=self._grader(record),
            domain=self.domain,
            solution=solution,
            extra={name: value for name, value in extra.items() if value is not None},
        )

    def _value(self, record: dict[str, Any], column: str) -> Any:
        values = (at(record, path) for path in self.names.get(column, ()))
        return next((value for value in values if value not in (None, "", [])), None)

    def _grader(self, record: dict[str, Any]) -> str:
        """The set's or the user's, else the row's own, else by what the row calls its kind."""
        own = self._value(record, "grader")
        return self.grader or (own if isinstance(own, str) else KINDS.get(str(self._value(record, "kind")), "math"))

    def _asked(self, question: str, is_chat: bool, record: dict[str, Any]) -> str:
        rewrite = self.rewrite
        if rewrite is None:
            stays = is_chat or self._grader(record) != "math"
            rewrite = "keep" if stays or asks_for_a_form(question) else "boxed"
        return REWRITES[rewrite](question)

    def _lost(self, record: dict[str, Any]) -> str:
        keys = ", ".join(list(record)[:20]) or "none"
        path = self.names["question"]
        missing = f"nothing under {path[0]!r}" if len(path) == 1 else "no question found"
        return (
            f"{missing}; its columns are: {keys}. "
            "Say where the question stands: map question=COLUMN (and gold=COLUMN, problem_id=COLUMN)."
        )


def at(record: Any, path: str) -> Any:
    """The value that a dotted path leads to, through objects, lists and JSON text; None where there is nothing."""
    if isinstance(record, dict) and path in record:
        return record[path]
    step, dot, rest = path.partition(".")
    if isinstance(record, str):
        record = unpacked(record)
    if isinstance(record, dict) and step in record:
        return at(record[step], rest) if dot else record[step]
    if isinstance(record, list) and step.isdecimal() and int(step) < len(record):
        return at(record[int(step)], rest) if dot else record[int(step)]
    return None


def _unpacked(value: Any) -> Any:
    """A chat that is kept as JSON text as a chat; anything else as it is."""
    chat = unpacked(value) if isinstance(value, str) and value.startswith("[{") else value
    return chat if is_messages(chat) else value


def _chat(value: Any, system: str | None) -> tuple[tuple[Message, ...], str | None]:
    """The turns up to the user's last one, and what an assistant answered to it, if a data set holds that."""
    answered = None
    if is_messages(value):
        turns = [{"role": str(turn["role"]), "content": message_parts(turn)[1] or ""} for turn in value]
        places = [i for i, turn in enumerate(turns) if turn["role"] == "user" and turn["content"].strip()]
        if not places:
            return (), None
        if len(turns) > places[-1] + 1:
            answered = turns[places[-1] + 1]["content"]
        turns = turns[: places[-1] + 1]
    else:
        text = as_string(value) or ""
        turns = [{"role": "user", "content": text}] if text.strip() else []
    if system and turns and turns[0]["role"] != "system":
        turns.insert(0, {"role": "system", "content": system})
    return tuple(turns), answered


def _gold(value: Any, solution: str | None) -> tuple[str | None, str | None]:
    """Gold answer and solution. A list of one answer is that answer; `rationale #### answer`, as GSM8K has it, is both."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    gold = as_string(value)
    if gold and "\n#### " in gold:
        rationale, _, gold = gold.rpartition("\n#### ")
        return gold.strip(), solution or rationale
    return (gold if gold and gold.strip() else None), solution
