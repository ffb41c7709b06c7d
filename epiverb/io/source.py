"""From what the user typed to bytes: files, folders, globs, URLs, standard input, compressed or not."""

from __future__ import annotations

import glob
import io
import os
import re
import sys
from pathlib import Path
from typing import Any, BinaryIO, cast

from epiverb.errors import FormatError, MissingExtra
from epiverb.io.streams import MAGIC, Replay, Unpacked

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".eval", ".csv")
PACKED = ("", ".gz", ".zst", ".bz2", ".xz")
RECORDED = "step-*-rank-*.parquet"
"""Files in which a training run keeps its rollouts and the samples of its probes."""
URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def expand(paths: list[str]) -> list[str]:
    """The single files that `paths` name, in order: a folder gives all trace files in it, sorted; a glob its matches.

    Numbers in names sort as numbers (`2.jsonl` before `10.jsonl`). A run folder of epiverb gives its traces, a training run
    its rollouts and probes.

    Raises:
        FormatError: a path that does not exist, a glob without a match, a folder without a trace file.
    """
    files: list[str] = []
    for path in paths:
        files += _expand(path)
    return list(dict.fromkeys(files))


def _expand(path: str) -> list[str]:
    if path == "-":
        return [path]
    if URL.match(path):
        return _expand_remote(path)
    if os.path.isdir(path):
        return _inside(path)
    if os.path.exists(path):
        return [path]
    if glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True), key=natural)
        if not matches:
            raise FormatError(f"{path}: no file matches this pattern.")
        return [file for match in matches for file in _expand(match)]
    raise FormatError(f"{path}: no such file or folder.{_similar(path)}")


def _inside(folder: str) -> list[str]:
    """All trace files below `folder`, by their names; hidden ones and links that loop are left out."""
    traces = os.path.join(folder, "traces.parquet")
    if os.path.isfile(os.path.join(folder, "run.json")) and os.path.exists(traces):
        return _inside(traces) if os.path.isdir(traces) else [traces]
    if recorded := _recorded(folder):
        return recorded
    found, others = [], 0
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if is_trace_name(name):
                found.append(os.path.join(parent, name))
            else:
                others += 1
    if not found:
        raise FormatError(
            f"{folder}: no trace file in this folder ({others} other files). Looked for {', '.join(SUFFIXES)}, "
            "also packed as .gz or .zst."
        )
    return sorted(found, key=natural)


def _recorded(folder: str) -> list[str]:
    """The rollouts and probes of a training run that is not finished: its checkpoints and metrics are JSON, too."""
    parts = ("", "rollouts", "probes")
    found = [glob.glob(os.path.join(glob.escape(folder), part, RECORDED)) for part in parts]
    return sorted((file for files in found for file in files), key=natural)


def is_trace_name(name: str) -> bool:
    """Whether a file found in a folder may hold traces, by its name."""
    return not name.startswith(".") and name.lower().endswith(tuple(s + p for s in SUFFIXES for p in PACKED))


def natural(name: str) -> list[Any]:
    """A sort key under which 10 comes after 2."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name)]


def _similar(path: str) -> str:
    import difflib

    parent = Path(path).parent
    names = os.listdir(parent) if parent.is_dir() else []
    close = difflib.get_close_matches(Path(path).name, names, n=1)
    return f" Did you mean {os.path.join(os.path.dirname(path), close[0])!r}?" if close else ""


def _expand_remote(url: str) -> list[str]:
    """The files behind a URL: a pattern is listed by its file system, anything else is taken as one file."""
    if not glob.has_magic(url.partition("://")[2]) or url.startswith("http"):
        return [url]
    filesystem, _, _ = _fsspec().get_fs_token_paths(url)
    found = sorted(cast("list[str]", filesystem.glob(url)), key=natural)
    if not found:
        raise FormatError(f"{url}: no file matches this pattern.")
    return [filesystem.unstrip_protocol(name) for name in found]


def _fsspec() -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtra("fsspec", "remote") from error
    return fsspec


class Source:
    """The bytes behind one path. Standard input is kept while one looks ahead, then given again from its start."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.packed: Unpacked | None = None
        """The stream last opened, where it is compressed: its `fault` tells whether it ended early."""
        self._stdin: Replay | None = None
        self._whole: io.BytesIO | None = None

    def open(self) -> BinaryIO:
        """The source's bytes from the start, uncompressed.

        Raises:
            FormatError: it cannot be opened.
        """
        stream = self._raw()
        start = _peek(stream)
        for magic, codec in MAGIC.items():
            if start.startswith(magic):
                self.packed = Unpacked(stream, codec)
                return cast(BinaryIO, self.packed)
        return stream

    def whole(self) -> BinaryIO:
        """The source as a file in which one can seek; what is packed or only streams is read into memory first."""
        if self._whole is None:
            stream = self.open()
            if stream.seekable():
                return stream
            self._whole = io.BytesIO(stream.read())
        self._whole.seek(0)
        return self._whole

    def last(self) -> None:
        """Say that the next `open` is the last, so that a stream need not be kept any longer."""
        if self._stdin:
            self._stdin.release()

    @property
    def size(self) -> int | None:
        """Bytes of a plain local file, None of anything else."""
        return os.path.getsize(self.path) if os.path.isfile(self.path) else None

    def _raw(self) -> BinaryIO:
        if self.path == "-":
            self._stdin = self._stdin or Replay(sys.stdin.buffer)
            return cast(BinaryIO, self._stdin.rewound())
        try:
            if URL.match(self.path):
                remote = _fsspec().open(self.path, "rb").open()
                return cast(BinaryIO, remote if remote.seekable() else Replay(remote))
            regular = os.path.isfile(self.path)
            return cast(BinaryIO, open(self.path, "rb", buffering=0 if regular else -1))
        except (MissingExtra, FormatError):
            raise
        except Exception as error:  # each remote file system has its own kinds
            raise FormatError(f"{self.path}: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file."
    if isinstance(error, PermissionError):
        return "no permission to read it."
    if isinstance(error, IsADirectoryError):
        return "is a folder."
    return f"cannot be opened ({type(error).__name__}: {' '.join(str(error).split())[:200]})."


def _peek(stream: BinaryIO, n: int = 8) -> bytes:
    """The first bytes of `stream`, which stands at its start again afterwards."""
    if isinstance(stream, Replay):
        start = bytes(stream.read(n))
        stream.rewound()
        return start
    start = stream.read(n) or b""
    stream.seek(0)
    return start
