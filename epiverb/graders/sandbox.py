"""A folder, processes and limits in which an untrusted program runs; executed by a fresh interpreter, stdlib only.

    python -I sandbox.py <<< '{"program": ..., "inputs": [...], "limits": {...}, "isolate": true}'

What the kernel permits is used: a user of its own without rights, no network but an unconnected loopback, no view of other
processes, every file read-only but an empty memory-backed folder that goes with the sandbox. What is refused is left out
and named in the answer; without a network namespace the program's Python refuses sockets and other programs instead, which
a program in native code could get around. The expected outputs never enter: what is printed is compared outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from typing import Any

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
NOBODY = 65534
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
MS_NOSUID, MS_NODEV = 2, 4
PR_SET_DUMPABLE = 4

REFUSE = """
def _guard():
    import os, sys
    home = os.getcwd() + os.sep
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    refused = ("socket.", "subprocess.", "ctypes.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.kill", "os.remove",
        "os.rename", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.link", "os.symlink", "signal.pthread_kill")
    def refuse(event, arguments):
        if event == "open" and isinstance(arguments[0], (str, bytes)) and isinstance(arguments[2], int):
            if not arguments[2] & writes or os.path.realpath(os.fsdecode(arguments[0])).startswith(home):
                return
        elif not event.startswith(refused):
            return
        raise PermissionError("not permitted in the sandbox: " + event)
    sys.addaudithook(refuse)
_guard()
del _guard
"""
"""Put before the program where there is no network namespace: no sockets, no other processes, files in its folder alone."""

HARNESS = """
import ast as _ast, json as _json, sys as _sys
def _main():
    name = {name!r}
    target = globals().get(name) or getattr(globals().get("Solution", lambda: None)(), name, None)
    if target is None:
        _sys.exit("no function " + name)
    text, out = _sys.stdin.read(), _sys.stdout
    _sys.stdout = _sys.stderr
    lines = [line for line in text.split("\\n") if line.strip()]
    try:
        arguments = [_json.loads(line) for line in lines]
    except ValueError:
        arguments = [_ast.literal_eval(line) for line in lines]
    out.write(_json.dumps(target(*arguments)))
    out.flush()
_main()
"""
"""Put behind the program for a test that calls a function: one JSON argument a line in, its JSON result out."""


def isolate(folder: str) -> list[str]:
    """What was achieved of `user, network, processes, files`. The calling process is changed for good."""
    achieved = []
    if os.getuid() == 0 and _readable_by_nobody():
        os.chown(folder, NOBODY, NOBODY)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        achieved.append("user")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # having changed the user, we could not write the maps otherwise
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(NEWUSER | NEWNET | NEWPID | NEWNS | NEWIPC) != 0:
        return achieved
    # Not mapped to root: a program that is executed then has no rights, not even within the namespace.
    for name, line in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)
    achieved += ["network", "processes"]
    if (
        _read_only(libc)
        and libc.mount(b"tmpfs", folder.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, b"size=64m,mode=777") == 0
    ):
        achieved.append("files")
    return achieved


def _readable_by_nobody() -> bool:
    """Whether the interpreter can be used by a user without rights: in root's home it cannot."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        return all(
            os.access(path, os.R_OK | os.X_OK, effective_ids=True)
            for path in (sys.executable, os.path.dirname(os.__file__))
        )
    finally:
        os.seteuid(0)
        os.setegid(0)


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def _read_only(libc: Any) -> bool:
    """Make every mount read-only, in this namespace alone."""
    attributes = _MountAttributes(1, 0, 1 << 18, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    return libc.syscall(MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, ctypes.byref(attributes), size) == 0


def restrict(limits: dict[str, Any]) -> None:
    """Limits on CPU seconds, memory, processes, open files and the size of a file, for this process and its children."""
    for name in ("CPU", "AS", "NPROC", "NOFILE", "FSIZE"):
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None and name in limits:
            hard = resource.getrlimit(kind)[1]
            value = limits[name] if hard == resource.RLIM_INFINITY else min(limits[name], hard)
            resource.setrlimit(kind, (value, value))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (64 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))


def run(command: list[str], stdin: str, folder: str, limits: dict[str, Any]) -> dict[str, Any]:
    """`out`, what a program printed, and `failure`, why it did not end well, else None."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, env=environment,
        start_new_session=True, preexec_fn=lambda: restrict(limits),
    )  # fmt: skip
    out, failure = _talk(process, stdin.encode("utf-8", "replace"), time.monotonic() + limits["wall"], limits["out"])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also what it has left running
    code = process.wait()
    if failure is None and code != 0:
        killed = {-signal.SIGXCPU: "time limit", -signal.SIGKILL: "memory limit", -signal.SIGXFSZ: "file too large"}
        failure = killed.get(code, f"exit code {code}")
    return {"out": out.decode("utf-8", "replace"), "failure": failure}


def _talk(process: subprocess.Popen[bytes], stdin: bytes, deadline: float, most: int) -> tuple[bytes, str | None]:
    """Feed a program and read what it prints, until it ends, the deadline passes or it has printed `most` bytes."""
    assert process.stdin is not None
    assert process.stdout is not None
    out, rest = bytearray(), memoryview(stdin)
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector, process.stdin, process.stdout:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if key.fileobj is process.stdout:
                    chunk = os.read(key.fd, 1 << 16)
                    out += chunk
                    if not chunk:
                        return bytes(out), _ended(process, deadline)
                    if len(out) > most:
                        return bytes(out[:most]), "output too long"
                    continue
                try:
                    rest = rest[os.write(key.fd, rest[: 1 << 16]) :] if rest else rest
                except OSError:  # the program has ended, or does not read
                    rest = memoryview(b"")
                if not rest:
                    selector.unregister(process.stdin)
                    process.stdin.close()
        return bytes(out), "time limit"


def _ended(process: subprocess.Popen[bytes], deadline: float) -> str | None:
    """None once the program has ended: it may close its output and go on."""
    try:
        process.wait(max(deadline - time.monotonic(), 0.01))
    except subprocess.TimeoutExpired:
        return "time limit"
    return None


def runs(request: dict[str, Any], folder: str, achieved: list[str]) -> list[dict[str, Any]]:
    """The outcome of each input, up to the first that fails."""
    program, limits = request["program"], dict(request["limits"])
    deadline = time.monotonic() + limits["total"]
    if not achieved:
        del limits["NPROC"]  # it would count all processes of the user, and no program may start one anyway
    if request.get("function"):
        program += HARNESS.format(name=request["function"])
    if "network" not in achieved:
        program = REFUSE + program
    outcomes: list[dict[str, Any]] = []
    for number, stdin in enumerate(request["inputs"]):
        inside = os.path.join(folder, str(number))
        os.mkdir(inside)
        path = os.path.join(folder, f"program-{number}.py")
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(program)
        wall = max(min(request["limits"]["wall"], deadline - time.monotonic()), 0.0)
        outcomes.append(run([sys.executable, "-I", path], stdin, inside, {**limits, "wall": wall}))
        if outcomes[-1]["failure"]:
            break
    return outcomes


def main() -> None:
    """Read a request from stdin, run it and write its outcomes to stdout."""
    request, folder = json.load(sys.stdin), os.getcwd()
    achieved = isolate(folder) if request["isolate"] and sys.platform == "linux" else []
    os.chdir("/")
    # The first child of a process namespace is its init: when it ends, the kernel kills all that is left in there.
    child = os.fork()
    if child == 0:
        json.dump({"isolation": achieved, "outcomes": runs(request, folder, achieved)}, sys.stdout)
        sys.stdout.flush()
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
