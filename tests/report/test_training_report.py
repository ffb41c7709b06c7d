"""The section of a training run in a real browser: curves of every arm, the same numbers in text and table, every width and theme."""

from __future__ import annotations

import re

import polars as pl
import pytest

pytest.importorskip("torch", reason="the record of a training is made with it")

from epiverb.report.html import interval
from epiverb.schema import EPISTEMIC
from tests.report.looks import contrast, hexed
from tests.train.course import as_run, record


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """24 updates in which markers fade, with probes id and ood, as a run with a report."""
    folder = tmp_path_factory.mktemp("training")
    record(folder / "out")
    return as_run(folder / "out", folder / "run")


@pytest.fixture
def shown(trained, page, open_report):
    open_report(page, trained)
    return page


def test_all_curves_are_drawn(shown):
    assert shown.seen["errors"] == []
    figure = shown.locator("figure", has_text="Curves by step")
    words = figure.locator("svg").text_content()
    for label in (
        "reward",
        "tokens",
        "markers / 1,000",
        "right, %",
        "divergence",
        "training step",
        "training",
        "id",
        "ood",
        "on markers",
        "on others",
    ):
        assert label in words, label
    told = figure.locator("svg").get_attribute("aria-label")
    assert re.search(r"markers of training from \d+ to \d+", told)


def test_what_is_said_is_what_the_tables_hold(trained, shown):
    traces, hits = (
        trained.scan("traces").collect(),
        trained.scan("hits").filter(pl.col("category").is_in(EPISTEMIC)).collect(),
    )
    own = traces.filter((pl.col("condition") == "probe/ood") & (pl.col("step") == 24))
    markers = 1000 * hits.filter(pl.col("trace_id").is_in(own["trace_id"].to_list())).height / own["n_words"].sum()
    section = shown.locator("ul.findings").first.inner_text().replace("\u00a0", " ")
    line = next(line for line in section.splitlines() if line.startswith("The probe ood, from step 0 to step 24"))
    assert f"→ {interval({'value': markers, 'lo': None})} [" in line
    assert f"→ {100 * own['correct'].mean():.1f} % [" in line
    pressed = trained.scan("values").filter(pl.col("measure").str.starts_with("train/divergence/")).collect()
    wide = pressed.pivot("measure", index="trace_id", values="value").drop_nulls()
    means = wide.select(pl.exclude("trace_id").mean()).row(0, named=True)
    ratio = means["train/divergence/markers"] / means["train/divergence/others"]
    stated = re.search(r"divergence from the teacher is ([\d.]+) \[", section)
    assert float(stated[1]) == pytest.approx(ratio, rel=0.02)
    shown.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    table = (
        shown.locator("table", has=shown.locator("caption", has_text="Probe ood")).inner_text().replace("\u00a0", " ")
    )
    assert f"{100 * own['correct'].mean():.1f} %" in table
    assert "24 / 12" in table


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(trained, browser, url, scheme):
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(url(trained))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    figure = page.locator("figure", has_text="Curves by step")
    paper = hexed(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    fills = figure.locator("svg text").evaluate_all("all => all.map(each => getComputedStyle(each).fill)")
    assert len(set(fills)) >= 2
    for fill in set(fills):
        assert contrast(hexed(fill), paper) >= 4.5, fill
    context.close()


def test_other_runs_have_no_such_section(make_run, page, open_report):
    from epiverb.report import write

    run = make_run([{"problem_id": "a", "sample": i, "response": "Wait, so 4.", "step": 10} for i in range(3)])
    write(run.path, run.path / "report.html")
    open_report(page, run)
    assert "step by step" not in page.locator("body").inner_text()
