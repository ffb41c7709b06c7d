"""Chat messages to markers with their places, as Inspect and Scout show them: counts, hits, and text that cites messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from epiverb.io.rows import joined, message_parts
from epiverb.schema import CONTROLS
from epiverb.text.lexicon import load
from epiverb.text.mark import mark

AROUND = 40
"""Characters shown on either side of a marker."""
SHOWN = 20
"""Markers shown in the explanation; the metadata holds all."""


def cited(messages: Sequence[tuple[str, str | None, Any]], lexicon: str, prompt: str | None = None) -> dict[str, Any]:
    """What a lexicon finds in messages, each given as its citation (`[M2]`), id, and the message itself.

    The result has `count` (epistemic markers), `explanation`, `references` (messages with markers) and `metadata`: lexicon and
    hash, words, counts by category, and the hits, whose offsets count code points of reasoning, a blank line and text,
    as `epiverb analyze` reads them from the log.
    """
    lex = load(lexicon)
    rows = [joined(*message_parts(message.model_dump())) for _, _, message in messages]
    texts = [row.get("response") or "" for row in rows]
    places = [(row["thinking_start"], row["thinking_end"]) if "thinking_end" in row else None for row in rows]
    traces, found = mark(texts, [lexicon], prompts=[prompt] * len(texts), thinking=places)
    hits = []
    for hit in found.sort("trace_id", "start").iter_rows(named=True):
        number = hit["trace_id"]
        cite, name, _ = messages[number]
        keep = ("category", "marker", "start", "end", "segment", "in_loop")
        text = texts[number][hit["start"] : hit["end"]]
        hits.append({"cite": cite, "message": name, "text": text, **{key: hit[key] for key in keep}})
    epistemic = [hit for hit in hits if hit["category"] not in CONTROLS]
    shown = [_shown(hit, texts[[cite for cite, _, _ in messages].index(hit["cite"])]) for hit in epistemic[:SHOWN]]
    more = len(epistemic) - len(shown)
    cites = dict.fromkeys((hit["cite"], hit["message"]) for hit in epistemic)
    return {
        "count": len(epistemic),
        "explanation": "\n".join([*shown, *([f"and {more} more"] if more else [])]) or "no marker",
        "references": [{"type": "message", "cite": cite, "id": name} for cite, name in cites if name],
        "metadata": {
            "lexicon": lex.name,
            "sha256": lex.sha256,
            "words": int(traces["n_words"].sum()),
            "per_category": {name: sum(hit["category"] == name for hit in hits) for name in lex.forms},
            "hits": hits,
        },
    }


def _shown(hit: dict[str, Any], text: str) -> str:
    """A line with the marker in its place."""
    before, after = text[max(hit["start"] - AROUND, 0) : hit["start"]], text[hit["end"] : hit["end"] + AROUND]
    line = " ".join(f"{before}**{hit['text']}**{after}".split())
    return f"{hit['cite']} {hit['category']}: {line}"
