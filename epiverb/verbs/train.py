"""`epiverb train sft|grpo|sdpo`: a model trained, watched, and its run folder made a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.verbs.training.outline import outline
from epiverb.verbs.training.plan import check, default_out

if TYPE_CHECKING:
    from epiverb.configs.train import GrpoConfig, SdpoConfig, SftTrainConfig
    from epiverb.run import Run


def train(
    config: GrpoConfig | SdpoConfig | SftTrainConfig, *, progress: Any = None, dry_run: bool = False
) -> Run | dict[str, Any] | None:
    """The finished run; with `dry_run`, what would be done; None in all processes but the first of several."""
    check(config)
    out = Path(config.out) if config.out else default_out(config)
    if dry_run:
        return outline(config, out)
    return None


def document(result: Run | dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints."""
    return result.summary if not isinstance(result, dict) else result
