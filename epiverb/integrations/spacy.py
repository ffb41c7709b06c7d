"""A spaCy component: markers as spans.

    nlp = spacy.blank("en")
    nlp.add_pipe("epiverb")                                   # or config={"lexicons": ["epiverb-en", "kim2026"]}
    doc = nlp("Wait, maybe it is 3.")
    doc.spans["epistemic"]                                    # [Wait, maybe]; label_ is the category, id_ the marker
    displacy.render(doc, style="span", options={"spans_key": "epistemic"})

It needs nothing of other components. spaCy finds it by the entry point, and imports this module whenever a pipeline is made:
what finds the markers is imported when the first one is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

from epiverb.schema import CONTROLS

if TYPE_CHECKING:
    import polars as pl

COLORS = {
    "UNCERTAINTY": "#9ccdf0",
    "RECONSIDERATION": "#f6bd94",
    "VERIFICATION": "#8fd9c4",
    "ALTERNATIVE": "#e8b4d8",
    "BOOSTER": "#e3d38f",
    "PROCEDURAL": "#cfd4da",
}
"""Category -> colour, which displaCy takes from the entry point."""


class Epistemic:
    """Puts the markers of each document into its span groups.

    Args:
        lexicons: the first one's markers go to the group `spans_key`, those of the others to `spans_key/NAME`.
        spans_key: name of the group.
        controls: also the control classes, which are not epistemic.
    """

    def __init__(self, lexicons: list[str], spans_key: str = "epistemic", controls: bool = False) -> None:
        from epiverb.text.lexicon import load

        self.lexicons = [load(name) for name in lexicons]  # a wrong name is said when the pipe is added
        self.names, self.spans_key, self.controls = list(lexicons), spans_key, controls

    def __call__(self, doc: Doc) -> Doc:
        """The document, with its spans."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 256, **_: Any) -> Iterator[Doc]:
        """The documents, marked a batch at once, which is much faster than one by one."""
        from epiverb.text.mark import mark

        docs = iter(stream)
        while batch := list(islice(docs, batch_size)):
            hits = mark([doc.text for doc in batch], self.names)[1]
            for number, doc in enumerate(batch):
                self._set(doc, hits.filter(hits["trace_id"] == number))
            yield from batch

    def _set(self, doc: Doc, hits: pl.DataFrame) -> None:
        for place, lex in enumerate(self.lexicons):
            mine = hits.filter(hits["lexicon"].cast(str) == lex.name).sort("start")
            rows = [row for row in mine.iter_rows(named=True) if self.controls or row["category"] not in CONTROLS]
            # A marker may end within a token ("wait...what" in one piece): the span is that of the tokens it touches,
            # and the exact characters stand beside it.
            found = [
                doc.char_span(row["start"], row["end"], row["category"], span_id=row["marker"], alignment_mode="expand")
                for row in rows
            ]
            spans = [span for span in found if span is not None]  # only a place outside the text would give None
            name = self.spans_key if place == 0 else f"{self.spans_key}/{lex.name}"
            attrs = {
                "lexicon": lex.name,
                "sha256": lex.sha256,
                "characters": [[row["start"], row["end"]] for row in rows],
                "in_loop": [row["in_loop"] for row in rows],
            }
            doc.spans[name] = SpanGroup(doc, name=name, spans=spans, attrs=attrs)


@Language.factory(
    "epiverb",
    default_config={"lexicons": ["epiverb-en"], "spans_key": "epistemic", "controls": False},
    assigns=["doc.spans"],
)
def epistemic(nlp: Language, name: str, lexicons: list[str], spans_key: str, controls: bool) -> Epistemic:
    """The component, for `nlp.add_pipe("epiverb", config=...)`."""
    return Epistemic(lexicons, spans_key, controls)
