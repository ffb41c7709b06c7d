"""Heat under the words of the viewer, in a real browser: what is shaded is what the tables say, and the text stays text."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest
from looks import contrast, prose
from test_report import HOSTILE, colours, mixed

from epiverb.report import write
from epiverb.report.heat import LONGEST, STEPS, Heat, units
from epiverb.report.html import ASSETS


def score_by_hand(run, tokens, table="spans"):
    """Put tokens (trace number -> rows of start, end, measure -> value) into a run, as `epiverb score` would, and its page."""
    keys = run.traces["trace_id"].tolist()
    spans, points = [], [pl.read_parquet(run.path / "points.parquet")]
    for index, rows in tokens.items():
        for position, (start, end, values) in enumerate(rows):
            spans.append((keys[index], position, start, end))
            points.append(
                pl.DataFrame(
                    [(keys[index], name, "token", float(position), value) for name, value in values.items()],
                    schema=points[0].schema,
                    orient="row",
                )
            )
    schema = {"trace_id": pl.String, "position": pl.Int64, "start": pl.Int64, "end": pl.Int64}
    pl.DataFrame(spans, schema=schema, orient="row").write_parquet(run.path / f"{table}.parquet")
    pl.concat(points).write_parquet(run.path / "points.parquet")
    write(run.path, run.path / "report.html")
    return run


def shaded(page):
    """Shade -> the texts that have it, in order."""
    return page.evaluate("""() => Object.fromEntries([...CSS.highlights].map(([name, shade]) => [name, [...shade].map((own) => {
        const range = new Range();
        range.setStart(own.startContainer, own.startOffset);
        range.setEnd(own.endContainer, own.endOffset);
        return range.toString();
    })]))""")


TEXT = "Wait, maybe 界隈 3."
TOKENS = [  # " maybe" is two tokens; the last one has no place, as where a model ends
    (0, 4, {"entropy": 5.0, "surprisal": 0.0}),
    (4, 5, {"entropy": 0.2, "surprisal": 0.0}),
    (5, 8, {"entropy": 1.2, "surprisal": 10.0}),
    (8, 11, {"entropy": 3.9, "surprisal": 0.0}),
    (11, 13, {"entropy": 0.0, "surprisal": 0.0}),
    (13, 14, {"entropy": None, "surprisal": 0.0}),
    (14, 17, {"entropy": 4.5, "surprisal": 0.0}),
    (None, None, {"entropy": 5.0, "surprisal": 10.0}),
]
"""The hottest hundredth of eight values is the highest: a shade is worth 1 nat of entropy and 2 of surprisal."""
RECORDS = [{"problem_id": "a", "response": TEXT}, {"problem_id": "b", "response": "Perhaps 4."}]


@pytest.fixture
def scored(make_run):
    return score_by_hand(make_run(RECORDS), {0: TOKENS})


def test_a_word_has_the_shade_of_its_highest_token(page, scored, open_report):
    open_report(page, scored)
    assert shaded(page) == {}
    assert page.locator("#heat-legend").is_hidden()
    assert page.locator("#heat option").all_inner_texts() == ["none", "entropy", "surprisal"]
    page.select_option("#heat", "entropy")
    assert shaded(page) == {"heat-5": ["Wait"], "heat-3": ["maybe"], "heat-unknown": ["隈"], "heat-4": ["3", "."]}
    legend = " ".join(page.locator("#heat-legend").inner_text().split())
    assert legend == "Highest entropy of a word's tokens, nats: unshaded below 1 full shade from 5; 1 unknown ab"
    page.select_option("#heat", "surprisal")
    assert shaded(page) == {"heat-5": ["maybe"]}
    page.select_option("#heat", "")
    assert shaded(page) == {}
    assert page.locator("#heat-legend").is_hidden()
    assert page.seen["errors"] == []


def test_the_text_and_its_marks_stay_as_they_are(page, scored, open_report):
    open_report(page, scored)
    before = page.locator("#text").inner_html()
    page.select_option("#heat", "entropy")
    assert page.locator("#text").inner_html() == before
    assert page.locator("#heat-legend i").evaluate_all("nodes => nodes.every(n => n.closest('[aria-hidden=true]'))")


def test_keys_the_line_that_is_read_out_and_the_address(page, scored, open_report):
    open_report(page, scored)
    page.keyboard.press("j")
    assert page.locator("#say").inner_text() == "reconsideration: Wait"
    page.keyboard.press("h")
    assert page.locator("#heat").input_value() == "entropy"
    assert page.locator("#say").inner_text() == "reconsideration: Wait, entropy 5 or more nats"
    page.keyboard.press("j")
    assert page.locator("#say").inner_text() == "uncertainty: maybe, entropy 3 to 4 nats"
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("mark.here")
    assert page.locator("#heat").input_value() == "entropy"
    assert page.locator("#say").inner_text() == "uncertainty: maybe, entropy 3 to 4 nats"
    page.keyboard.press("n")
    page.locator("#text", has_text="Perhaps").wait_for()
    assert shaded(page) == {}
    assert page.locator("#heat-legend").inner_text() == "No entropy is known of this trace."


def test_a_run_without_scores_offers_none(page, make_run, open_report):
    open_report(page, make_run(RECORDS))
    assert page.locator("#heat-choice").is_hidden()
    page.keyboard.press("h")
    assert page.seen["errors"] == []
    assert page.locator("#text mark").count() > 0


NASTY = HOSTILE + " 👩‍👩‍👧 e\u0301x naïve\u00a0x 한국어 ทดสอบ\r\n\ufeff𝒳≤𝒴 a1+b2==c3 " + "x" * 60 + " ｆｕｌｌ 界界"


def test_the_page_cuts_text_as_the_packer_did(page, make_run, open_report):
    records = [{"problem_id": "1", "response": f"<think>{NASTY}</think>{NASTY}"}]
    run = make_run(records)
    text = run.traces["response"][0]
    start, end = units(text)
    own = [(int(a), int(b), {"entropy": 0.5 + i % 5}) for i, (a, b) in enumerate(zip(start, end, strict=True))]
    open_report(page, score_by_hand(run, {0: own}))
    page.keyboard.press("h")
    assert page.seen["errors"] == []
    found = shaded(page)
    (scale,) = Heat(run).scales
    for level in range(1, STEPS):
        told = [text[a:b] for a, b, values in own if min(int(values["entropy"] / scale.step), STEPS - 1) == level]
        assert found.get(f"heat-{level}", []) == told, level
    assert page.seen["dialogs"] == []


def test_words_signs_and_characters_that_stand_alone():
    def cut(text):
        return [text[a:b] for a, b in zip(*units(text), strict=True)]

    assert cut("Wait, naïve x_1==2.") == ["Wait", ",", "naïve", "x", "_", "1", "==", "2", "."]
    assert cut("界隈 👩‍👩‍👧!") == ["界", "隈", "👩‍👩‍👧", "!"]
    assert [len(part) for part in cut("x" * 60)] == [LONGEST, LONGEST, 60 - 2 * LONGEST]
    assert cut("") == cut(" \n\u202e") == []


def test_values_that_are_not_of_these_tokens_are_not_shown(make_run):
    run = score_by_hand(make_run(RECORDS), {0: TOKENS})
    pl.read_parquet(run.path / "spans.parquet").head(3).write_parquet(run.path / "spans.parquet")
    key = run.traces["trace_id"][0]
    assert Heat(run).of({key: TEXT}) == {key: [None, None]}


@pytest.mark.parametrize("selector", [":root", ':root[data-theme="dark"]'])
def test_words_on_the_fullest_shade_are_readable(selector):
    palette = colours((ASSETS / "report.css").read_text("utf-8"), selector)
    names = ("uncertainty", "reconsideration", "verification", "alternative", "booster", "procedural")
    under = [
        palette["paper"],
        *(mixed(palette[name], palette["paper"], share) for name in names for share in (0.16, 0.38)),
    ]
    for paper in under:
        assert contrast(palette["ink"], mixed("#808080", paper, 0.50)) >= 4.5, paper


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_heat_on_a_phone(browser, scored, open_report, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    page.seen = {"errors": []}
    open_report(page, scored)
    page.select_option("#heat", "entropy")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    legend = page.locator("#heat-legend").bounding_box()
    assert legend["x"] > 0
    assert legend["x"] + legend["width"] <= 360
    context.close()


def scored_at_random(run):
    """Values along the tokens of every trace, a token a unit, four in five nearly certain, as real models are."""
    draw, spans, points = np.random.default_rng(7), [], [pl.read_parquet(run.path / "points.parquet")]
    for key, text in run.traces[["trace_id", "response"]].itertuples(index=False):
        start, end = units(text)
        n = len(start)
        spans.append(pl.DataFrame({"trace_id": [key] * n, "position": np.arange(n), "start": start, "end": end}))
        for name in ("entropy", "surprisal", "propensity/epiverb-en"):
            axis = {"trace_id": [key] * n, "measure": [name] * n, "axis": ["token"] * n, "x": np.arange(n) + 0.0}
            points.append(pl.DataFrame(axis | {"value": draw.gamma(0.25, 1.2, n)}))
    pl.concat(spans).write_parquet(run.path / "spans.parquet")
    pl.concat(points).write_parquet(run.path / "points.parquet")
    return pl.concat(spans).group_by("trace_id").len()["len"].mean()


def texts_of(rng, count, words):
    """Texts that pack about as well as real traces: phrases come again."""
    said = prose(rng, 1200).split(" ")
    phrases = [" ".join(said[at : at + 4]) for at in range(0, len(said), 4)]
    return [" ".join(rng.choices(phrases, k=words // 4)) for _ in range(count)]


def test_hundred_long_traces_with_heat_are_one_page_under_two_megabytes(page, make_run):
    texts = texts_of(random.Random(7), 100, 7000)
    run = make_run([{"problem_id": str(i), "response": text} for i, text in enumerate(texts)])
    assert scored_at_random(run) > 10_000
    (file,) = write(run.path, run.path / "report.html")
    assert file.stat().st_size < 2_000_000
    page.goto(file.resolve().as_uri())
    page.wait_for_selector("#text span", state="attached")
    kept = page.locator("#heat option").all_inner_texts()
    assert kept[:2] == ["none", "entropy"]
    left = page.locator("#heat-left-out").inner_text()
    names = ("probability of a marker", "surprisal")
    assert left == f"Left out to keep the page small: {', '.join(name for name in names if name not in kept)}."


def test_short_traces_keep_every_measure(page, make_run, open_report):
    run = make_run([{"problem_id": str(i), "response": f"Wait, maybe {i}."} for i in range(5)])
    scored_at_random(run)
    write(run.path, run.path / "report.html")
    open_report(page, run)
    assert page.locator("#heat option").all_inner_texts() == ["none", "entropy", "probability of a marker", "surprisal"]
    assert page.locator("#heat-left-out").inner_text() == ""
