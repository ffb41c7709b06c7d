"""The effect itself, in about two minutes: SDPO takes markers and accuracy out of domain, GRPO does not."""

from __future__ import annotations

import pytest

from epiverb.resources import folder

pytest.importorskip("trl")
if not (folder("data") / "lab" / "base").is_dir():
    pytest.skip("no base of the lab is shipped yet: docs/LOG.md says why", allow_module_level=True)

FAMILIES = ("countdown-3", "countdown-3-high", "countdown-3-division", "countdown-4")
QUICK = {
    "tests": " ".join(f"-b lab:{name}?split=test&n=40&seed=0" for name in FAMILIES),
    "seen-64": "-b lab:countdown-3?split=train&n=4&seed={seed} -n 1 {decoding} {written}",
    "eval": "{tests} -n 2 {decoding} {written}",
    "rollouts": "--questions 8 -n 8 --max-tokens 256 --micro-batch 64 --warmup 2",
    "steps": "--steps 12",
}


def test_sdpo_against_grpo(epiverb):
    settings = [word for name, text in QUICK.items() for word in ("--setting", f"{name}={text}")]
    called = epiverb("claims", "run", "--only", "8", "--seeds", 1, "--out", "claims", "--json", "-q", *settings)
    assert called.code == 0, called.err
    (claim,) = called.json["claims"]
    found = {test["says"]: test for test in claim["tests"]}
    for name in ("SDPO - base", "SDPO - GRPO", "markers, SDPO - GRPO", "tokens, SDPO - base"):
        assert found[name]["figure"]["hi"] < 0, (name, found[name])
    assert found["GRPO - base"]["outcome"] != "opposite"
