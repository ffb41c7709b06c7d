"""Inspect's scorer and Scout's scanner, in real evaluations of Inspect's mock model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import epiverb
from epiverb.errors import MissingExtra

REASONED = ("Wait, maybe it is 3. Let me check. 1+2=3.", "3")
PLAIN = (None, "It is 5. Hmm, perhaps 4? 4")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """The log of an evaluation of two samples, our scorer first."""
    inspect_ai = pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ContentReasoning, ContentText, ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    from epiverb.integrations.inspect import epistemic_markers

    outputs = []
    for reasoning, text in (REASONED, PLAIN):
        output = ModelOutput.from_content("mockllm/model", text)
        if reasoning:
            output.choices[0].message.content = [ContentReasoning(reasoning=reasoning), ContentText(text=text)]
        output.usage = ModelUsage(input_tokens=5, output_tokens=9, total_tokens=14)  # or it would fetch a tokenizer
        outputs.append(output)
    samples = [Sample(id="a", input="1+2?", target="3"), Sample(id="b", input="2+2?", target="4")]
    task = inspect_ai.Task(dataset=samples, solver=generate(), scorer=[epistemic_markers(), match()])
    model = get_model("mockllm/model", custom_outputs=outputs)
    where = str(tmp_path_factory.mktemp("logs"))
    (done,) = inspect_ai.eval(task, model=model, log_dir=where, display="none", max_samples=1)
    assert done.status == "success", done.error
    return done


def test_the_score_counts_and_its_metadata_has_the_hits(log):
    scores = {sample.id: sample.scores["epistemic_markers"] for sample in log.samples}
    assert {name: score.value for name, score in scores.items()} == {"a": 3, "b": 2}
    text = f"{REASONED[0]}\n\n{REASONED[1]}"
    for hit in scores["a"].metadata["hits"]:
        assert text[hit["start"] : hit["end"]] == hit["text"]
        assert hit["segment"] == "thinking"
    assert [hit["text"] for hit in scores["b"].metadata["hits"]] == ["Hmm", "perhaps"]
    assert scores["a"].metadata["per_category"]["verification"] == 1
    assert len(scores["a"].metadata["sha256"]) == 64


def test_references_lead_to_the_message(log):
    sample = log.samples[0]
    (reference,) = sample.scores["epistemic_markers"].metadata["scanner_references"]
    assert reference == {"type": "message", "cite": "[M2]", "id": sample.messages[1].id}
    assert "[M2] uncertainty: Wait, **maybe** it is 3." in sample.scores["epistemic_markers"].explanation


def test_metrics(log):
    metrics = {name: metric.value for name, metric in log.results.scores[0].metrics.items()}
    assert metrics["mean"] == 2.5
    assert metrics["per_1k_words"] == pytest.approx(1000 * 5 / (10 + 7))


def test_epiverb_reads_the_same_hits_from_the_log_and_takes_no_count_for_a_grade(log, tmp_path):
    run = epiverb.analyze(log.location, out=tmp_path / "run", report=False, lexicon=["epiverb-en"])
    found = run.hits.merge(run.traces[["trace_id", "problem_id"]]).sort_values(["problem_id", "start"])
    scored = [
        (sample.id, h["start"], h["end"])
        for sample in log.samples
        for h in sample.scores["epistemic_markers"].metadata["hits"]
    ]
    assert list(found[["problem_id", "start", "end"]].itertuples(index=False, name=None)) == scored
    assert run.traces["correct"].tolist() == [True, True]


def test_a_log_can_be_scored_afterwards(log, tmp_path):
    from inspect_ai import score

    from epiverb.integrations.inspect import epistemic_markers

    again = score(log, epistemic_markers("kim2026"), action="append", display="none")
    names = [name for name in again.samples[0].scores if name.startswith("epistemic_markers")]
    assert len(names) == 2
    assert again.samples[0].scores[names[1]].metadata["lexicon"] == "kim2026"


def test_scout_scans_the_log(log, tmp_path):
    scout = pytest.importorskip("inspect_scout", reason="inspect-scout is not installed")
    from epiverb.integrations.scout import epistemic_scanner

    transcripts = scout.transcripts_from(str(Path(log.location).parent))
    status = scout.scan([epistemic_scanner()], transcripts, scans=str(tmp_path), max_processes=1, display="none")
    assert status.complete, status.errors
    rows = scout.scan_results_df(status.location).scanners["epistemic_scanner"].sort_values("value")
    assert rows["value"].tolist() == [2, 3]
    assert "[M2] uncertainty" in rows["explanation"].iloc[1]
    (reference,) = json.loads(rows["message_references"].iloc[1])
    assert reference["id"] == log.samples[0].messages[1].id
    hits = json.loads(rows["metadata"].iloc[1])["hits"]
    assert [hit["text"] for hit in hits] == ["Wait", "maybe", "check"]


@pytest.mark.parametrize(("module", "extra"), [("inspect", "inspect_ai"), ("scout", "inspect_scout")])
def test_what_is_missing_is_said(monkeypatch, module, extra):
    monkeypatch.setitem(sys.modules, extra, None)
    monkeypatch.setitem(sys.modules, f"{extra}.scorer", None)
    monkeypatch.delitem(sys.modules, f"epiverb.integrations.{module}", raising=False)
    with pytest.raises(MissingExtra, match=r"pip install 'epiverb\["):
        __import__(f"epiverb.integrations.{module}")
