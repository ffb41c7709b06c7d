"""The seam between a trainer and whoever watches it: what a trainer tells, and what it is told of its responses' markers.

    watch = Monitor(out, tokenizer, lexicon)                 # epiverb.train.monitor; None: nobody watches
    marked = watch.mark(ids)                                 # after generation: texts, markers, token classes
    watch.rollouts(step, rows)                               # after grading: this rank's rows
    watch.tokens(step, keys, {"divergence": d_B_T}, mask)    # in the loss, as often as it is taken
    logs |= watch.metrics()                                  # in the trainer's `log`; every rank calls it
    trainer.add_callback(watch.callback())                   # begins, closes steps, writes metrics.jsonl, live view, alarms

`step` is the number of updates that the policy has had when it wrote a response: 0 is the model that was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

COLUMNS = (
    "student_logp",
    "teacher_logp",
    "divergence",
    "entropy",
    "teacher_entropy",
    "is_weight",
    "weight",
    "advantage",
)
"""Names of the per-token columns that `Watch.tokens` takes; natural logarithms, nats, factors of the loss."""


@dataclass(frozen=True)
class Marked:
    """A response with its markers."""

    text: str
    """As the table of traces has it: special tokens kept, the end-of-turn token at its end not."""
    classes: npt.NDArray[np.int64]
    """For each token the index into `Watch.classes`."""
    is_marker: npt.NDArray[np.bool_]
    """For each token whether it overlaps an epistemic marker."""
    n_tokens: int
    """Without the one that ends the turn."""
    n_words: int
    counts: Mapping[str, int]
    """Category -> markers, of all categories of the lexicon, 0 included."""
    markers: Mapping[str, int]
    """Marker -> occurrences, of those that occur."""
    hits: pl.DataFrame
    """The table `hits` without the trace: lexicon, category, marker, start, end, segment, in_loop."""
    loop_start: int | None
    """Code point where a degenerate loop begins that lasts to the end."""
    n_markers: int
    """Epistemic markers: those of the control categories do not count."""
    n_lost: int = 0
    """Hits whose tokens cannot be told, since the tokens' bytes do not spell the text: they are in no class of tokens."""


@dataclass(frozen=True)
class Rollout:
    """One response that a trainer sampled (or was given: SFT), as it is recorded."""

    key: str
    """Unique in the run, and the same when the step is run again: step, rank and place, such as `12-0-7`."""
    ids: Sequence[int]
    """Tokens of the response without padding, the end-of-turn token included where it was sampled."""
    problem_id: str | None = None
    benchmark: str | None = None
    domain: str | None = None
    sample: int = 0
    """Index among the responses to the same problem at this step."""
    prompt: str | None = None
    """What the student was shown, as text."""
    context: str | None = None
    """What the teacher was shown besides; None: nothing, or there is no teacher."""
    gold: str | None = None
    truncated: bool | None = None
    """Cut off by the token limit; None: the trainer does not know."""
    answer: str | None = None
    correct: bool | None = None
    grade_reason: str | None = None
    reward: float | None = None
    """None: unknown; the row was left out of the loss."""
    advantage: float | None = None
    has_demo: bool | None = None
    """Whether a teacher with privileged context stood beside it; None: the method has no teacher."""
    demo: str | None = None
    """Key of the peer that was shown, or `dataset`, `feedback`."""
    trimmed: int = 0
    """Tokens cut from the demonstration."""
    condition: str = "rollout"
    """The arm in the table of traces: `rollout`, `eval`, or `probe/NAME`."""
    marked: Marked | None = None
    """What `Watch.mark` said; None: it is marked when it is recorded."""
    extra: Mapping[str, float | int | str | bool | None] = field(default_factory=dict)
    """Flat values besides, a column each."""


class Watch(Protocol):
    """What a trainer calls. All but `metrics` are of this rank alone and no collective."""

    classes: Sequence[str]
    """Classes of tokens: `none` (no text of its own), `rest`, then the lexicon's categories."""

    def mark(self, ids: Sequence[Sequence[int]], prompts: Sequence[str | None] | None = None) -> list[Marked]:
        """The markers of responses, given without padding.

        Args:
            prompts: what each was sampled behind, as text: words that a response only repeats from there are no markers.
        """
        ...

    def rollouts(self, step: int, rows: Sequence[Rollout]) -> None:
        """Right after generation and grading; may be called several times a step, with other keys."""
        ...

    def tokens(self, step: int, keys: Sequence[str], columns: Mapping[str, Tensor], mask: Tensor) -> None:
        """What the loss saw of each token, (B, T) each, detached; in padded or micro-batched pieces, as it comes.

        Args:
            step: updates that the policy has had which is being trained; the rollouts may be of an earlier one. It is the
                step by which the sums are kept that is closed next.
            keys: of the rows, in their order; padding rows have the key "".
            columns: names are those of `COLUMNS`; NaN is unknown, and in no sum.
            mask: the tokens that count, (B, T); column t is token t of the response.
        """
        ...

    def metrics(self) -> dict[str, float]:
        """Scalars since the last call, over all ranks, by the names to log (`epiverb/markers_per_1k_words`, ...).

        A collective: every rank calls it, at the same place.
        """
        ...

    def recall(self, keys: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
        """After a resume between two updates from the same responses: those that were recorded before, to be told of again."""
        ...

    def close_step(self, step: int) -> None:
        """Writes what this rank recorded of a step, whole or not at all; what comes later for the same step is added."""
        ...

    def callback(self) -> Any:
        """A `transformers.TrainerCallback` that begins the record (after a resume: at its step), closes each step, and
        writes `metrics.jsonl` from the trainer's log."""
        ...
