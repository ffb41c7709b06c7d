"""Which format a source is in, and why: every format is asked in turn and answers with a sentence or with nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from epiverb.errors import ConfigError, FormatError, nearest
from epiverb.io.raw import Batch, Reading
from epiverb.io.sniff import Head
from epiverb.io.source import Source
from epiverb.registry import Registry

FORMATS = Registry(
    "format",
    {
        "inspect": "epiverb.io.formats.inspect_log:INSPECT",
        "lighteval": "epiverb.io.formats.lighteval:LIGHTEVAL",
        "trl": "epiverb.io.formats.trl:TRL",
        "verl": "epiverb.io.formats.verl:VERL",
        "lm-eval": "epiverb.io.formats.lm_eval:LM_EVAL",
        "limo": "epiverb.io.formats.limo:LIMO",
        "qwen-math": "epiverb.io.formats.qwen_math:QWEN_MATH",
        "evalchemy": "epiverb.io.formats.evalchemy:EVALCHEMY",
        "skythought": "epiverb.io.formats.skythought:SKYTHOUGHT",
        "openai-batch": "epiverb.io.formats.openai_batch:OPENAI_BATCH",
        "vllm-outputs": "epiverb.io.formats.vllm_outputs:VLLM_OUTPUTS",
        "chained": "epiverb.io.formats.guided:CHAINED",
        "collect": "epiverb.io.formats.guided:COLLECT",
        "chat": "epiverb.io.formats.chat:CHAT",
        "sharegpt": "epiverb.io.formats.sharegpt:SHAREGPT",
        "alpaca": "epiverb.io.formats.sharegpt:ALPACA",
        "olmo-eval": "epiverb.io.formats.olmo:OLMO",
        "epiverb-training": "epiverb.io.formats.training:TRAINING",
        "epiverb": "epiverb.io.formats.own:OWN",
        "generic": "epiverb.io.formats.generic:GENERIC",
    },
)
"""Formats in the order in which they are asked; strangers add theirs by the entry point group `epiverb.formats`."""

LAST = "generic"
"""Asked after all others, those of strangers too: it takes any record with a likely name in it."""

Project = Callable[[pl.DataFrame, Reading, Head], pl.DataFrame]
Rows = Callable[[dict[str, Any], Reading, Head], list[dict[str, Any]]]
Read = Callable[[Source, Reading, Head, int], Iterator[Batch]]


@dataclass(frozen=True)
class Format:
    """A trace format. It reads in one of three ways: columns (fast), records, or the whole source by itself."""

    name: str
    title: str
    """What it is, for `epiverb ls formats`."""
    recognise: Callable[[Head], str | None]
    """Why this head is of this format, in a sentence that goes on from `because `; None where it is not."""
    fields: Callable[[Head], dict[str, pl.DataType]] | None = None
    """The keys of a record that are wanted, with their types: text, lists and structs of text. Needs `project`."""
    project: Project | None = None
    """A frame of `fields` and `line` to a frame in (some of) the raw columns, by expressions alone."""
    rows: Rows | None = None
    """A record to its raw rows; raises `Unreadable` where it holds no trace."""
    unfold: Callable[[dict[str, Any]], Iterator[dict[str, Any]]] | None = None
    """A document to the records in it, where one JSON object holds them all."""
    read: Read | None = None
    """All batches of a source, where its container is none of JSONL, JSON, Parquet and CSV."""
    remedy: str | None = None
    """What to tell the user where a reasoning model's traces hold no reasoning: how to run the tool so that they do."""


def choose(head: Head, name: str | None) -> tuple[Format, str]:
    """The format of a source and the reason for it.

    Args:
        name: take this format without asking.

    Raises:
        ConfigError: no format is called `name`.
        FormatError: no format knows the head; the message lists the keys that were found.
    """
    if name is not None:
        if name not in FORMATS:
            raise ConfigError(f"unknown format {name!r}.{nearest(name, FORMATS)}")
        return FORMATS.get(name), "you said so"
    for candidate in sorted(FORMATS, key=lambda listed: listed == LAST):
        form: Format = FORMATS.get(candidate)
        why = form.recognise(head)
        if why:
            return form, why
    raise FormatError(f"{head.path}: {head.unknown()}")
