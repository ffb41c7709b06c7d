"""A scorer for Inspect: the markers of each sample's output, with their places.

    Task(dataset=..., solver=generate(), scorer=[match(), epistemic_markers()])
    inspect score log.eval --scorer epiverb/epistemic_markers --action append     # a log that is there already

The score is the number of epistemic markers; its metadata holds every hit with offsets, and references that Inspect's viewer
turns into links. Beside mean and standard error, the metric `per_1k_words` is the density over all samples. Those errors take
samples for independent; `epiverb analyze log.eval` gives intervals over problems.
"""

from __future__ import annotations

from epiverb.errors import MissingExtra
from epiverb.integrations.cited import cited

try:
    from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, mean, metric, scorer, stderr
    from inspect_ai.solver import TaskState
except ImportError as error:
    raise MissingExtra("inspect-ai", "inspect") from error


@metric
def per_1k_words() -> Metric:
    """Epistemic markers per 1,000 words, of all samples together."""

    def density(scores: list[SampleScore]) -> float:
        known = [one.score for one in scores if one.score.metadata and one.score.metadata.get("words") is not None]
        words = sum(score.metadata["words"] for score in known if score.metadata)
        return 1000 * sum(score.as_float() for score in known) / words if words else float("nan")

    return density


@scorer(metrics=[mean(), stderr(), per_1k_words()])
def epistemic_markers(lexicon: str = "epiverb-en") -> Scorer:
    """The scorer.

    Args:
        lexicon: name or TOML file.
    """

    async def score(state: TaskState, target: Target) -> Score:
        place = len(state.messages)
        message = state.output.message if state.output.choices else None
        found = cited([(f"[M{place}]", message.id, message)] if message else [], lexicon, state.input_text)
        metadata = {**found["metadata"], "scanner_references": found["references"]}
        return Score(value=found["count"], explanation=found["explanation"], metadata=metadata)

    return score
