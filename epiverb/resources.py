"""Where the files that are data, not code, lie: `lexicons/`, `data/` and more, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path


def folder(name: str) -> Path:
    """The shipped folder `name`: inside the package in a wheel, at the top of the tree in a checkout."""
    package = Path(__file__).parent
    installed = package / "_resources" / name
    return installed if installed.is_dir() else package.parent / name


def constraints() -> Path:
    """The file of package versions that this version of epiverb was tested with."""
    package = Path(__file__).parent
    installed = package / "_resources" / "known" / "constraints.txt"
    return installed if installed.is_file() else package.parent / "constraints.txt"
