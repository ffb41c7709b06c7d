"""The page of `link`: the figure of domains, tables, and the course over steps."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

import epiverb as ev

BENCHMARKS = {"near": 0.0, "far": 1.0, "farther": 1.0}
DOMAINS = {"near": "id", "far": "ood", "farther": "ood"}


def traces(folder: Path, name: str, effect: float, steps: tuple[int | None, ...] = (None,)) -> str:
    """A file of 10 problems a benchmark, 3 samples each; `effect` takes markers away, and accuracy out of domain."""
    lines = []
    for step in steps:
        strength = effect if step is None else effect * step / 100
        for benchmark, share in BENCHMARKS.items():
            for problem in range(10):
                for sample in range(3):
                    rng = random.Random(f"{name}{step}{benchmark}{problem}{sample}")
                    doubt = sum(rng.random() < 1 - 0.7 * strength for _ in range(10))
                    one = {
                        "problem_id": f"{benchmark}{problem}", "benchmark": benchmark, "sample": sample, "finish_reason": "stop",
                        "response": "Wait. " * doubt + "So it is so and so. " * rng.randint(8, 12),
                        "correct": rng.random() < 0.8 - 0.6 * share * strength, "step": step,
                    }  # fmt: skip
                    lines.append(json.dumps({key: value for key, value in one.items() if value is not None}))
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("linked")
    paths = [traces(folder, "base", 0), traces(folder, "some", 0.4), traces(folder, "most", 1)]
    paths.append(traces(folder, "steps", 1, tuple(range(0, 101, 20))))
    document = ev.link(*paths, domain=DOMAINS, out=str(folder / "out"), draws=300)
    return document, folder / "out"


def test_the_page_holds_figures_tables_findings(page, linked):
    document, out = linked
    page.goto((out / "report.html").resolve().as_uri())
    assert page.seen["errors"] == []
    assert len(page.seen["requests"]) == 1
    titles = page.locator("figcaption").evaluate_all("nodes => nodes.map(node => node.firstChild.textContent)")
    assert {"Change in markers, change in accuracy", "Slope of accuracy on markers", "Within problems",
            "Over training, steps", "If something unseen drove both"} <= set(titles)  # fmt: skip
    said = page.locator("main").inner_text().replace("\xa0", " ")
    for line in document["findings"]:
        assert line.replace(".jsonl", "")[:70] in said
    captions = page.locator("caption").evaluate_all("nodes => nodes.map(node => node.textContent)")
    assert any("without each benchmark" in caption for caption in captions)
    assert any(caption.startswith("Mediation") for caption in captions)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))


def test_it_fits_a_phone_in_the_dark(browser, linked):
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    page.goto((linked[1] / "report.html").resolve().as_uri())
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    assert page.locator("html").get_attribute("data-theme") == "dark"
    context.close()


def test_findings_tell_both_domains_their_gap_and_what_is_open(linked):
    document, _ = linked
    said = [line for line in document["findings"] if line.startswith("most.jsonl")]
    domains = next(block for block in document["domains"] if block["run"] == "most.jsonl")
    ood = domains["ood"]["delta_accuracy"]
    assert f"out of domain (far, farther) accuracy {100 * ood['value']:+.1f} points" in said[0]
    assert f"{100 * domains['ood_minus_id']['delta_accuracy']['value']:+.1f} points more than in domain" in said[1]
    assert "Other benchmarks or another training seed are not in this interval." in said[1]
    assert any("down for good" in line for line in document["findings"])


def test_without_domains_every_benchmark_is_told(tmp_path):
    paths = [traces(tmp_path, "base", 0), traces(tmp_path, "run", 1)]
    document = ev.link(*paths, draws=200)
    assert {line.split(":")[0] for line in document["findings"][:3]} == {f"run.jsonl, {name}" for name in BENCHMARKS}


def test_no_report_writes_none(tmp_path):
    ev.link(traces(tmp_path, "a", 0), traces(tmp_path, "b", 1), out=str(tmp_path / "out"), report=False, draws=200)
    assert not (tmp_path / "out" / "report.html").exists()
