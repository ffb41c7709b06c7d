"""`make release-check`: build wheel and sdist, check them, and use the wheel in an empty environment of each Python there is.

    python tools/release.py [PYTHON...]      # default: python3.10 to python3.13, those that are found

Each environment gets the wheel without extras and without constraints, as a user's would, and must analyse the shipped samples,
compare them, and find nothing wrong with itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
VERSIONS = ("3.10", "3.11", "3.12", "3.13")


def run(*command: object, cwd: Path | None = None) -> str:
    """What a command writes to stdout; ends the check where it fails. No package of the caller's environment is seen."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def build() -> Path:
    """The wheel, beside the sdist in dist/, both checked; the sdist must build the same wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", DIST, ROOT)  # the wheel is built from the sdist
    run(sys.executable, "-m", "twine", "check", "--strict", *DIST.iterdir())
    (wheel,) = DIST.glob("*.whl")
    print(
        f"built    {', '.join(f'{path.name} ({path.stat().st_size / 1e6:.1f} MB)' for path in sorted(DIST.iterdir()))}"
    )
    return wheel


def version() -> str:
    """The version, the same in the package, the changelog and the citation."""
    import tomllib

    said = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for name, text in (("CHANGELOG.md", f"## {said}"), ("CITATION.cff", f"version: {said}")):
        if text not in (ROOT / name).read_text("utf-8"):
            sys.exit(f"failed: {name} does not say {text!r}")
    return said


def use(python: str, wheel: Path) -> str:
    """What a user sees who installs the wheel for this Python; ends the check where it does not work."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        run(python, "-m", "venv", here / "env")
        binaries = here / "env" / "bin"
        run(binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
        sample = "import epiverb.resources as r; print(r.folder('data') / 'traces')"
        traces = Path(run(binaries / "python", "-c", sample, cwd=here).strip())
        before, after = traces / "before.jsonl", traces / "after.jsonl"
        document = json.loads(run(binaries / "epiverb", "analyze", before, "--json", "--out", here / "run", cwd=here))
        compared = json.loads(run(binaries / "epiverb", "compare", here / "run", after, "--json", cwd=here))
        checks = json.loads(run(binaries / "epiverb", "doctor", "--json", cwd=here))["checks"]
        versions = {row["name"]: row["found"] for row in checks}
        hits = document["lexicons"]["epiverb-en"]["hits"]
        if not (hits and compared["accuracy"]["delta"] < 0 and (here / "run" / "report.html").is_file()):
            sys.exit(f"failed: {python}: the samples are not what they were")
        shown = ", ".join(f"{name} {versions[name]}" for name in ("polars", "pandas", "scipy", "spacy"))
        return f"{versions['python']}: {document['n_traces']} traces, {hits} hits; {shown}"


def main() -> None:
    """Build, check, and try each Python."""
    print(f"version  {version()}")
    wheel = build()
    given = sys.argv[1:] or [path for name in VERSIONS if (path := shutil.which(f"python{name}"))]
    for python in given or [sys.executable]:
        print(f"works    {use(python, wheel)}", flush=True)


if __name__ == "__main__":
    main()
