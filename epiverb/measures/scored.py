"""Measures that come of whole runs, of two passes or of hidden states: what their numbers mean, as data.

Others are computed by the object that describes them; these need more than one trace's tokens, and `epiverb score`
computes them where it has what they `need`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoredMeasure:
    """What a number that `epiverb score` puts into `values` means."""

    name: str
    """With ARM or CONTEXT where there is one for each."""
    unit: str
    direction: str
    """What a larger value says."""
    about: str
    needs: tuple[str, ...]
    """What it is made from."""
    version: int = 1
    """Raised when the definition changes."""


FORK_SHARE = ScoredMeasure(
    "fork-share", "share of tokens", "more tokens decide where it goes",
    "Tokens among the fifth of the run's tokens with the highest entropy (arXiv 2506.01939).", ("entropy of the run",),
)  # fmt: skip
FORK_MARKERS = ScoredMeasure(
    "fork-markers", "share of markers", "doubt is voiced where the model is undecided",
    "Epistemic markers outside loops whose first token is such a fork.", ("entropy of the run", "hits"),
)  # fmt: skip
RICHNESS = ScoredMeasure(
    "richness/ARM", "nats a trace", "the context makes the response likelier",
    "Log-probability of the response behind the context of ARM less that behind the question alone (arXiv 2603.24472).",
    ("two passes",),
)  # fmt: skip
_PASSES = ("student and teacher on the same tokens",)
PRESSURE: tuple[ScoredMeasure, ...] = (
    ScoredMeasure("pressure/CONTEXT/kl", "nats", "the teacher would change more",
                  "KL of the student from the teacher that is shown CONTEXT, mean of the trace's tokens.", _PASSES),
    ScoredMeasure("pressure/CONTEXT/reverse-kl", "nats", "the teacher would change more",
                  "KL of the teacher from the student.", _PASSES),
    ScoredMeasure("pressure/CONTEXT/jsd", "nats", "the teacher would change more",
                  "Jensen and Shannon's divergence of the two, with halves.", _PASSES),
    ScoredMeasure("pressure/CONTEXT/log-ratio", "nats", "the teacher likes the trace's tokens better",
                  "Teacher's log-probability of the token that is there less the student's.", _PASSES),
    ScoredMeasure("pressure/CONTEXT/mass-shift", "probability a token", "the teacher would voice more doubt",
                  "Teacher's probability of marker tokens at every position less the student's.", _PASSES),
)  # fmt: skip
_STATES = ("hidden states", "gold")
MI: tuple[ScoredMeasure, ...] = (
    ScoredMeasure("mi-mean", "normalised HSIC", "the tokens' states tell more of the right answer's",
                  "Normalised HSIC of each token's state with the gold answer's, mean (arXiv 2506.02867).", _STATES),
    ScoredMeasure("mi-peaks/share", "share of the peaks", "doubt stands where the answer shows",
                  "The 20 tokens with the highest value that are markers.", (*_STATES, "hits")),
    ScoredMeasure("mi-peaks/lift", "times the share of all tokens", "doubt stands where the answer shows",
                  "That share over the share of all tokens that are markers.", (*_STATES, "hits")),
)  # fmt: skip
SCORED: tuple[ScoredMeasure, ...] = (FORK_SHARE, FORK_MARKERS, RICHNESS, *PRESSURE, *MI)
