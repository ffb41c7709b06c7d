"""The fast path gives exactly what reading line by line with Python's json gives, on whatever stands in the lines."""

from __future__ import annotations

import io
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epiverb.errors import FormatError
from epiverb.io import jsonl
from epiverb.io.columns import TEXT, TEXTS

FIELDS = {"id": TEXT, "text": TEXT, "many": TEXTS}


def parse(content: bytes, fields=FIELDS, nbytes: int = 1 << 24):
    """All records and skips of `content`."""
    parts = list(jsonl.read(io.BytesIO(content), fields, nbytes, "x.jsonl"))
    frame = pl.concat([part.frame for part in parts]) if parts else pl.DataFrame()
    return frame, [skip for part in parts for skip in part.skipped]


def lone_to_replacement(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_text(value):
    """How a JSON scalar becomes text, written independently of the reader."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return lone_to_replacement(value) if isinstance(value, str) else str(value)


texts = st.text(st.characters(exclude_categories=()), max_size=30)
"""Any code points, lone surrogates, NUL, U+2028 and U+0085 among them."""
floats = st.floats(-1e6, 1e6).map(lambda x: round(x, 3)).filter(lambda x: abs(x) > 1e-3 or x == 0)
ids = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), floats, texts)
records = st.fixed_dictionaries(
    {},
    optional={
        "id": ids,
        "text": st.one_of(st.none(), texts),
        "many": st.lists(st.one_of(st.none(), texts)),
        "other": ids,
    },
)


@settings(max_examples=300)
@given(st.lists(st.tuples(records, st.booleans(), st.sampled_from(["", "\n", " \n", "\r\n"])), min_size=1, max_size=8))
def test_equals_plain_json(rows):
    content, expected, line = b"", [], 1
    for record, escaped, blank in rows:
        text = json.dumps(record, ensure_ascii=escaped)
        content += text.encode("utf-8", "surrogatepass") + b"\r\n" + blank.encode()
        many = record.get("many")
        expected.append(
            (
                as_text(record.get("id")),
                as_text(record.get("text")),
                None if many is None else [as_text(item) for item in many],
                line,
            )
        )
        line += 1 + blank.count("\n")
    frame, skipped = parse(content)
    assert skipped == []
    assert frame.rows() == expected


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 60))
def test_any_bytes_are_read_or_counted(lines, nbytes):
    content = b"\n".join(lines)
    frame, skipped = parse(content, nbytes=nbytes)
    filled = [
        i for i, line in enumerate(content.split(b"\n"), 1) if line.strip() and line.strip(b"\xef\xbb\xbf \t\r\n\v\f")
    ]
    seen = sorted([*(frame["line"] if len(frame) else []), *(skip.line for skip in skipped)])
    assert set(filled) <= set(seen)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("nbytes", [1, 7, 64, 1000, 1 << 20])
def test_blocks_do_not_matter(nbytes):
    lines = [json.dumps({"id": i, "text": "x" * (i % 40), "many": ["a"] * (i % 3)}) for i in range(200)]
    content = "\n".join([*lines[:100], "", *lines[100:]]).encode()
    frame, skipped = parse(content, nbytes=nbytes)
    assert skipped == []
    assert frame["id"].to_list() == [str(i) for i in range(200)]
    assert frame["line"].to_list() == [*range(1, 101), *range(102, 202)]


@settings(max_examples=100)
@given(st.lists(st.integers(0, 90), max_size=30), st.integers(17, 120), st.booleans())
def test_blocks_of_a_file_are_whole_lines(tmp_path_factory, lengths, nbytes, ended):
    content = b"\n".join(b"x" * n for n in lengths) + (b"\n" if ended else b"")
    path = tmp_path_factory.mktemp("blocks") / "x"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch, open(path, "rb", buffering=0) as file:
        patch.setattr(jsonl, "WINDOW", 16)
        found = list(jsonl.blocks(file, nbytes, "x"))
    assert b"".join(found) == content
    assert all(block.endswith(b"\n") for block in found[:-1])


ESCAPES = {
    r"\ud83d\ude00": "😀",
    r"\ud800": "\ufffd",
    r"a\ud800b": "a\ufffdb",
    r"\ude00\ud83d": "\ufffd\ufffd",
    r"\ud83d\ud83d\ude00": "\ufffd😀",
    r"\ud83d\uff0c": "\ufffd，",  # polars alone joins these two into one wrong character
    r"\uD83D\uDE00": "😀",
    r"\\ud800": "\\ud800",
    r"\\\ud800": "\\\ufffd",
    r"\u0000": "\0",
    r"\u2028\u0085": "\u2028\u0085",
}


@pytest.mark.parametrize(("escaped", "text"), ESCAPES.items())
def test_escapes(escaped, text):
    frame, skipped = parse(('{"text": "' + escaped + '"}\n').encode())
    assert skipped == []
    assert frame["text"].to_list() == [text]


def test_only_newline_ends_a_line():
    text = "a\u2028b\u2029c\u0085d\x1ee"
    frame, _ = parse((json.dumps({"text": text}, ensure_ascii=False) + "\n" + '{"text": "z"}').encode())
    assert frame.rows() == [(None, text, None, 1), (None, "z", None, 2)]


def test_a_byte_order_mark_and_crlf_are_no_text():
    frame, skipped = parse(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b\xef\xbb\xbf"}\r\n')
    assert skipped == []
    assert frame.select("text", "line").rows() == [("a", 1), ("b\ufeff", 3)]


def test_the_first_of_two_equal_keys_counts_on_both_ways():
    line = b'{"text": "first", "text": "second"}\n'
    assert parse(line)[0]["text"].to_list() == ["first"]
    assert parse(line + b"broken\n")[0]["text"].to_list() == ["first"]


def test_python_extras_are_read():
    frame, skipped = parse(b'{"id": NaN, "text": "a"}\n{"id": Infinity, "text": "tab\there"}\n{"id": 1, "text": "c"}\n')
    assert skipped == []
    assert frame["text"].to_list() == ["a", "tab\there", "c"]


def test_values_of_mixed_types_are_fitted():
    lines = [{"many": "single"}, {"many": ["a", 1, None, {"k": "v"}]}, {"many": {"k": 1}}, {"many": None}]
    frame, skipped = parse("\n".join(map(json.dumps, lines)).encode())
    assert skipped == []
    assert frame["many"].to_list() == [["single"], ["a", "1", None, '{"k": "v"}'], ['{"k": 1}'], None]


BAD = {
    b'{"text": "cut': "the last line is cut off",
    b'{"text": "a"} {"text": "b"}\n': "not JSON",
    b"[1, 2]\n": "not a JSON object but a list",
    b"null\n": "not a JSON object but a NoneType",
    b'{"text": "caf\xe9"}\n': "not UTF-8 (byte 0xe9 at column 14)",
    b"{" * 20_000 + b"\n": "not JSON",
    b'{"text": ' + b"[" * 100_000 + b"\n": "nested too deeply",
}


@pytest.mark.parametrize(("bad", "reason"), BAD.items(), ids=list(BAD.values()))
def test_a_bad_line_costs_one_line(bad, reason):
    frame, skipped = parse(b'{"id": 1}\n\n{"id": 2}\n' + bad)
    assert frame.select("id", "line").rows() == [("1", 1), ("2", 3)]
    assert [skip.line for skip in skipped] == [4]
    assert reason in skipped[0].reason


def test_one_bad_line_among_many():
    lines = [b'{"id": %d, "text": "%s"}' % (i, b"x" * 500) for i in range(20_000)]
    lines[12_345] = b'{"id": 12345, "text": '
    frame, skipped = parse(b"\n".join(lines))
    assert len(frame) == 19_999
    assert [skip.line for skip in skipped] == [12_346]
    assert frame["line"].to_list() == [i for i in range(1, 20_001) if i != 12_346]


def test_a_line_beyond_the_limit_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_LINE", 1000)
    with pytest.raises(FormatError, match=r"x\.jsonl: a line is longer than"):
        parse(b'{"text": "' + b"a" * 5000 + b'"}', nbytes=100)


NUMBERS = {
    1.0: "1",
    1.5: "1.5",
    1.5e-7: "0.00000015",
    1e23: "1" + "0" * 23,
    -0.0: "-0",
    2**64 - 1: "18446744073709551615",
}


@pytest.mark.parametrize(("value", "text"), NUMBERS.items())
def test_numbers_as_ids_are_the_same_text_on_both_ways(value, text):
    line = json.dumps({"id": value}).encode() + b"\n"
    assert parse(line)[0]["id"].to_list() == [text]
    assert parse(line + b"broken\n")[0]["id"].to_list() == [text]


def test_mend_leaves_good_bytes_alone():
    block = json.dumps({"t": "😀" * 50 + "\\ud800 é"}).encode()
    assert jsonl.mend(block) is block
