"""`epiverb doctor`: what is installed and works here, and what to do about what does not.

Nothing is imported into this process that is not the standard library's: packages are tried in another one, which may crash.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata, version
from typing import Any

from epiverb.configs.look import DoctorConfig
from epiverb.errors import ConfigError, nearest
from epiverb.extras import Requirement, names, requirements
from epiverb.resources import constraints, folder
from epiverb.schema import SCHEMA_VERSION

Row = dict[str, Any]
PATIENCE = 120
"""Seconds in which a package is imported."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")
_TRY = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps({"trying": name}), flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        print(json.dumps({"name": name, "error": f"{type(error).__name__}: {error}"}), flush=True)
    else:
        print(json.dumps({"name": name, "error": None}), flush=True)
if "torch" in sys.modules:
    import torch
    cuda = torch.cuda.is_available()
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
    print(json.dumps({"gpus": names, "built_for": torch.version.cuda}), flush=True)
"""


def doctor(config: DoctorConfig) -> dict[str, Any]:
    """`ok`, and `checks`: rows of part, name, ok (None: not needed), found, needed, tested and, where wrong, a remedy.

    Raises:
        ConfigError: an extra that there is not.
    """
    needs = requirements()
    for name in config.extras:
        if name not in names():
            raise ConfigError(f"unknown extra {name!r}.{nearest(name, names())}")
    installed = {one.package: _version(one.package) for one in needs}
    tried = _tried([one.module for one in needs if installed[one.package]])
    tested = known()
    rows = [_python(), _epiverb()]
    rows += [_package(one, installed[one.package], tried, tested, one.extra in config.extras) for one in needs]
    rows += [_gpu(tried), *_threads()]
    return {"schema": SCHEMA_VERSION, "ok": not any(row["ok"] is False for row in rows), "checks": rows}


def known() -> dict[str, str]:
    """Package -> the version that this version of epiverb was tested with, as constraints.txt has it."""
    lines = constraints().read_text("utf-8").splitlines() if constraints().is_file() else []
    found = (re.fullmatch(r"([\w.-]+)\s*([=<>~].*)", line.strip()) for line in lines)
    return {match[1].lower().replace("_", "-"): match[2].removeprefix("==") for match in found if match}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _row(part: str, name: str, ok: bool | None, found: str | None, remedy: str | None = None, **more: Any) -> Row:
    return {
        "part": part,
        "name": name,
        "ok": ok,
        "found": found,
        "needed": None,
        "tested": None,
        **more,
        "remedy": remedy,
    }


def _python() -> Row:
    needed = metadata("epiverb")["Requires-Python"]
    ok = _fits(platform.python_version(), needed)
    remedy = None if ok else f"Make an environment with a Python {needed}."
    return _row("core", "python", ok, platform.python_version(), remedy, needed=needed)


def _epiverb() -> Row:
    data = folder("lexicons").is_dir() and any(folder("lexicons").glob("*.toml"))
    remedy = (
        None if data else "Its lexicons are not there; install it anew: pip install --force-reinstall --no-deps epiverb"
    )
    return _row("core", "epiverb", data, version("epiverb"), remedy)


def _package(need: Requirement, found: str | None, tried: Row, tested: dict[str, str], asked: bool) -> Row:
    """Whether a package is there, fits and can be imported."""
    install = f"pip install 'epiverb[{need.extra}]'" if need.extra else "pip install --upgrade epiverb"
    more = {"needed": need.versions or None, "tested": tested.get(need.package.lower())}
    if found is None:
        wrong = need.extra is None or asked
        return _row(need.extra or "core", need.package, False if wrong else None, None, f"{install}", **more)
    error, remedy = tried.get(need.module, "it was not tried"), None
    if not _fits(found, need.versions):
        remedy = f"{found} is not {need.versions}: pip install '{need.package}{need.versions}'"
    elif error:
        wanted = f"{need.package}=={more['tested']}" if (more["tested"] or "")[:1].isdigit() else need.package
        remedy = f"import fails ({error}): pip install --force-reinstall '{wanted}'"
    return _row(need.extra or "core", need.package, remedy is None, found, remedy, **more)


def _fits(found: str, needed: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(needed).contains(found, prereleases=True)


def _tried(modules: list[str]) -> Row:
    """Module -> what importing it said, None where it went well; `torch:gpus` what torch sees. A crash ends one import only."""
    found: Row = {}
    left = list(dict.fromkeys(modules))
    while left:
        try:
            done = subprocess.run([sys.executable, "-c", _TRY, *left], capture_output=True, text=True, timeout=PATIENCE)
            said, end = done.stdout, f"it ended the process with {done.returncode}"
        except subprocess.TimeoutExpired as error:
            said, end = (error.stdout or b"").decode(), f"it took over {PATIENCE} s"
        trying = None
        for line in (json.loads(text) for text in said.splitlines() if text.startswith("{")):
            trying = line.get("trying", trying)
            if "name" in line:
                found[line["name"]] = line["error"] and " ".join(line["error"].split())[:200]
            if "gpus" in line:
                found["torch:gpus"] = line
        if trying is None:
            found |= dict.fromkeys(left, end)
        elif trying not in found:
            found[trying] = end
        left = [name for name in left if name not in found]
    return found


def _gpu(tried: Row) -> Row:
    """What torch sees, beside what the driver says."""
    seen = tried.get("torch:gpus")
    driver = _driver()
    if seen and seen["gpus"]:
        return _row("machine", "gpu", True, ", ".join(seen["gpus"]))
    if driver and seen:
        built = f"built for CUDA {seen['built_for']}" if seen["built_for"] else "built without CUDA"
        return _row(
            "machine", "gpu", False, driver, f"torch ({built}) does not see it: install a torch for this driver."
        )
    said = f"{driver}; torch is not installed" if driver else "none; hf and train run on the CPU, slowly"
    return _row("machine", "gpu", None, said)


def _driver() -> str | None:
    """The GPUs that the driver lists."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return ", ".join(told.stdout.split("\n")).strip(", ") or None if told.returncode == 0 else None


def _threads() -> list[Row]:
    """Cores of this process, and the settings by which libraries share them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows = [_row("machine", "cores", True, str(cores))]
    for name in THREADS:
        value = os.environ.get(name)
        if value is None:
            continue
        fits = value.isdecimal() and 0 < int(value) <= cores
        remedy = None if fits else f"{cores} cores are there: export {name}={cores}, or unset it."
        rows.append(_row("machine", name, fits, value, remedy))
    return rows
