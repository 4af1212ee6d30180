"""Looks at an environment in a process of its own: where it lies may hang, and then this process does, and no other.

Run as a script, without what the portal has: one question in JSON on standard input, one answer on standard output.
"""

from __future__ import annotations

import glob
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

__all__ = ["ANSWER", "answer", "main"]

#: An answer has at most so many bytes.
ANSWER = 8_000_000
_MOST, _SPEC = 100, 1_000_000
#: Bytes of each process, and seconds in which a sandbox shows whether it works.
_MEMORY, _TRIAL = 4_000_000_000, 5.0
#: Beginnings of an argument after which a kernel's own Python runs what it is told.
_LAUNCHERS = re.compile(r"-m\s+ipykernel(?:_launcher)?\b")
#: Jupyter starts these as its own Python.
_OWN = re.compile(r"python(?:3(?:\.\d+)?)?")
#: Nothing of what the portal knows is in the environment of this process, so it can be handed on with this.
_QUIET = {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
_INSIDE = Path(__file__).with_name("probe_inside.py")
#: As what runs inside writes it: neither script can import the other.
_MARK = "vaas-probe:"


def main() -> int:
    """Answer one question, and give way to whatever else there is to do unless somebody waits for it."""
    asked = json.load(sys.stdin)
    if not asked.get("awaited"):
        os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    print(json.dumps(answer(asked)), flush=True)
    return 0


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is ("list"), or what is in one ("look")."""
    if asked["verb"] == "list":
        found = _expanded(str(asked["path"]), spec=asked["kind"] == "kernelspec")
        return {"found": list(islice(found, _MOST))}
    path, sandbox = str(asked["path"]), str(asked.get("sandbox", "off"))
    walls = [] if sandbox == "off" else _walls(path, [str(each) for each in asked.get("hidden", ())])
    if not walls and sandbox == "required":
        return {"broken": "no sandbox"}
    if asked["kind"] == "kernelspec":
        return _look_at_spec(Path(path), own=str(asked["own"]), walls=walls)
    return _look_at_python([path], {}, walls)


def _expanded(pattern: str, *, spec: bool) -> Iterator[dict[str, str]]:
    """Yield path and what is its own in the pattern, the newest names first."""
    named = re.compile(
        "/".join(f"({_starred(part)})" if "*" in part else re.escape(part) for part in pattern.split("/"))
    )
    paths = glob.glob(pattern) if "*" in pattern else [pattern]
    for path in sorted(paths, key=_natural, reverse=True):
        match = " ".join((named.fullmatch(path) or re.match("", "")).groups())  # type: ignore[union-attr]
        if not spec or os.path.exists(os.path.join(path, "kernel.json")):
            yield {"path": path, "match": match}
            continue
        # A folder of kernels, as on Jupyter's search path.
        for inner in sorted(glob.glob(os.path.join(glob.escape(path), "*", "kernel.json"))):
            folder = os.path.dirname(inner)
            yield {"path": folder, "match": f"{match} {os.path.basename(folder)}".strip()}


def _starred(part: str) -> str:
    return "[^/]*".join(map(re.escape, part.split("*")))


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,18})", text) if part]


def _walls(path: str, hidden: list[str]) -> list[str]:
    """Return what begins a command that sees the machine without what is hidden, its processes and its network.

    An environment may lie where others can write, and its code is not to become the portal's account. Nothing is
    returned where bubblewrap cannot do so: the kernels of notebooks are not kept apart there, either.
    """
    program = shutil.which("bwrap")
    if program is None:
        return []
    walls = [program, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/", "/"]
    walls += ["--dev", "/dev", "--proc", "/proc"]
    for folder in ("/run", *hidden):
        if os.path.isdir(folder):
            walls += ["--tmpfs", folder]
        inner = os.path.relpath(path, folder).split("/")[0]
        if inner not in {".", ".."}:
            walls += ["--ro-bind-try", *[os.path.join(folder, inner)] * 2]
    walls += ["--chdir", "/", "--"]
    try:
        works = subprocess.run([*walls, "/bin/sh", "-c", ":"], capture_output=True, timeout=_TRIAL).returncode == 0
    except (OSError, subprocess.SubprocessError):
        works = False
    return walls if works else []


def _look_at_spec(folder: Path, *, own: str, walls: list[str]) -> dict[str, Any]:
    try:
        with (folder / "kernel.json").open("rb") as file:
            spec = json.loads(file.read(_SPEC))
        argv = [str(each).replace("{resource_dir}", str(folder)) for each in spec["argv"]]
        language = str(spec.get("language") or "python").lower()
        environ = {str(name): str(value) for name, value in dict(spec.get("env") or {}).items()}
        program = argv[0]
    except FileNotFoundError:
        return {"broken": "no spec"}
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return {"broken": "odd spec"}
    told = {"language": language}
    if _OWN.fullmatch(program):
        program = own
    if shutil.which(program) is None:
        return told | {"broken": "no program"}
    looking = _looking([program, *argv[1:]]) if language == "python" else None
    return told | (_look_at_python(looking, environ, walls) if looking else {})


def _looking(argv: list[str]) -> list[str] | None:
    """Return the command that starts the kernel, so that it looks around instead; None where that cannot be seen."""
    for place, (option, module) in enumerate(zip(argv, argv[1:], strict=False)):
        if option == "-m" and module in {"ipykernel", "ipykernel_launcher"}:
            return [*argv[:place], str(_INSIDE)]
    # Through a shell, which sets the environment up first.
    within = [_LAUNCHERS.sub(lambda _found: shlex.quote(str(_INSIDE)), each) for each in argv]
    return [each.replace("{connection_file}", os.devnull) for each in within] if within != argv else None


def _look_at_python(command: list[str], environ: Mapping[str, str], walls: list[str]) -> dict[str, Any]:
    """Return what an environment's own Python says."""
    if shutil.which(command[0]) is None:
        return {"broken": "no program"}
    if len(command) == 1:
        command = [*command, str(_INSIDE)]
    try:
        process = subprocess.Popen(
            [*walls, *command],
            env={**os.environ, **_QUIET, **environ},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return {"broken": "no start"}
    with process:
        assert process.stdout is not None
        text = process.stdout.read(ANSWER).decode("utf-8", "replace")
        process.kill()
    lines = [line.removeprefix(_MARK) for line in text.splitlines() if line.startswith(_MARK)]
    try:
        said = json.loads(lines[-1])
        kernel = said.pop("kernel")
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, RecursionError):
        return {"broken": "no answer"}
    return dict(said) if kernel is True else dict(said) | {"broken": "no kernel"}


if __name__ == "__main__":
    sys.exit(main())
