"""`epiverb train sft|grpo|sdpo`: a model trained, watched, and its run folder made a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from epiverb.run import Run
from epiverb.schema import SCHEMA_VERSION
from epiverb.verbs.training.outline import outline
from epiverb.verbs.training.plan import check, default_out
from epiverb.verbs.training.settings import verify

if TYPE_CHECKING:
    from epiverb.configs.train import GrpoConfig, SdpoConfig, SftTrainConfig
    from epiverb.verbs.training.going import Follower


class Nobody:
    """A follower that listens to nothing."""

    def say(self, message: str) -> None:
        """Nothing."""

    def __call__(self, step: int, scalars: dict[str, Any], state: Any, control: Any) -> None:
        """Nothing."""


def train(
    config: GrpoConfig | SdpoConfig | SftTrainConfig, *, progress: Follower | None = None, dry_run: bool = False
) -> Run | dict[str, Any] | None:
    """The finished run; with `dry_run`, what would be done; None in all processes but the first of several.

    Raises:
        ConfigError, DataError, FormatError: settings or data that cannot be used, or a folder that holds another run.
        Stopped: Ctrl-C; a checkpoint is kept and the same command continues.
        EngineError, StorageError, TrainingFault: it had to stop; the message says what is kept.
    """
    check(config)
    verify(config)
    out = Path(config.out) if config.out else default_out(config)
    if dry_run:
        return outline(config, out)
    from epiverb.verbs.training.run import run

    trained = run(config, out, progress or Nobody())
    return None if trained is None else Run(out)


def document(result: Run | dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints."""
    if isinstance(result, dict):
        return result
    training = result.summary["training"]
    head = {"schema": SCHEMA_VERSION, "run": str(result.path)}
    return head | training
