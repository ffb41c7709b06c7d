"""A scored run's report in a real browser: the section is there, in every theme and width, and says what score.json says."""

from __future__ import annotations

import json

import pytest

from epiverb.report.html import interval
from tests.score.conftest import armed, arms, epiverb, model, problems

pytest.importorskip("torch")
__all__ = ["armed", "arms", "epiverb", "model", "problems"]
SHORT = ("--around", 2, "--window", 6, "--draws", 200, "-q")


@pytest.fixture
def scored(epiverb, armed, model):
    """A run with a report, scored in all three ways."""
    assert epiverb("score", armed, "-m", model, *SHORT).code == 0
    assert not (armed / "report.html").exists()  # none is made where there was none
    from epiverb.report import write

    write(armed, armed / "report.html")
    flags = ("--richness", "--pressure", "--contexts", "answer,unrelated", "--beliefs", "--places", 4, "--signals")
    assert epiverb("score", armed, "-m", model, *flags, *SHORT).code == 0
    return armed


def test_the_section_says_what_the_document_says(scored, page):
    page.goto((scored / "report.html").as_uri())
    page.wait_for_selector("#text span", state="attached")
    assert page.seen["errors"] == []
    assert page.seen["requests"] == [(scored / "report.html").as_uri()]
    document = json.loads((scored / "score.json").read_text())
    titles = page.locator("figcaption").all_inner_texts()
    for word in (
        "along",
        "around",
        "ladder of contexts",
        "Expected suppression",
        "Pressure by category, shown answer",
        "Beliefs along",
    ):
        assert any(word in title for title in titles), (word, titles)
    body = page.locator("body").inner_text()
    assert document["pressure"]["sentence"].split(" (")[0].replace(" %", "\u00a0%") in body
    signal = document["signals"]["arms"][0]["rows"][0]
    every = page.locator("table", has=page.locator("caption", has_text="Every score against correctness")).first
    assert signal["name"] in every.text_content()
    assert interval(signal["prr"]) in every.text_content()
    words = page.locator("table", has=page.locator("caption", has_text="KL of student from teacher on a marker"))
    assert interval(document["pressure"]["contexts"][0]["words"][0]["ratio"]) in words.text_content()
    rung = document["richness"]["rows"][0]["guided"]["per_token"]
    ladder = page.locator("table", has=page.locator("caption", has_text="Information richness of each")).inner_text()
    assert interval(rung) in ladder
    assert len(document["tokens"]["shown"]["rows"]) == 3
    page.keyboard.press("h")
    assert "nats" in page.locator("#heat-legend").inner_text()
    assert page.evaluate("[...CSS.highlights.keys()].some(name => name.startsWith('heat-'))")
    assert page.seen["errors"] == []
    assert not list(scored.glob(".report*"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(scored, browser, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto((scored / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    fills = page.evaluate(
        "[...document.querySelectorAll('figure svg path')].map(p => getComputedStyle(p).fill).filter(f => f != 'none')"
    )
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert ink in fills  # the heat is the page's own ink
    assert page.locator("figure image").count() == 0
    context.close()


def test_no_report_leaves_the_report_as_it_is(epiverb, scored, model):
    before = (scored / "report.html").read_bytes()
    assert epiverb("score", scored, "-m", model, "--limit", 4, "--no-report", *SHORT).code == 0
    assert (scored / "report.html").read_bytes() == before
    assert epiverb("score", scored, "-m", model, "--limit", 4, *SHORT).code == 0
    assert (scored / "report.html").read_bytes() != before
