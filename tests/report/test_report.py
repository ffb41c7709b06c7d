"""The report in a real browser: it shows what it should, asks nobody for anything, and nothing in a trace acts."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from looks import contrast, hexed, prose

import epiverb as ev
from epiverb.report.html import interval, number, spread, table

RECORDS = [
    {
        "problem_id": "a",
        "benchmark": "x",
        "response": "Wait, maybe 3. Let me check. So 3.",
        "correct": True,
        "prompt": "One?",
        "finish_reason": "stop",
    },
    {
        "problem_id": "b",
        "benchmark": "x",
        "response": "It is 4. Clearly.",
        "correct": False,
        "prompt": "Two?",
        "finish_reason": "stop",
    },
    {
        "problem_id": "c",
        "benchmark": "y",
        "response": "é😀 Wait, 界 perhaps 5.",
        "correct": True,
        "finish_reason": "length",
    },
]


def marks(page):
    return page.locator("#text mark").all_inner_texts()


def test_nothing_is_asked_for_and_nothing_fails(page, make_run, open_report, url):
    run = make_run(RECORDS)
    open_report(page, run)
    assert page.seen == {"requests": [url(run)], "errors": [], "dialogs": []}
    assert page.title() == "epiverb: 3 traces"
    assert page.locator("figure svg[role=img]").count() >= 5
    assert page.evaluate("scrollY") == 0


def test_markers_are_marked_where_they_stand(page, make_run, open_report):
    open_report(page, make_run(RECORDS))
    assert marks(page)[:3] == ["Wait", "maybe", "check"]
    page.keyboard.press("n")
    page.keyboard.press("n")
    page.locator("#text", has_text="界").wait_for()
    assert marks(page) == ["Wait", "perhaps"]


def test_keys_and_links_that_survive_a_reload(page, make_run, open_report):
    open_report(page, make_run(RECORDS))
    for _ in range(2):
        page.keyboard.press("j")
    assert page.locator("mark.here").inner_text() == "maybe"
    page.keyboard.press("k")
    assert page.locator("mark.here").inner_text() == "Wait"
    page.keyboard.press("n")
    page.locator("#text", has_text="It is 4").wait_for()
    page.keyboard.press("p")
    page.locator("#text", has_text="maybe 3").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    address = page.url
    page.reload()
    page.wait_for_selector("mark.here")
    assert page.url == address
    assert page.locator("mark.here").inner_text() == "maybe"
    page.keyboard.press("?")
    assert page.locator("#keys").get_attribute("open") is not None


def test_filters_and_order(page, make_run, open_report):
    open_report(page, make_run(RECORDS))
    page.select_option("#by-verdict", "wrong")
    assert page.locator("#list li").count() == 1
    assert "1 of 3" in page.locator("#number").inner_text()
    page.select_option("#by-verdict", "")
    page.select_option("#by-status", "truncated")
    assert page.locator("#list li").count() == 1
    page.select_option("#by-status", "")
    page.fill("#by-text", "problem b")
    assert page.locator("#list li").count() == 1
    page.fill("#by-text", "")
    page.select_option("#sort", "hits")
    assert "problem a" in page.locator("#list li").first.inner_text()


def test_controls_are_hidden_until_asked_for(page, make_run, open_report):
    open_report(page, make_run(RECORDS))
    so = page.locator("#text mark.c5").first
    assert so.evaluate("node => getComputedStyle(node).borderBottomStyle") == "none"
    page.locator("#chips button", has_text="procedural").click()
    assert so.evaluate("node => getComputedStyle(node).borderBottomStyle") != "none"


HOSTILE = "Wait <script>alert(1)</script></script><!-- </style><img src=x onerror=alert(2)> \x1b[31m\x00 \u202eevil\u2066 \u2069maybe"


def test_hostile_traces_are_text(page, make_run, open_report):
    record = {
        "problem_id": HOSTILE,
        "benchmark": "</title><script>alert(3)</script>",
        "response": HOSTILE,
        "prompt": HOSTILE[4:-6],
    }
    run = make_run([{**record, "answer": HOSTILE, "gold": "</script><b>"}], name="a<b>'\"&.jsonl", label=["<i>arm</i>"])
    open_report(page, run)
    assert page.seen["errors"] == []
    assert page.seen["dialogs"] == []
    assert page.title() == "epiverb: 1 traces"
    assert page.locator("script").count() == 4  # facts, traces, shades and the code
    assert page.locator("img, b:has-text('evil'), i").count() == 0
    shown = page.locator("#text").inner_text()
    assert "<script>alert(1)</script>" in shown
    assert "\\u202e" in shown
    assert not set("\x00\x1b\u202e\u2066\u2069") & set(page.content())
    assert "\x1b" not in shown
    assert marks(page)[-1] == "maybe"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_width_and_colour_scheme(browser, make_run, scheme, open_report):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    open_report(page, make_run(RECORDS))
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    assert page.locator("html").get_attribute("data-theme") == scheme
    page.click("#theme")
    assert page.locator("html").get_attribute("data-theme") != scheme
    context.close()


def test_a_screen_reader_finds_names(page, make_run, open_report):
    open_report(page, make_run(RECORDS))
    assert page.locator("h1").count() == 1
    assert page.locator("main").count() == 1
    assert page.locator("table").count() == page.locator("table > caption").count()
    for control in page.locator("button, select, input").all():
        name = control.evaluate(
            "node => node.ariaLabel || node.textContent.trim() || node.labels?.[0]?.textContent.trim()"
        )
        assert name
    for svg in page.locator("figure svg").all():
        assert len(svg.get_attribute("aria-label")) > 10


UNICODE = "👩‍👩‍👧 Wait, 界隈 e\u0301e\u0301 maybe 𝒳 ≤ 𝒴. Perhaps not. 🤔 Hmm, שלום, let me double-check."


def test_marks_begin_where_the_table_says(page, make_run, open_report):
    run = make_run([{"problem_id": "1", "response": UNICODE}])
    open_report(page, run)
    hits = run.hits.to_pandas() if hasattr(run.hits, "to_pandas") else run.hits
    own = hits[hits["lexicon"] == "epiverb-en"].sort_values("start")
    told = [(int(hit.start), UNICODE[hit.start : hit.end]) for hit in own.itertuples()]
    drawn = page.locator("#text mark").evaluate_all("nodes => nodes.map(n => [Number(n.dataset.start), n.textContent])")
    assert [tuple(pair) for pair in drawn] == told
    assert len(told) >= 5
    assert page.locator("#text").evaluate("node => node.textContent") == UNICODE


def test_what_two_hits_share_is_drawn_once_and_both_are_seen(page, make_run, open_report):
    text = "Let me try another approach."
    run = make_run([{"problem_id": "1", "response": text}])
    open_report(page, run)
    assert page.locator("#text").evaluate("node => node.textContent") == text
    assert page.locator("#text mark").count() == len(set(run.hits.query("lexicon == 'epiverb-en'")["start"]))


def test_a_link_reaches_a_trace_far_down_the_list(page, make_run, url):
    run = make_run([{"problem_id": str(i), "response": f"Maybe {i}."} for i in range(180)])
    page.goto(url(run))
    page.wait_for_selector("#text span", state="attached")
    assert page.locator("#list li").count() == 100
    page.fill("#by-text", "problem 170")
    page.locator("#name", has_text=":171:").wait_for()
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    here = page.locator("#list button[aria-current=true]", has_text="problem 170")
    here.wait_for()
    assert here.is_visible()
    page.keyboard.press("n")
    page.locator("#text", has_text="Maybe 171").wait_for()


def test_filters_that_fit_nothing_say_so(page, make_run, open_report):
    open_report(page, make_run(RECORDS))
    page.fill("#by-text", "nothing like it")
    assert page.locator("#list").inner_text() == "No trace fits these filters."
    page.keyboard.press("n")
    assert page.seen["errors"] == []


def test_an_address_of_another_page_says_so(page, make_run, url):
    page.goto(url(make_run(RECORDS)) + "#trace=elsewhere")
    page.wait_for_selector("#text span", state="attached")
    assert "the one in the address is not among them" in page.locator("#number").inner_text()


def test_sources_tell_traces_apart_where_nothing_else_does(page, tmp_path, open_report):
    for name in ("runs_base_t0", "runs_tuned_t0"):
        (tmp_path / f"{name}.jsonl").write_text('{"problem_id": "1", "response": "Maybe 4."}\n')
    paths = [str(path) for path in sorted(tmp_path.glob("*.jsonl"))]
    open_report(page, ev.analyze(*paths, out=str(tmp_path / "run"), draws=100))
    assert "base" in page.locator("#list li").first.inner_text()
    assert page.locator("#by-group option").all_inner_texts() == ["all", "base", "tuned"]


def test_long_names_do_not_widen_a_phone(browser, make_run, open_report):
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    long = "x" * 300
    record = {"problem_id": long, "benchmark": long, "prompt": long, "response": f"Wait {long}", "answer": long}
    open_report(page, make_run([record, {**record, "correct": True}], name=f"{long[:200]}.jsonl"))
    wide = "[...document.querySelectorAll('body *')].filter(n => !n.closest('.scroll, select, #text') && n.getBoundingClientRect().right > 360)"
    assert page.evaluate(f"{wide}.map(node => node.outerHTML.slice(0, 80))") == []
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    context.close()


def test_numbers_have_three_digits():
    values = (0, 27, 99.96, 100, 1234.5, 0.038, 1, None, -3)
    assert [number(value) for value in values] == ["0", "27.0", "100", "100", "1,234", "0.0380", "1.00", "–", "-3.00"]
    assert number(0.5, share=True) == "50.0 %"
    assert [number(-0.0004, share=True), number(-0.0006, share=True), number(-0.0)] == ["0.0 %", "-0.1 %", "0"]
    assert interval({"value": 0.5, "lo": 0.25, "hi": 0.75}, share=True) == "50.0 % [25.0, 75.0 %]"
    assert interval({"value": 0.5, "lo": None, "hi": None}) == "0.500"


def test_cells_are_escaped_unless_they_are_markup():
    drawn = table("<c>", ("<h>",), [("<a>", "<b>", spread({"value": 1, "lo": 0, "hi": 2}))])
    assert "<td>&lt;b&gt;</td><td><b>1.00</b> <small>[0, 2.00]</small></td>" in drawn
    assert "<c>" not in drawn
    assert "<h>" not in drawn
    assert "<a>" not in drawn


def colours(css: str, selector: str) -> dict[str, str]:
    block = re.search(re.escape(selector) + r" \{(.*?)\}", css, re.DOTALL)[1]
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block))


@pytest.mark.parametrize("selector", [":root", ':root[data-theme="dark"]'])
def test_contrast_is_enough_to_read(selector):
    from epiverb.report.html import ASSETS

    css = (ASSETS / "report.css").read_text("utf-8")
    palette = colours(css, selector)
    categories = ("uncertainty", "reconsideration", "verification", "alternative", "booster", "procedural")
    for name in ("ink", "quiet", "right", "wrong", *categories):
        assert contrast(palette[name], palette["paper"]) >= 4.5, name
    assert contrast(palette["ink"], palette["panel"]) >= 4.5
    assert contrast(palette["quiet"], palette["panel"]) >= 4.5
    for name in categories:  # text of a marker, and of the marker one stands at
        for share in (0.16, 0.38):
            assert contrast(palette["ink"], mixed(palette[name], palette["paper"], share)) >= 4.5, name


def mixed(a: str, b: str, share: float) -> str:
    parts = [round(share * int(a[i : i + 2], 16) + (1 - share) * int(b[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{part:02x}" for part in parts)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_in_a_figure_is_readable(page, make_run, open_report, theme):
    page.emulate_media(color_scheme=theme)
    open_report(page, make_run(RECORDS))
    fills = page.locator("figure svg text").evaluate_all("nodes => nodes.map(node => getComputedStyle(node).fill)")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert len(fills) > 40
    for fill in set(fills):
        assert contrast(hexed(fill), hexed(paper)) >= 4.5, fill


def test_hundred_long_traces_stay_under_two_megabytes_a_page(page, make_run):
    rng = random.Random(7)
    records = [{"problem_id": str(i), "response": prose(rng, 7000), "correct": i % 2 == 0} for i in range(100)]
    run = make_run(records)
    files = sorted(Path(run.path).glob("report*.html"))
    assert all(file.stat().st_size < 2_000_000 for file in files)
    reached = []
    for file in files:
        page.goto(file.resolve().as_uri())
        page.wait_for_selector("#list li")
        reached += page.evaluate("JSON.parse(document.getElementById('facts').textContent).map(row => row[1])")
    assert sorted(reached, key=int) == [str(i) for i in range(100)]


def test_pages_are_linked_and_open_on_their_own(page, make_run):
    rng = random.Random(3)
    run = make_run([{"problem_id": str(i), "response": prose(rng, 9000)} for i in range(110)])
    page.goto((run.path / "report.html").resolve().as_uri())
    told = page.locator("#viewer > p.quiet").first
    assert "of 110; none is left out." in told.inner_text()
    told.locator("a", has_text="2").click()
    page.wait_for_selector("#list li")
    assert page.url.split("#")[0].endswith("report-2.html")
    assert page.locator("nav a[aria-current=page]").inner_text() == "2"
    assert page.locator("h1").count() == 1
    page.keyboard.press("j")
    assert page.locator("mark.here").inner_text() == "Wait"


def test_left_out_traces_are_told(make_run):
    records = [{"problem_id": str(i), "response": f"Wait, maybe {i}."} for i in range(50)]
    run = make_run(records, report_traces=10)
    text = (run.path / "report.html").read_text("utf-8")
    assert "of 10 shown, spread evenly over all 50; --report-traces 50 shows every one." in text


@pytest.mark.parametrize(
    "records",
    [
        [{"problem_id": "1", "response": "It is 4."}],
        [{"problem_id": "1", "response": ""}, {"problem_id": "2", "response": "Wait."}],
        [{"problem_id": str(i), "response": "Maybe.", "correct": False} for i in range(3)],
    ],
)
def test_sparse_runs_render(page, make_run, records, url):
    run = make_run(records)
    page.goto(url(run))
    page.wait_for_selector("#list li")
    assert page.seen["errors"] == []
    assert page.locator("#prompt").is_hidden()
    assert page.locator("nav a").count() == 0
