"""What the user wrote to what is meant: a named set, local files, or a data set of the hub."""

from __future__ import annotations

import glob
import os
import re
from urllib.parse import parse_qsl

from epiverb.errors import ConfigError, nearest
from epiverb.io.source import SUFFIXES, URL
from epiverb.problems.base import Request

SETS_GRAMMAR = re.compile(r"(?P<name>[\w.-]+)(?::(?P<argument>[^?@=]*))?(?:\?(?P<options>[^@]*))?(?:@(?P<base>.+))?")
_FILE = re.compile("|".join(rf"{re.escape(suffix)}(?:\.(?:gz|zst|bz2|xz))?$" for suffix in SUFFIXES))
_HUB = re.compile(r"(?P<name>[\w.-]+/[\w.-]+|[^?]+(?=\?))(?:\?(?P<options>.*))?")


def parse(text: str, names: list[str]) -> Request:
    """The source that `text` names; `names` are the named sets.

    `NAME[:ARGUMENT][?OPTION=VALUE&...][@BASE]` and `NAME=PATH` are named sets, `ORGANISATION/NAME[?config=...]` is one of
    the hub, and so is a folder with options. All else is a path. A set's name wins over a file called the same: `./aime24`
    is the file.

    Raises:
        ConfigError: it is none of these.
    """
    head = re.match(r"[\w.-]+", text)
    if head and head[0] in names and not text[head.end() :].startswith(("/", "\\")):
        name, equals, path = text.partition("=")
        if equals and name in names:
            return Request(text, name, path=os.path.expanduser(path))
        match = SETS_GRAMMAR.fullmatch(text)
        if match is None:
            raise ConfigError(f"{text!r}: not NAME[:ARGUMENT][?OPTION=VALUE][@BASE], nor NAME=PATH.")
        return Request(text, match["name"], match["argument"], match["base"], _options(match["options"], text))
    path = os.path.expanduser(text)
    if text == "-" or URL.match(text) or os.path.exists(path) or (glob.has_magic(path) and glob.glob(path)):
        return Request(text, path=path)
    found = _HUB.fullmatch(path)
    if found and not _FILE.search(path) and (found["options"] or not text.startswith((".", "/", "~"))):
        return Request(text, found["name"], options=_options(found["options"], text))
    if _FILE.search(path) or "/" in text:
        return Request(text, path=path)
    raise ConfigError(
        f"{text!r} is no set of problems and no file.{nearest(text, names)} "
        "Give a named set (epiverb ls problems), a file or folder, NAME=PATH, or ORGANISATION/NAME of the hub."
    )


def _options(text: str | None, where: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True))
    except ValueError as error:
        raise ConfigError(f"{where}: {text!r} is not OPTION=VALUE&OPTION=VALUE.") from error
