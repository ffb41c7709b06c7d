"""The words around a solution or feedback: templates as data, each with its source.

A template has slots in braces. They are filled in one pass over the template, never over what was filled in, and never by
`str.format`: a question or a solution may hold braces, slots and all.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from epiverb.errors import ConfigError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SLOT = re.compile(r"\{(prompt|solution|feedback|successful_previous_attempt|feedback_raw)\}")


@dataclass(frozen=True)
class Template:
    """How the last user turn is written when there is more to show than the question."""

    name: str
    reprompt: str
    """The turn: slots `{prompt}`, `{solution}`, `{feedback}`; the last two are empty where there is none."""
    solution: str
    """The part with a solution: slot `{successful_previous_attempt}`."""
    feedback: str
    """The part with feedback: slot `{feedback_raw}`."""
    source: str

    def __call__(self, prompt: str, solution: str = "", feedback: str = "") -> str:
        """The turn; a part whose text is empty is left out with the words around it."""
        parts = {
            "prompt": prompt,
            "solution": _filled(self.solution, {"successful_previous_attempt": solution}) if solution else "",
            "feedback": _filled(self.feedback, {"feedback_raw": feedback}) if feedback else "",
        }
        return _filled(self.reprompt, parts)


def _filled(template: str, parts: dict[str, str]) -> str:
    return _SLOT.sub(lambda slot: parts.get(slot[1], slot[0]), template)


_SDPO = "lasgroup/SDPO@0e6d510, the same in beanie00/self-distillation-analysis@5c51051"
_INLINE = "\n\nCorrect solution: {successful_previous_attempt}"
_FEEDBACK = "\nThe following is feedback from your unsuccessful earlier attempt:\n\n{feedback_raw}"

TEMPLATES = {
    template.name: template
    for template in (
        Template(
            "analysis",
            "{prompt}{solution}{feedback}\n\nCorrectly solve the original question.",
            _INLINE,
            "\n" + _FEEDBACK,
            "arXiv 2603.24472 section 3, beanie00/self-distillation-analysis@a354155 eval_with_hint.py. "
            "Ours: its place for feedback, which that script does not have.",
        ),
        Template(
            "sdpo-yaml",
            "{prompt}{solution}{feedback}\n\nCorrectly solve the original question.",
            "\nCorrect solution:\n\n{successful_previous_attempt}",
            _FEEDBACK,
            f"{_SDPO}: verl/trainer/config/actor/actor.yaml, as the training runs had it.",
        ),
        Template(
            "sdpo-dataclass",
            "{prompt}{solution}{feedback}\n\nCorrectly solve the original question.\n",
            "\nCorrect solution:\n\n{successful_previous_attempt}\n\n",
            _FEEDBACK + "\n\n",
            f"{_SDPO}: defaults of verl/workers/config/actor.py, which TRL copied. No published run used them.",
        ),
        Template(
            "uncertain",
            "{prompt}{solution}{feedback}\n\nSolve the original question from scratch, in full detail, "
            "and include as much uncertainty or ambiguity in the explanation as you can.",
            _INLINE,
            "\n" + _FEEDBACK,
            "arXiv 2603.24472 appendix C. Its words: 'and include as much uncertainty or ambiguity in the explanation'. "
            "Ours: the rest of that sentence, written after its description.",
        ),
        Template(
            "direct",
            "{prompt}{solution}{feedback}\n"
            "Proceed directly without expressing uncertainty or doubt within the reasoning steps.",
            _INLINE,
            "\n" + _FEEDBACK,
            "arXiv 2603.15500 section 6.2, the sentence. Ours: the line break before it.",
        ),
        Template(
            "concise",
            "{prompt}{solution}{feedback}\n\nKeep the reasoning as short as it can be while it stays correct.",
            _INLINE,
            "\n" + _FEEDBACK,
            "Ours.",
        ),
        Template(
            "answer",
            "{prompt}{solution}{feedback}\n\nCorrectly solve the original question.",
            "\n\nCorrect answer: {successful_previous_attempt}",
            "\n" + _FEEDBACK,
            "Ours: the template `analysis` with the word answer.",
        ),
    )
}


def template(name: str) -> Template:
    """The template called `name`, or the one that a TOML file holds.

    Raises:
        ConfigError: there is none, or the file lacks a part or a slot.
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    if not name.endswith(".toml"):
        raise ConfigError(f"unknown template {name!r}.{nearest(name, TEMPLATES)} Or give a TOML file.")
    return _own(name)


def _own(path: str) -> Template:
    """A user's template: keys `reprompt`, `solution`, and where they are wanted `feedback`, `source`."""
    try:
        data = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a template that can be read ({' '.join(str(error).split())}).") from error
    known = [field.name for field in fields(Template)]
    for key, value in data.items():
        if key not in known or not isinstance(value, str):
            raise ConfigError(f"{path}: {key!r} is not a text that a template has.{nearest(key, known)}")
    data = {"name": Path(path).stem, "feedback": _FEEDBACK, "source": path} | data
    slots = {"reprompt": "{prompt}", "solution": "{successful_previous_attempt}", "feedback": "{feedback_raw}"}
    for key, slot in slots.items():
        if slot not in data.get(key, ""):
            raise ConfigError(f"{path}: {key} needs the slot {slot}.")
    return Template(**data)
