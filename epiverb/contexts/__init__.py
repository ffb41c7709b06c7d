"""Contexts: what a model is shown besides the question. Found by name, built from material about a problem.

    context = parse("solution@sdpo-yaml")
    context(Material(problem.messages, solution=peer)).messages

A package adds its own through the entry point group `epiverb.contexts`.
"""

from __future__ import annotations

from epiverb.contexts.base import Context
from epiverb.errors import ConfigError
from epiverb.registry import Registry

CONTEXTS = Registry(
    "context",
    {
        "none": "epiverb.contexts.kinds:NONE",
        "solution": "epiverb.contexts.kinds:SOLUTION",
        "solution-no-think": "epiverb.contexts.kinds:SOLUTION_NO_THINK",
        "regenerated": "epiverb.contexts.kinds:REGENERATED",
        "answer": "epiverb.contexts.kinds:ANSWER",
        "fraction": "epiverb.contexts.kinds:FRACTION",
        "unrelated": "epiverb.contexts.kinds:UNRELATED",
        "wrong": "epiverb.contexts.kinds:WRONG",
        "uncertain": "epiverb.contexts.kinds:UNCERTAIN",
        "concise": "epiverb.contexts.kinds:CONCISE",
        "direct": "epiverb.contexts.kinds:DIRECT",
        "feedback": "epiverb.contexts.kinds:FEEDBACK",
        "solution-or-feedback": "epiverb.contexts.kinds:EITHER",
        "solution-and-feedback": "epiverb.contexts.kinds:BOTH",
    },
)


def parse(spec: str) -> Context:
    """The context that `NAME[:ARGUMENT][@TEMPLATE]` says: `solution`, `fraction:0.5`, `solution@sdpo-yaml`.

    Raises:
        ConfigError: a name, argument or template that there is not.
    """
    head, at, template_name = spec.partition("@")
    name, colon, argument = head.partition(":")
    context: Context = CONTEXTS.get(name)
    if at:
        from epiverb.contexts.templates import template

        template(template_name)
    try:
        return context.configured(argument if colon else None, template_name if at else None)
    except ConfigError as error:
        raise ConfigError(f"context {spec!r}: {error}") from error


def table() -> list[dict[str, str]]:
    """Every context with its template, what it needs and what it shows, for `epiverb ls contexts`."""
    rows = []
    for name in CONTEXTS:
        context = CONTEXTS.get(name)
        template_name = getattr(context, "template", None) or ""
        rows.append(
            {"name": name, "template": template_name, "needs": ", ".join(context.needs), "about": context.about}
        )
    return rows
