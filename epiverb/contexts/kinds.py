"""The contexts: what each shows. A parameter or another template makes a new instance of the same class."""

from __future__ import annotations

from dataclasses import dataclass, replace

from epiverb.contexts.base import Count, Material, NoMaterial, PromptTooLong, Shown
from epiverb.contexts.parts import UNITS, beginning, thinks_to_the_end, without_thinking
from epiverb.contexts.room import Prompt, checked, counted, fit, longest
from epiverb.contexts.templates import template
from epiverb.errors import ConfigError, nearest

_CALLED = {
    "gold": "reference answer",
    "solution": "correct solution",
    "wrong": "wrong solution",
    "unrelated": "solution to another problem",
    "regenerated": "response written under a context",
    "feedback": "feedback",
}


@dataclass(frozen=True)
class Bare:
    """Nothing but the question, or the question and the instruction of a template."""

    about: str
    template: str | None = None
    needs: tuple[str, ...] = ()

    def configured(self, argument: str | None, template: str | None) -> Bare:
        """The same with another instruction."""
        _no_argument(argument)
        return replace(self, template=template or self.template)

    def __call__(self, material: Material, *, room: int | None = None, count: Count | None = None) -> Shown:
        messages = checked(material.messages)
        if self.template:
            messages = Prompt(messages, template(self.template)).cut(0)
        if room is not None and (tokens := counted(messages, count)) > room:
            raise PromptTooLong(f"the prompt has {tokens} tokens and room for {room}. Give it a larger window.")
        return Shown(messages, None)


@dataclass(frozen=True)
class Guided:
    """The question with a solution, an answer or feedback."""

    about: str
    needs: tuple[str, ...]
    """In the order in which they are asked for."""
    template: str = "analysis"
    thinking: bool = True
    """Whether a solution keeps its thinking."""
    together: bool = False
    """All of `needs` that are there, not only the first."""
    rounds: int = 0
    """How many rounds of responses, each written under the one before, come first; the first is written under s."""

    def configured(self, argument: str | None, template: str | None) -> Guided:
        """The same in another template, after another number of rounds."""
        if not self.rounds:
            _no_argument(argument)
        elif argument is not None:
            if not argument.isdecimal() or int(argument) < 1:
                raise ConfigError(f"regenerated:{argument}: the rounds are a whole number from 1.")
            return replace(self, template=template or self.template, rounds=int(argument))
        return replace(self, template=template or self.template)

    def __call__(self, material: Material, *, room: int | None = None, count: Count | None = None) -> Shown:
        return fit(self.prompt(material), room, count)

    def prompt(self, material: Material) -> Prompt:
        """The chat with all that is to be shown; raises `NoMaterial` where there is nothing."""
        there = [name for name in self.needs if (getattr(material, name) or "").strip()]
        if not there:
            raise NoMaterial(f"no {' and no '.join(_CALLED[name] for name in self.needs)} for this problem.")
        chosen = there if self.together else there[:1]
        solution = next((getattr(material, name) for name in chosen if name != "feedback"), "")
        if not self.thinking and solution:
            solution = self._answer_part(solution)
        feedback = (material.feedback or "") if "feedback" in chosen else ""
        return Prompt(checked(material.messages), template(self.template), solution, feedback)

    def _answer_part(self, solution: str) -> str:
        """Ours differs: published code shows thinking that never closes as it is; here it is no material."""
        if thinks_to_the_end(solution) or not (rest := without_thinking(solution)).strip():
            raise NoMaterial("nothing follows the thinking of the solution for this problem.")
        return rest


@dataclass(frozen=True)
class Fraction:
    """The question with the beginning of a correct solution."""

    about: str
    share: float | None = None
    unit: str = "words"
    template: str = "analysis"
    needs: tuple[str, ...] = ("solution",)

    def configured(self, argument: str | None, template: str | None) -> Fraction:
        """The same for another share: `0.25`, or with a unit `0.25:sentences`."""
        share, _, unit = (argument or "").partition(":")
        try:
            value = float(share)
        except ValueError:
            value = 0.0
        if not 0 < value <= 1:
            raise ConfigError(f"fraction:{argument or ''}: give a share above 0 and up to 1, such as fraction:0.25.")
        if unit and unit not in UNITS:
            raise ConfigError(f"fraction:{argument}: unknown unit {unit!r}.{nearest(unit, UNITS)}")
        return replace(self, share=value, unit=unit or self.unit, template=template or self.template)

    def __call__(self, material: Material, *, room: int | None = None, count: Count | None = None) -> Shown:
        prompt = Guided(self.about, self.needs, self.template).prompt(material)
        return fit(replace(prompt, solution=self._part(prompt, count)), room, count)

    def _part(self, prompt: Prompt, count: Count | None) -> str:
        if self.share is None:
            raise ConfigError("fraction needs a share, such as fraction:0.25.")
        if self.unit != "tokens" or self.share == 1:
            return prompt.solution if self.share == 1 else beginning(prompt.solution, self.share, self.unit)
        empty, whole = counted(prompt.cut(0), count), counted(prompt.cut(prompt.size), count)
        most = empty + int(self.share * (whole - empty))
        return prompt.solution[: max(1, longest(lambda size: counted(prompt.cut(size), count) <= most, prompt.size))]


def _no_argument(argument: str | None) -> None:
    if argument is not None:
        raise ConfigError(f"this context takes nothing behind a colon, not {argument!r}.")


NONE = Bare("the question alone")
CONCISE = Bare("the question and a request to be short (our words)", "concise")
DIRECT = Bare("the question and a request to express no doubt (arXiv 2603.15500)", "direct")
SOLUTION = Guided("a correct solution with its thinking: s", ("solution",))
SOLUTION_NO_THINK = Guided("a correct solution without its thinking: s\\think", ("solution",), thinking=False)
REGENERATED = Guided("a response written under s; regenerated:2, under such a response", ("regenerated",), rounds=1)
ANSWER = Guided("the reference answer only", ("gold",), "answer")
FRACTION = Fraction("the beginning of a correct solution: fraction:0.25, fraction:0.5:sentences")
UNRELATED = Guided("a correct solution to another problem, called correct: a control", ("unrelated",))
WRONG = Guided("a wrong solution, called correct", ("wrong",))
UNCERTAIN = Guided("a correct solution and a request for uncertainty (arXiv 2603.24472)", ("solution",), "uncertain")
FEEDBACK = Guided("what the environment said of an earlier attempt", ("feedback",), "sdpo-yaml")
EITHER = Guided("a correct solution, or else feedback", ("solution", "feedback"), "sdpo-yaml")
BOTH = Guided(
    "a correct solution and feedback, as far as there are", ("solution", "feedback"), "sdpo-yaml", together=True
)
