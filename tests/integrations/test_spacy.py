"""`nlp.add_pipe("epiverb")` in a real pipeline. The entry point itself is tried by tests/test_wheel.py."""

from __future__ import annotations

import pytest
import spacy
from spacy import displacy
from spacy.tokens import Doc

import epiverb.integrations.spacy
from epiverb.errors import LexiconError

TEXT = "Wait, maybe it is 3. So the answer is 3; let me double-check."


@pytest.fixture
def nlp():
    assert epiverb.integrations.spacy.COLORS  # the import registers the component, as the entry point does
    return spacy.blank("en")


def spans(doc, key="epistemic"):
    return [(span.text, span.label_, span.id_) for span in doc.spans[key]]


def test_hits_are_spans(nlp):
    nlp.add_pipe("epiverb")
    doc = nlp(TEXT)
    assert spans(doc) == [
        ("Wait", "reconsideration", "wait"),
        ("maybe", "uncertainty", "maybe"),
        ("double-check", "verification", "double-check"),
    ]
    attrs = doc.spans["epistemic"].attrs
    assert [TEXT[start:end] for start, end in attrs["characters"]] == ["Wait", "maybe", "double-check"]
    assert attrs["lexicon"] == "epiverb-en"
    assert len(attrs["sha256"]) == 64
    assert list(nlp("It is 3.").spans["epistemic"]) == []
    assert list(nlp("").spans["epistemic"]) == []


def test_further_lexicons_and_controls_have_their_place(nlp):
    config = {"lexicons": ["epiverb-en", "kim2026"], "spans_key": "said", "controls": True}
    nlp.add_pipe("epiverb", config=config)
    doc = nlp(TEXT)
    assert ("So", "procedural", "so") in spans(doc, "said")
    assert [text for text, _, _ in spans(doc, "said/kim2026")] == ["Wait", "maybe", "check"]


def test_a_stream_gives_what_single_texts_give(nlp):
    nlp.add_pipe("epiverb")
    texts = [TEXT, "It is 3.", "Hmm… 🙂 perhaps not.", ""] * 5
    assert [spans(doc) for doc in nlp.pipe(texts, batch_size=3)] == [spans(nlp(text)) for text in texts]


def test_a_marker_within_a_token_takes_the_token_and_keeps_its_place(nlp):
    nlp.add_pipe("epiverb")
    doc = Doc(nlp.vocab, words=["so", "(maybe)then"], spaces=[True, False])
    doc = nlp.get_pipe("epiverb")(doc)
    (start, end) = doc.spans["epistemic"].attrs["characters"][0]
    assert doc.text[start:end] == "maybe"
    assert spans(doc)[0][0] == "(maybe)then"


def test_pipelines_and_documents_can_be_stored(nlp, tmp_path):
    nlp.add_pipe("epiverb", config={"lexicons": ["kim2026"]})
    nlp.to_disk(tmp_path / "nlp")
    again = spacy.load(tmp_path / "nlp")
    assert again.pipe_names == ["epiverb"]
    doc = again(TEXT)
    back = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert spans(back) == spans(doc)
    assert back.spans["epistemic"].attrs["lexicon"] == "kim2026"


def test_displacy_draws_them(nlp):
    nlp.add_pipe("epiverb")
    html = displacy.render(nlp(TEXT), style="span", options={"spans_key": "epistemic"}, jupyter=False)
    assert html.count("reconsideration") == 1
    assert "verification" in html


def test_a_wrong_lexicon_is_said_when_it_is_added(nlp):
    with pytest.raises(LexiconError, match="unknown lexicon 'kim2062'"):
        nlp.add_pipe("epiverb", config={"lexicons": ["kim2062"]})
