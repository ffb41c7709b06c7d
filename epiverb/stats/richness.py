"""Information richness: how much a context tells of the responses, from log-probabilities of the same tokens with and without it.

For y written under the context c, log p(y|x,c) - log p(y|x) is the information that c gives about y; its mean is the
plug-in estimate of I(y;c|x) of arXiv 2603.24472 eq. 2, and it is not negative in expectation. For y written without c the
same difference is in expectation minus a divergence, so not positive: how far the context would have to pull. The two
answer different questions and are not averaged.

Ours differs from the paper, which orders contexts by I and never measures it: p(y|x) is the model's own answer to the bare
question. It equals the mixture over contexts that eq. 2 means only where the model is calibrated about what c could be;
where it is not, the first estimate is I plus the divergence of that mixture from p(y|x), an upper bound.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from epiverb.stats.combine import combined
from epiverb.stats.resample import Resampler


def richness(resampler: Resampler, gain: ArrayLike, tokens: ArrayLike) -> dict[str, Any]:
    """`per_trace` and `per_token` (nats), each with an interval over problems.

    Args:
        gain: log p(y|x,c) - log p(y|x) of each trace; NaN is unknown.
        tokens: tokens of each trace.
    """
    nats, n = np.asarray(gain, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    known = np.isfinite(nats) & (n > 0)
    table = np.column_stack([np.where(known, nats, 0.0), known, np.where(known, n, 0.0)])
    return {
        "per_trace": combined(resampler, table, lambda s: s[0] / s[1]).as_dict(),
        "per_token": combined(resampler, table, lambda s: s[0] / s[2]).as_dict(),
        "n_traces": int(known.sum()),
    }
