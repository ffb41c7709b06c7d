"""Several runs against one base: the families span them."""

from __future__ import annotations

import copy

import pytest
from statsmodels.stats.multitest import multipletests

from epiverb.stats.compare import MARKERS, OUTCOMES, compare
from epiverb.stats.several import span
from epiverb.stats.simulate import simulate


@pytest.fixture(scope="module")
def single() -> list[dict]:
    base, strong, _ = simulate(40, 4, seed=3, accuracy_effect=-0.8, marker_effect=-0.9)
    _, weak, _ = simulate(40, 4, seed=3, accuracy_effect=-0.3)
    found = [compare(base, run, draws=1_000, strata=False) for run in (strong, weak)]
    for result, name in zip(found, ("strong", "weak"), strict=True):
        result["run"] = name
    return found


def claims(result: dict) -> list[dict]:
    return [result[name] for name in OUTCOMES] + [result["markers"]["sim"][name] for name in MARKERS]


def test_claims_are_corrected_over_all_runs_as_statsmodels_does(single):
    together = span(copy.deepcopy(single))
    tests = [one for result in together["comparisons"] for one in claims(result)]
    expected = multipletests([one["p"] for one in tests], method="holm")[1]
    assert [one["p_adjusted"] for one in tests] == pytest.approx(list(expected))
    assert {one["family"] for one in tests} == {"claims over 2 runs"}
    assert together["families"][0]["n"] == len(tests)
    assert together["families"][0]["members"][0] == "strong/accuracy"


def test_the_p_of_a_run_alone_is_kept_and_never_larger(single):
    together = span(copy.deepcopy(single))
    for alone, result in zip(single, together["comparisons"], strict=True):
        for before, after in zip(claims(alone), claims(result), strict=True):
            assert after["p_adjusted_within_run"] == before["p_adjusted"]
            assert after["p_adjusted"] >= before["p_adjusted"]
        assert result["families_within_run"] == alone["families"]


def test_words_are_screened_over_all_runs(single):
    together = span(copy.deepcopy(single))
    words = [
        row["per_1k_words"]
        for result in together["comparisons"]
        for row in result["markers"]["sim"]["per_marker"].values()
    ]
    expected = multipletests([one["p"] for one in words], method="fdr_bh")[1]
    assert [one["p_adjusted"] for one in words] == pytest.approx(list(expected))


def test_findings_name_the_family_and_sort_the_runs(single):
    together = span(copy.deepcopy(single))
    assert '12 tests of 2 runs are corrected together (Holm, family "claims over 2 runs")' in together["findings"][0]
    density = next(line for line in together["findings"] if line.startswith("Marker density"))
    assert (
        density == "Marker density (sim): lower in strong; not told from the base in weak (p < 0.05 after correction)."
    )
    assert "after Holm, claims over 2 runs" in together["comparisons"][0]["findings"][0]
