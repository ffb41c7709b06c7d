"""Several runs against one base: who looks at more runs finds more, so that the families of tests span all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from epiverb.schema import SCHEMA_VERSION
from epiverb.stats.families import adjust
from epiverb.stats.findings import findings


def span(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The documents of `compare`, each run against the same base, as one; every family is corrected over all runs.

    In each comparison `p_adjusted` and `family` become those over all runs, `p_adjusted_within_run` keeps the p that
    the run alone would have had, and `findings` are written anew. `families` names what was corrected together.
    """
    several = f"over {len(results)} runs"
    families = []
    for name, method in _families(results).items():
        members = {
            f"{result['run']}/{key}": contrast for result in results for key, contrast in _members(result, name).items()
        }
        for contrast in members.values():
            contrast["p_adjusted_within_run"] = contrast.get("p_adjusted")
        families.append(adjust(f"{name} {several}", method, members))
    for result in results:
        result["families_within_run"] = result.pop("families")
        result["families"] = [
            {"name": family["name"], "method": family["method"], "n": family["n"]} for family in families
        ]
        result["findings"] = findings(result)
    return {
        "schema": SCHEMA_VERSION,
        "base": results[0]["base"],
        "runs": [result["run"] for result in results],
        "families": families,
        "findings": overview(results, families),
        "comparisons": list(results),
    }


def _families(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {family["name"]: family["method"] for result in results for family in result["families"]}


def _members(result: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Contrasts of one comparison in the family `name`, by the names its row gives them."""
    listed: list[str] = next((family["members"] for family in result["families"] if family["name"] == name), [])
    return {key: _contrast(result, name, key) for key in listed}


def _contrast(result: Mapping[str, Any], family: str, key: str) -> Any:
    """The contrast that a member's name stands for."""
    lexicon, _, rest = key.partition("/")
    if not rest:
        return result[key]
    block = result["markers"][lexicon]
    if family.startswith("categories/"):
        return block["per_category"][rest]["per_1k_words"]
    if family.startswith("words/"):
        return block["per_marker"][rest]["per_1k_words"]
    return block[rest]


def overview(results: Sequence[Mapping[str, Any]], families: Sequence[Mapping[str, Any]]) -> list[str]:
    """What holds of the runs together: which of them differ from the base after correction over all."""
    claims = families[0]
    said = [
        f"{claims['n']} tests of {len(results)} runs are corrected together ({claims['method']}, family "
        f'"{claims["name"]}"); the p of one run here is larger than it would be alone.'
    ]
    for key, label in (("accuracy", "Accuracy"), ("length", "Length")):
        said.append(_which(label, {result["run"]: result[key] for result in results}))
    for name in next(iter(results))["markers"]:
        blocks = {r["run"]: r["markers"][name]["per_1k_words"] for r in results if name in r["markers"]}
        if any(block["base"] or block["run"] for block in blocks.values()):
            said.append(_which(f"Marker density ({name})", blocks))
    return said


def _which(label: str, blocks: Mapping[str, Mapping[str, Any]]) -> str:
    tested = {run: block for run, block in blocks.items() if block.get("p_adjusted") is not None}
    clear = {run: block for run, block in tested.items() if block["p_adjusted"] < 0.05}
    if not tested:
        return f"{label}: no run could be tested."
    lower = [run for run, block in clear.items() if block["delta"] < 0]
    higher = [run for run, block in clear.items() if block["delta"] > 0]
    parts = [f"{word} in {', '.join(runs)}" for word, runs in (("lower", lower), ("higher", higher)) if runs]
    open_ = [run for run in blocks if run not in clear]
    if open_:
        parts.append(f"not told from the base in {', '.join(open_)}")
    return f"{label}: {'; '.join(parts)} (p < 0.05 after correction)."
