"""Where the thinking of a response begins and ends.

Tags are data. One search finds the tags of all families; from then on only their places are looked at. The thinking is
the first run of blocks: from behind the first opening tag, or from the start where the prompt held it, to the closing
tag that ends the run. Blocks inside each other, or with nothing but white space between them, are one run; what a model
thinks again after it has begun to answer counts as answer. A tag that is only talked about changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from epiverb.text.offsets import Flat
from epiverb.text.status import status


@dataclass(frozen=True)
class Tags:
    """How a family of models marks its thinking."""

    opening: str
    closing: str
    alone: bool = True
    """Whether the closing tag without an opening one ends a thinking whose opening tag stood in the prompt."""
    between: str = r"\s*"
    """What may stand between two blocks of one run."""


FAMILIES: tuple[Tags, ...] = (
    Tags("<think>", "</think>"),  # DeepSeek-R1, Qwen3, QwQ, OLMo 3, GLM 4.5, MiniMax M2, Hunyuan A13B
    Tags("<thinking>", "</thinking>"),  # asked for in prompts
    Tags("[THINK]", "[/THINK]"),  # Magistral
    Tags("<|begin_of_thought|>", "<|end_of_thought|>"),  # Sky-T1, OpenThoughts
    Tags("<seed:think>", "</seed:think>"),  # Seed-OSS
    Tags("◁think▷", "◁/think▷"),  # Kimi-VL
    Tags("<reasoning>", "</reasoning>"),  # asked for in prompts; Reka
    Tags("<thought>", "</thought>"),  # EXAONE Deep
    Tags("<Thought>", "</Thought>"),  # Marco-o1
    Tags("<scratchpad>", "</scratchpad>"),  # asked for in prompts
    Tags("<longcat_think>", "</longcat_think>"),  # LongCat
    Tags("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    Tags("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    Tags("<|channel>thought", "<channel|>"),  # Gemma 4
    # gpt-oss. Other models end every turn with <|end|>, so alone it says nothing.
    Tags("<|channel|>analysis<|message|>", "<|end|>", alone=False, between=r"\s*(?:<\|start\|>assistant)?\s*"),
)
"""Source: the reasoning parsers of vLLM (vllm/reasoning at 23232cf) for what deployed models emit."""

WORDED: tuple[tuple[str, str], ...] = (
    (r"^(\s*analysis)[A-Z\d\"'*#(]", "assistantfinal"),  # gpt-oss, its special tokens left out by the decoder
    (r"^(\s*Here is my thought process:)", "Here is my response:"),  # Granite 3.2
    (r"^(\s*Here's my thought process:)", "Here's my response:"),
)
"""Words that mark the thinking where a text begins with them: a pattern up to its start, and what ends it."""

_ANY_WORDED = "|".join(f"(?:{opening})" for opening, _ in WORDED)
_TAGS = {tags.opening: (i, False) for i, tags in enumerate(FAMILIES)}
_TAGS |= {tags.closing: (i, True) for i, tags in enumerate(FAMILIES)}
"""Tag -> its family, and whether it closes. All begin with `<` or have some rare letter, which makes the search fast."""
_BETWEEN = tuple(re.compile(tags.between) for tags in FAMILIES)
_PROMPT_ENDS = rf"(?:{'|'.join(re.escape(tags.opening) for tags in FAMILIES if tags.alone)})\s*$"
_CLOSING = [*(tags.closing for tags in FAMILIES), *(closing for _, closing in WORDED)]
_CLOSED = rf"^(?:{'|'.join(map(re.escape, _CLOSING))})"
OFFSETS = ("thinking_start", "thinking_end")
REST = 400
"""Code points behind the thinking in which an answer is looked for."""
_SPAN = pl.Schema({"row": pl.UInt32, "thinking_start": pl.Int64, "thinking_end": pl.Int64, "open": pl.Boolean})

Event = tuple[int, int, int, bool]
"""A tag in a text: where it begins and ends, its family, and whether it closes."""


def annotate(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with `thinking_start`, `thinking_end` (code points, null where there is no thinking) and `status`.

    Needs `response`, `finish_reason` and `loop_start`, and uses `prompt` where it is there. Where the source kept
    reasoning and answer apart, the offsets are there already and stay. A null response becomes an empty text of status
    missing.
    """
    texts = frame["response"].fill_null("")
    split = spans(texts)
    if "thinking_start" in frame.columns:
        given = frame["thinking_start"].is_not_null()
        kept = [frame[name].zip_with(given, split[name]) for name in OFFSETS]
        split = split.with_columns(*kept, split["open"] & ~given)
    known = {"missing": frame["response"].is_null(), "open": split["open"], "answered": _answered(texts, split)}
    named = status(frame.select(texts, "finish_reason", "loop_start", **known))
    if "prompt" in frame.columns and frame["prompt"].dtype == pl.String:
        split = _prompted(texts, frame["prompt"], split, named)
    return frame.with_columns(texts, *split.select(OFFSETS), named)


def spans(texts: pl.Series) -> pl.DataFrame:
    """Per text `thinking_start`, `thinking_end` (code points) and `open`, whether the thinking was never closed."""
    found = _found(texts)
    if found.is_empty():
        nowhere, closed = pl.Series([None], dtype=pl.Int64), pl.Series([False])
        columns = {"thinking_start": nowhere, "thinking_end": nowhere, "open": closed}
        return pl.DataFrame({name: one.new_from_index(0, len(texts)) for name, one in columns.items()})
    everyone = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True)})
    split = everyone.join(found, on="row", how="left", maintain_order="left").drop("row")
    return split.with_columns(pl.col("open").fill_null(False))


def _prompted(texts: pl.Series, prompts: pl.Series, split: pl.DataFrame, named: pl.Series) -> pl.DataFrame:
    """`split` with all of a text as thinking where the prompt ended with the opening tag and it was cut off before any.

    A whole text without tags behind such a prompt is an answer whose thinking a tool has removed.
    """
    ended = prompts.alias("prompt").to_frame().select(pl.col("prompt").str.slice(-40, 40).str.contains(_PROMPT_ENDS))
    begun = ended.to_series().fill_null(False) & (named == "truncated") & split["thinking_start"].is_null()
    if not begun.any():
        return split
    length = texts.str.len_chars().cast(pl.Int64)
    return split.with_columns(
        pl.when(begun).then(0).otherwise("thinking_start").alias("thinking_start"),
        pl.when(begun).then(length).otherwise("thinking_end").alias("thinking_end"),
    )


def _answered(texts: pl.Series, split: pl.DataFrame) -> pl.Series:
    """Whether an answer follows closed thinking."""
    if split["thinking_end"].null_count() == len(split):
        return split["open"]
    rest = pl.col("text").str.slice(pl.col("thinking_end")).str.slice(0, REST).str.replace(_CLOSED, "")
    follows = ~pl.col("open") & rest.str.contains(r"\S").fill_null(False)
    return split.with_columns(text=texts).select(follows).to_series()


def _found(texts: pl.Series) -> pl.DataFrame:
    """Row and span of the texts that mark their thinking."""
    text = pl.col("text")
    looked = texts.to_frame("text").select(
        places=text.str.find_many(list(_TAGS)), worded=text.str.slice(0, 40).str.contains(_ANY_WORDED)
    )
    places = looked["places"]
    worded = _worded(texts) if looked["worded"].any() else pl.DataFrame(schema=_SPAN)
    rows = (places.list.len() > 0).arg_true()
    if len(worded):
        rows = rows.filter(~rows.is_in(worded["row"].to_list()))
    if not len(rows):
        return worded
    texts, places = texts.gather(rows), places.gather(rows)
    tagged = pl.DataFrame({"row": rows, "text": texts, "at": _code_points(texts, places)})
    tagged = tagged.with_columns(texts.str.extract_many(list(_TAGS)).alias("tag"))
    simple = tagged.select("row", *_simple(), settled=_settled())
    settled = simple.filter(pl.col("settled") & pl.col("thinking_start").is_not_null()).drop("settled").cast(_SPAN)
    odd = tagged.filter(~simple["settled"]).select("row", "text", "at", "tag")
    looped = [(row, *span) for row, text, at, tag in odd.iter_rows() if (span := _resolve(text, at, tag))]
    return pl.concat([worded, settled, pl.DataFrame(looped, schema=_SPAN, orient="row")])


def _worded(texts: pl.Series) -> pl.DataFrame:
    """Row and span of the texts that mark their thinking by words at their start."""
    found = [pl.DataFrame(schema=_SPAN)]
    head = texts.str.slice(0, 40)
    for opening, closing in WORDED:
        rows = head.str.contains(opening).fill_null(False).arg_true()
        if not len(rows):
            continue
        text = pl.col("text")
        end = text.str.split_exact(closing, 1).struct.field("field_0").str.len_chars()
        span = pl.DataFrame({"row": rows, "text": texts.gather(rows)}).select(
            "row",
            text.str.extract(opening, 1).str.len_chars().alias("thinking_start"),
            end.alias("thinking_end"),
            (end == text.str.len_chars()).alias("open"),
        )
        found.append(span.cast(_SPAN))
    return pl.concat(found)


def _code_points(texts: pl.Series, places: pl.Series) -> pl.Series:
    """`places`, lists of byte offsets, in code points."""
    wide = (texts.str.len_bytes() > texts.str.len_chars()).arg_true()
    frame = pl.DataFrame({"at": places.cast(pl.List(pl.Int64))}).with_row_index("row")
    if not len(wide):
        return frame["at"]
    flat, inside = Flat.of(texts.gather(wide)), frame["at"].gather(wide)
    row = np.repeat(np.arange(len(wide)), inside.list.len().to_numpy())
    offsets = flat.code_points(inside.explode().to_numpy() + flat.starts[row], row)
    exact = pl.DataFrame({"row": wide.gather(row), "exact": offsets}).group_by("row", maintain_order=True).agg("exact")
    return frame.join(exact, on="row", how="left", maintain_order="left").select(pl.coalesce("exact", "at")).to_series()


_FIRST, _SECOND = pl.col("tag").list.get(0, null_on_oob=True), pl.col("tag").list.get(1, null_on_oob=True)
_PAIRS = {tags.opening: tags.closing for tags in FAMILIES}
_ALONE = [tags.closing for tags in FAMILIES if tags.alone]


def _settled() -> pl.Expr:
    """Whether a text has one tag, or a block and nothing else: the rule in columns is enough for it."""
    pair = _FIRST.replace_strict(_PAIRS, default=None, return_dtype=pl.String) == _SECOND
    number = pl.col("tag").list.len()
    return ((number == 1) | ((number == 2) & pair)).fill_null(False)


def _simple() -> list[pl.Expr]:
    """Start, end and openness of the thinking in a text with one tag, or a block and nothing else."""
    begin, end = pl.col("at").list.get(0, null_on_oob=True), pl.col("at").list.get(1, null_on_oob=True)
    behind = begin + _FIRST.str.len_chars().cast(pl.Int64)
    opens, closed = _FIRST.is_in(list(_PAIRS)), end.is_not_null()
    # An opening tag that is never closed and does not lead the text is one that the text talks about.
    leads = pl.col("text").str.slice(0, begin).str.strip_chars().str.len_bytes() == 0
    start = pl.when(opens & (closed | leads)).then(behind).when(_FIRST.is_in(_ALONE)).then(0)
    length = pl.col("text").str.len_chars().cast(pl.Int64)
    return [
        start.alias("thinking_start"),
        pl.when(opens & closed).then(end).when(opens).then(length).otherwise(begin).alias("thinking_end"),
        (opens & ~closed).alias("open"),
    ]


def _resolve(text: str, at: list[int], tag: list[str]) -> tuple[int, int, bool] | None:
    """Start, end and openness of the thinking of any text, given its tags in order; None where it has none."""
    events: list[Event] = [(place, place + len(name), *_TAGS[name]) for place, name in zip(at, tag, strict=True)]
    for i, (place, behind, family, closing) in enumerate(events):
        own = [event for event in events[i:] if event[2] == family]
        end = _end(text, own)
        if closing and FAMILIES[family].alone:
            return (0, end, False) if end is not None else (0, len(text), True)
        if not closing and end is not None:
            return behind, end, False
        if not closing and (any(event[3] for event in own) or not text[:place].strip()):
            return behind, len(text), True
    return None


def _end(text: str, own: list[Event]) -> int | None:
    """Where the closing tag stands that ends the first run of blocks of a family; None: it is never closed."""
    depth, blocks, last = int(own[0][3]), 0, (0, 0)
    for place, behind, family, closing in own:
        if blocks and depth == 0 and (closing or not _BETWEEN[family].fullmatch(text, last[1], place)):
            return last[0]
        depth += -1 if closing else 1
        if closing:
            blocks, last = blocks + (depth == 0), (place, behind)
    # A tag that the thinking talks about leaves the depth off: its last closing tag ends it.
    return last[0] if depth == 0 or (blocks == 0 and last != (0, 0)) else None
