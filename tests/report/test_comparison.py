"""The page of `compare` in a real browser: what it says, what it shows side by side, and that nothing in a trace acts."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from looks import contrast, hexed, prose, until

import epiverb as ev

HOSTILE = "<script>alert(1)</script></style><b>evil</b> \x1b[31mred\u202e maybe <!-- </script> &amp; ${x}"


def record(
    problem: str, response: str, correct: bool | None = None, sample: int = 0, **more: object
) -> dict[str, object]:
    return {
        "problem_id": problem, "benchmark": "x", "response": response, "correct": correct, "sample": sample,
        "prompt": f"Question {problem}?", "finish_reason": "stop", **more,
    }  # fmt: skip


BASE = [
    record("fixed", "Wait, maybe 3. Let me check. Hmm, so 4.", False),
    record("broken", "Perhaps 5. " * 4, True),
    record("gone", "Wait. Wait. Wait. Yes.", True),
    record("gained", "It is 4. Clearly.", False),
    record("hostile", f"{HOSTILE} Wait.", True, prompt=HOSTILE),
    record("wide", "é😀 Wait, 界 perhaps 5. 𝒳 maybe.", True),
]
RUN = [
    record("fixed", "Maybe it is four.", True),
    record("broken", "It is 6. Perhaps. Perhaps. Perhaps. Perhaps.", False),
    record("gone", "Yes, it is.", True),
    record("gained", "Wait, maybe 4. Perhaps 5.", False),
    record("hostile", HOSTILE, True),
    record("wide", "Plain. 😀 Hmm, 界.", True),
    record("unpaired", "Not in the base.", True),
]


def written(folder: Path, name: str, records: list[dict[str, object]]) -> str:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records), "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The comparison of two small runs, and the folder it was written to."""
    folder = tmp_path_factory.mktemp("compared")
    out = folder / "out"
    document = ev.compare(written(folder, "base", BASE), written(folder, "tuned", RUN), out=str(out), draws=1000)
    return document, out


@pytest.fixture
def show(page):
    """Open a comparison's page and wait for both texts."""

    def opened(out: Path, fragment: str = "", name: str = "report.html"):
        page.goto("about:blank")
        page.goto((out / name).resolve().as_uri() + fragment)
        page.wait_for_selector(".pane:nth-child(2) .text span", state="attached")
        return page

    return opened


def problems(page) -> list[str]:
    texts = page.locator("#list li button").evaluate_all("nodes => nodes.map(node => node.firstChild.textContent)")
    return [re.search(r"problem (\S+)", text)[1] for text in texts]


def test_nothing_is_asked_for_and_nothing_fails(show, compared):
    _, out = compared
    page = show(out)
    assert [address.split("#")[0] for address in page.seen["requests"]] == [(out / "report.html").resolve().as_uri()]
    assert (page.seen["errors"], page.seen["dialogs"]) == ([], [])
    assert page.title() == "epiverb: tuned against base"
    assert page.locator("h1").count() == 1
    assert (
        page.locator("meta[http-equiv=Content-Security-Policy]")
        .get_attribute("content")
        .startswith("default-src 'none'")
    )


def test_findings_warnings_and_hints_are_on_the_page(show, compared):
    document, out = compared
    said = show(out).locator("main").inner_text().replace("\xa0", " ")
    for line in document["findings"]:
        start = line.removeprefix("epiverb-en: ").removeprefix("kim2026: ")[1:80]
        assert start in said
    assert document["warnings"]
    for line in document["warnings"] + document["hints"]:
        assert line.replace("base.jsonl", "base").replace("tuned.jsonl", "tuned")[:80] in said


def test_figures_and_tables_hold_the_numbers_of_the_document(show, compared):
    document, out = compared
    page = show(out)
    titles = page.locator("figcaption").evaluate_all("nodes => nodes.map(node => node.firstChild.textContent)")
    assert {"Outcomes, run minus base", "Words a trace", "Epistemic markers by lexicon", "Markers by category",
            "Single words", "Along the response", "What the change in markers is made of"} <= set(titles)  # fmt: skip
    accuracy = document["accuracy"]
    row = page.locator("table", has_text="Outcomes").first.locator("tr", has_text="accuracy").inner_text()
    assert f"{100 * accuracy['base']:.1f} %" in row
    assert f"{100 * accuracy['run']:.1f} %" in row
    label = page.locator("figure svg").first.get_attribute("aria-label")
    assert f"accuracy {100 * accuracy['delta']:+.1f}" in label
    assert page.locator("table").count() == page.locator("table > caption").count()


def test_filters_by_what_happened_to_a_problem(show, compared):
    page = show(compared[1])
    assert problems(page) == ["fixed", "broken", "gone", "gained", "hostile", "wide"]
    expected = {
        "by-outcome": {"fixed": ["fixed"], "broken": ["broken"], "wrong": ["gained"], "right": ["gone", "hostile", "wide"]},
        "by-markers": {"gone": ["gone"], "first": ["gained"], "gained": ["gained"]},
    }  # fmt: skip
    for control, choices in expected.items():
        for value, names in choices.items():
            page.select_option(f"#{control}", value)
            assert problems(page) == names, value
            assert f"({len(names)})" in page.locator(f"#{control} option[value={value}]").inner_text()
            page.select_option(f"#{control}", "")
    page.select_option("#by-markers", "lost")
    assert set(problems(page)) >= {"fixed", "gone"}
    assert "broken" not in problems(page)
    page.select_option("#by-outcome", "broken")
    assert page.locator("#list").inner_text() == "No problem fits these filters."
    page.keyboard.press("n")
    assert page.seen["errors"] == []


def test_both_sides_show_the_same_problem_with_marks_where_they_stand(show, compared):
    page = show(compared[1])
    seen = 0
    for base, run in zip(BASE, RUN, strict=False):
        until(page, f"location.hash.includes('%2F{base['problem_id']}')")
        for index, one in enumerate((base, run)):
            text = str(one["response"])
            pane = page.locator(".pane .text").nth(index)
            drawn = pane.locator("mark").evaluate_all(
                "nodes => nodes.map(n => [Number(n.dataset.start), n.textContent])"
            )
            assert all(text[start : start + len(found)] == found for start, found in drawn), one
            seen += len(drawn)
        page.keyboard.press("n")
    assert seen > 20


def test_keys_sides_and_links_that_survive_a_reload(show, page, compared):
    show(compared[1])
    page.keyboard.press("j")
    assert page.locator(".pane:nth-child(1) mark.here").inner_text() == "Wait"
    page.keyboard.press("s")
    page.keyboard.press("j")
    assert page.locator(".pane:nth-child(2) mark.here").inner_text() == "Maybe"
    assert "tuned, uncertainty: Maybe" in page.locator("#say").inner_text()
    page.keyboard.press("j")
    assert "No further marker" in page.locator("#say").inner_text()
    address = page.url
    assert "problem=x%2Ffixed" in address
    page.keyboard.press("n")
    page.locator("#name", has_text="problem broken").wait_for()
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector(".pane:nth-child(2) mark.here")
    assert page.locator(".pane.active h4").inner_text() == "tuned"
    assert page.locator("#list button[aria-current=true]").inner_text().startswith("x · problem fixed")


def test_an_unknown_address_is_said(show, compared):
    page = show(compared[1], "#problem=nowhere")
    assert "the one in the address is not among them" in page.locator("#number").inner_text() or problems(page)


def test_hostile_text_is_text(show, page, compared):
    show(compared[1], "#problem=x%2Fhostile")
    page.locator("#name", has_text="hostile").wait_for()
    page.locator("#prompt summary").click()
    assert page.seen["dialogs"] == []
    assert page.locator("script").count() == 3
    assert page.locator("b:has-text('evil')").count() == 0
    for text in (*page.locator(".pane .text").all_inner_texts(), page.locator("#prompt-text").inner_text()):
        assert "<script>alert(1)</script></style><b>evil</b>" in text
        assert "\\u202e" in text
    assert not set("\x1b\u202e") & set(page.content())


def test_both_texts_scroll_to_the_same_share(show, tmp_path):
    base = written(tmp_path, "base", [record("1", "Wait, so. \n" * 300, True)])
    run = written(tmp_path, "run", [record("1", "Maybe, so. \n" * 900, True)])
    ev.compare(base, run, out=str(tmp_path / "out"), draws=1000, specificity=False)
    page = show(tmp_path / "out")
    share = "[...document.querySelectorAll('.pane .text')].map(n => n.scrollTop / (n.scrollHeight - n.clientHeight))"
    page.locator(".pane .text").first.evaluate("n => { n.scrollTop = (n.scrollHeight - n.clientHeight) / 2 }")
    until(page, f"{share}[1] > 0.45")
    left, right = page.evaluate(share)
    assert abs(left - right) < 0.01
    page.locator(".pane .text").nth(1).evaluate("n => { n.scrollTop = n.scrollHeight }")
    until(page, f"{share}[0] > 0.99")
    page.click("#together")
    page.locator(".pane .text").first.evaluate("n => { n.scrollTop = 0 }")
    page.wait_for_timeout(100)
    assert page.evaluate(share)[1] > 0.99
    strips = page.locator(".strip")
    assert "300 reconsideration" in strips.first.get_attribute("aria-label")
    strips.first.click(position={"x": 5, "y": 5})
    assert page.locator(".strip path.c1").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_width_and_colour_scheme(browser, compared, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    page.goto((compared[1] / "report.html").resolve().as_uri())
    page.wait_for_selector(".pane .text span", state="attached")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    assert page.locator("html").get_attribute("data-theme") == scheme
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    fills = page.locator("figure svg text").evaluate_all("nodes => nodes.map(node => getComputedStyle(node).fill)")
    assert len(fills) > 60
    for fill in set(fills):
        assert contrast(hexed(fill), hexed(paper)) >= 4.5
    for name in (".fixed", ".broken", ".pane .quiet"):
        colour = page.locator(name).first.evaluate("node => getComputedStyle(node).color")
        assert contrast(hexed(colour), hexed(paper)) >= 4.5, name
    context.close()


def test_a_screen_reader_finds_names(show, compared):
    page = show(compared[1])
    for control in page.locator("button, select, input").all():
        name = control.evaluate("n => n.ariaLabel || n.textContent.trim() || n.labels?.[0]?.textContent.trim()")
        assert name
    for region in page.locator(".pane .text").all():
        assert page.locator(f"#{region.get_attribute('aria-labelledby')}").inner_text() in ("base", "tuned")
    for svg in page.locator("figure svg").all():
        assert len(svg.get_attribute("aria-label")) > 10
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))


def test_text_in_figures_is_not_clipped(show, compared):
    page = show(compared[1])
    outside = """nodes => nodes.filter(node => {
        const own = node.getBoundingClientRect(), svg = node.ownerSVGElement.getBoundingClientRect();
        return own.width && (own.left < svg.left - 1 || own.right > svg.right + 1 || own.top < svg.top - 1 || own.bottom > svg.bottom + 1);
    }).map(node => node.textContent)"""
    assert page.locator("figure svg text").evaluate_all(outside) == []


def test_samples_can_be_chosen_and_are_in_the_address(show, page, tmp_path):
    base = [record("1", f"Wait, sample {i}.", i == 0, i) for i in range(3)] + [record("2", "Yes.", True)]
    run = [record("1", f"Maybe, sample {i}.", True, i) for i in range(2)] + [record("2", "No.", True)]
    ev.compare(written(tmp_path, "a", base), written(tmp_path, "b", run), out=str(tmp_path / "out"), draws=1000)
    show(tmp_path / "out")
    assert "1/3 → 2/2 right" in page.locator("#list li").first.inner_text()
    page.select_option(".pane:nth-child(1) select", "2")
    page.locator(".pane:nth-child(1) .text", has_text="sample 2").wait_for()
    until(page, "location.hash.includes('base=3')")
    page.select_option(".pane:nth-child(2) select", "1")
    until(page, "location.hash.includes('run=2')")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.locator(".pane:nth-child(2) .text", has_text="sample 1").wait_for()
    assert "sample 2" in page.locator(".pane:nth-child(1) .text").inner_text()


def test_several_runs_share_a_page_a_selector_and_a_family(show, page, tmp_path):
    base = written(tmp_path, "base", [record(str(i), "Wait, maybe. So it is.", i % 2 == 0) for i in range(12)])
    first = written(tmp_path, "first", [record(str(i), "So it is.", i % 3 == 0) for i in range(12)])
    second = written(tmp_path, "second", [record(str(i), "Perhaps. So it is.", True) for i in range(11)])
    document = ev.compare(base, first, second, out=str(tmp_path / "out"), draws=1000, specificity=False)
    assert document["families"][0]["name"] == "claims over 2 runs"
    show(tmp_path / "out")
    assert "claims over 2 runs" in page.locator("main").inner_text()
    assert page.locator("section#run-1 h2, section#run-2 h2").all_inner_texts() == [
        "first against base",
        "second against base",
    ]
    assert page.locator("#of option").all_inner_texts() == ["first", "second"]
    assert page.locator("#list li").count() == 12
    page.select_option("#of", "2")
    page.locator(".pane:nth-child(2) .text", has_text="Perhaps").wait_for()
    assert page.locator("#list li").count() == 11
    page.keyboard.press("n")
    until(page, "location.hash.includes('of=second') && location.hash.includes('%2F1')")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.locator(".pane:nth-child(2) .text", has_text="Perhaps").wait_for()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))


def test_long_traces_fill_pages_and_filters_reach_across(page, tmp_path):
    rng = random.Random(5)
    base = [record(str(i), prose(rng, 4500), True) for i in range(60)]
    run = [record(str(i), prose(rng, 4500) + " zebra" * (i == 2), i != 59) for i in range(60)]
    out = tmp_path / "out"
    ev.compare(written(tmp_path, "a", base), written(tmp_path, "b", run), out=str(out), draws=1000, specificity=False)
    files = sorted(out.glob("report*.html"))
    assert len(files) > 1
    assert all(file.stat().st_size < 2_000_000 for file in files)
    reached: list[str] = []
    for file in files:
        page.goto(file.resolve().as_uri())
        reached += page.evaluate("Object.keys(JSON.parse(document.getElementById('packed').textContent))")
    assert sorted(reached, key=int) == [str(i) for i in range(60)]
    page.goto((out / "report.html").resolve().as_uri())
    page.wait_for_selector(".pane .text span", state="attached")
    page.fill("#by-text", "zebra")
    until(page, "document.querySelectorAll('#list li').length === 1")
    assert problems(page) == ["2"]
    page.fill("#by-text", "")
    until(page, "document.querySelectorAll('#list li').length === 60")
    page.select_option("#by-outcome", "broken")
    assert problems(page) == ["59"]
    page.locator("#list button").first.click()
    page.wait_for_url(re.compile(r"report-\d+\.html"))
    page.locator("#name", has_text="problem 59: right → wrong").wait_for()


def test_what_is_left_out_is_told(tmp_path):
    records = [record(str(i), f"Wait, maybe {i}.", True, s) for i in range(10) for s in range(4)]
    paths = [written(tmp_path, name, records) for name in ("a", "b")]
    ev.compare(*paths, out=str(tmp_path / "out"), draws=1000, report_traces=20, specificity=False)
    text = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "10 of 10 problems that the runs share; traces shown: 20 of 40 of a, 20 of 40 of b." in text
    assert "--report-traces 40 shows every one." in text


def test_no_report_writes_none(tmp_path):
    paths = [written(tmp_path, name, BASE) for name in ("a", "b")]
    document = ev.compare(*paths, out=str(tmp_path / "out"), report=False, draws=1000, specificity=False)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["comparison.json", "run.json"]
    assert "report" not in document


def strange(name: str) -> list[dict[str, object]]:
    """Records that make a figure impossible."""
    plain = [record(str(i), "Wait, maybe. It is.", i % 2 == 0) for i in range(4)]
    return {
        "ungraded": [one | {"correct": None} for one in plain],
        "right": [one | {"correct": True} for one in plain],
        "wrong": [one | {"correct": False} for one in plain],
        "single": plain[:1],
        "silent": [one | {"response": "It is."} for one in plain],
        "empty": [one | {"response": ""} for one in plain],
        "nan": [one | {"correct": float("nan")} for one in plain],
    }[name]


@pytest.mark.parametrize("name", ["ungraded", "right", "wrong", "single", "silent", "empty", "nan"])
def test_sparse_comparisons_give_a_page(page, tmp_path, name):
    plain = [record(str(i), "Wait, perhaps. So it is.", i % 2 == 0) for i in range(4)]
    paths = [written(tmp_path, "plain", plain), written(tmp_path, "odd", strange(name))]
    ev.compare(*paths, out=str(tmp_path / "out"), draws=1000)
    page.goto((tmp_path / "out" / "report.html").resolve().as_uri())
    page.wait_for_selector("#list li")
    assert page.seen["errors"] == []
    assert not re.search(r"\b(nan|NaN|None|undefined|inf)\b", page.locator("body").inner_text())
