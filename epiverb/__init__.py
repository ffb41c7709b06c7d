"""epiverb: the measuring instrument for epistemic verbalization in reasoning traces.

    import epiverb as ev
    run = ev.analyze("traces.jsonl")
    run.hits            # pandas: one row a marker occurrence
    run.wide()          # pandas: one row a trace, one column a measure
    ev.show(run, 1)     # a trace with its markers

Names are imported when first used, so that `import epiverb` costs nothing.
"""

from __future__ import annotations

from typing import Any

_PUBLIC = {
    "analyze": "epiverb.verbs.api:analyze",
    "show": "epiverb.verbs.api:show",
    "compare": "epiverb.verbs.api:compare",
    "link": "epiverb.verbs.api:link",
    "plan": "epiverb.verbs.api:plan",
    "score": "epiverb.verbs.api:score",
    "validate": "epiverb.verbs.api:validate",
    "grade": "epiverb.verbs.api:grade",
    "sample": "epiverb.verbs.api:sample",
    "evaluate": "epiverb.verbs.api:evaluate",
    "sft_data": "epiverb.verbs.api:sft_data",
    "Run": "epiverb.run:Run",
    "Lexicon": "epiverb.text.lexicon:Lexicon",
    "load_lexicon": "epiverb.text.lexicon:load",
    "EpiverbError": "epiverb.errors:EpiverbError",
}

__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'epiverb' has no attribute {name!r}")
    from epiverb.registry import resolve

    globals()[name] = value = resolve(_PUBLIC[name])
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
