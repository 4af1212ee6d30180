"""The guard of a job on this machine: ``python -m vaas.lab.guard ORDER`` starts its runner and stays until it is over.

It belongs to nobody: portal and Hub may go and come back meanwhile. It alone says how the job ended, in a file that
what runs in the job cannot reach; ``ORDER`` is such a file too, see :class:`vaas.executors.local.LocalExecutor`.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from vaas import jobs
from vaas.lab.becoming import UID
from vaas.lab.family import adopt_orphans, end_children
from vaas.lab.sandbox import uid_of
from vaas.lab.walls import INSIDE, walled
from vaas.pythons import folders_of

__all__ = ["Guard", "main"]

#: Seconds between two looks, and between two looks at the disk.
_TICK, _DISK = 0.25, 3.0
#: So long the runner may take to write down what there is, when its kernel was ended.
_GRACE = 15.0
_NICE = 10
#: So many files and folders a job may have, and paths of so many characters: what is beyond cannot be counted.
_MOST_FILES, _LONGEST = 200_000, 2_000


class Guard:
    """Starts the runner and looks after it.

    Parameters
    ----------
    order:
        "folder", "wanted" and "ended" (files: somebody wants it to end; how it ended), "memory", "seconds", "bytes" and
        "processes" (0: no limit), "bubblewrap" (a program, "": no walls), "network", "paths" (read besides), "environ".
    """

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._order = order
        self._folder = Path(order["folder"])
        self._runner: subprocess.Popen[bytes] | None = None
        self._told = False
        self._log = -1
        self._looked = time.monotonic()
        #: Bytes that were there before it began.
        self._brought = _size(self._folder)

    def run(self) -> dict[str, str]:
        """Run the job; return how it ended: "state", and "message" in words."""
        signal.signal(signal.SIGTERM, self._tell)
        try:
            self._runner = self._started()
        except OSError as error:
            return {"state": "failed", "message": f"It could not be started: {error.strerror}."}
        began, ended = time.monotonic(), None
        while self._runner.poll() is None and ended is None:
            time.sleep(_TICK)
            ended = self._why(time.monotonic() - began)
        if ended:
            self._end()
        code = self._runner.wait()
        end_children()
        self._say(ended[1] if ended else "")
        return {"state": ended[0], "message": ended[1]} if ended else _by_code(code)

    def _say(self, word: str) -> None:
        """Write our own word about the end under what was written, by the file that was there before the job was."""
        with contextlib.suppress(OSError):
            os.write(self._log, f"{word}\n".encode() if word else b"")
            os.close(self._log)

    def _tell(self, _number: int, _frame: Any) -> None:
        self._told = True

    def _started(self) -> subprocess.Popen[bytes]:
        order, temporary = self._order, self._folder / jobs.TEMPORARY
        temporary.mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-P", "-m", "vaas.lab.run"]
        if not order["bubblewrap"]:
            return self._process([*command, str(self._folder)], temporary)
        kernel = jobs.read_json(self._folder / jobs.JOB, most=50_000_000).get("kernel") or {}
        read = [*map(Path, order["paths"]), *folders_of(_program(kernel))]
        read += [Path(kernel["folder"])] if kernel.get("folder") else []
        # As every /tmp is; nobody else comes this far. The rest is given away with all that is in it.
        temporary.chmod(0o1777)
        (self._folder / jobs.LOG).touch(mode=0o600)
        uid = uid_of(self._folder)
        with walled(
            [*command, str(INSIDE)],
            bubblewrap=order["bubblewrap"],
            folder=self._folder,
            read=read,
            network=bool(order["network"]),
            uid=uid,
        ) as made:
            return self._process(made.command, Path("/tmp"), uid=uid, files=made.files)

    def _process(
        self, command: Sequence[str], temporary: Path, *, uid: int = 0, files: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        environ = {
            **self._order["environ"],
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "JUPYTER_RUNTIME_DIR": str(temporary / "jupyter"),
            UID: str(uid),
        }
        self._log = log = os.open(self._folder / jobs.LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return subprocess.Popen(
            command,
            env=environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=files,
            preexec_fn=self._bounded,
        )

    def _bounded(self) -> None:
        """Take the limits on, in the new process; they are for one process each, and the guard adds up."""
        os.nice(_NICE)
        memory, size = int(self._order["memory"]), int(self._order["bytes"])
        limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: 4096}
        limits |= {resource.RLIMIT_DATA: memory} if memory else {}
        limits |= {resource.RLIMIT_FSIZE: size} if size else {}
        for kind, wanted in limits.items():
            most = resource.getrlimit(kind)[1]
            value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(kind, (value, value))

    def _why(self, seconds: float) -> tuple[str, str] | None:
        """Return the state and the words with which it must end now, None while it may go on."""
        order = self._order
        if Path(order["wanted"]).exists():
            return "cancelled", "It was cancelled."
        if self._told:
            return "failed", "It was ended from outside, as when the machine is shut down."
        if order["seconds"] and seconds > order["seconds"]:
            return "failed", f"It took longer than the {_duration(order['seconds'])} that it may take."
        family = _family(self._runner.pid if self._runner else 0)
        used = sum(map(_memory, family))
        if order["memory"] and used > order["memory"]:
            return "failed", f"It used more than the {order['memory'] / 1e6:.0f} MB of memory that it may use."
        if order["processes"] and len(family) > order["processes"]:
            return "failed", f"It started more than the {order['processes']} processes that it may start."
        return self._full()

    def _full(self) -> tuple[str, str] | None:
        """Look at what it has written, now and then."""
        if not self._order["bytes"] or time.monotonic() - self._looked < _DISK:
            return None
        began = time.monotonic()
        written = _size(self._folder)
        # What takes long is done seldom.
        self._looked = time.monotonic() + 10 * (time.monotonic() - began)
        if written is None:
            return "failed", f"It made more than {_MOST_FILES} files, or folders that are nested too deeply."
        if written - (self._brought or 0) > self._order["bytes"]:
            return "failed", f"It wrote more than the {self._order['bytes'] / 1e6:.0f} MB that it may write."
        return None

    def _end(self) -> None:
        """End what the runner has started; it writes down what there is, and is ended too if it does not end."""
        assert self._runner is not None
        for process in filter(_is_runner, _family(self._runner.pid)):
            with contextlib.suppress(psutil.Error):
                process.terminate()  # so that it does not take the end of its kernel for a fault
        until = time.monotonic() + _GRACE
        while self._runner.poll() is None and time.monotonic() < until:
            for process in _family(self._runner.pid):
                if not _keeps(process):
                    with contextlib.suppress(psutil.Error):
                        process.kill()
            time.sleep(_TICK)
        if self._runner.poll() is None:
            self._runner.kill()


def _program(kernel: Mapping[str, Any]) -> Path:
    """Return what starts the kernel, by its own words or those of its kernelspec; an empty path where none is told."""
    said = kernel if kernel.get("argv") else {}
    if kernel.get("folder"):
        with contextlib.suppress(OSError, ValueError):
            said = json.loads((Path(kernel["folder"]) / "kernel.json").read_bytes())
    argv = said.get("argv") if isinstance(said, dict) else None
    return Path(str(argv[0])) if isinstance(argv, list) and argv else Path()


def _keeps(process: psutil.Process) -> bool:
    """Tell whether it is bubblewrap or the runner, whose ends come by themselves."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return True
    # Its own words count only where it stands near to us: a kernel can call itself anything.
    try:
        depth = [parent.pid for parent in process.parents()].index(os.getpid())
    except (psutil.Error, ValueError):
        return False
    return depth <= 2 and ("vaas.lab.run" in words or (bool(words) and words[0].endswith("bwrap")))


def _is_runner(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return _keeps(process) and "vaas.lab.run" in process.cmdline() and not process.cmdline()[0].endswith("bwrap")
    return False


def _family(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.Error:
        return []


def _memory(process: psutil.Process) -> int:
    """Return the bytes that it has for itself, and what of shared memory is in no file."""
    try:
        text = Path(f"/proc/{process.pid}/status").read_text(errors="replace")
    except OSError:
        return 0
    lines = (line.split() for line in text.splitlines() if line.startswith(("RssAnon:", "RssShmem:")))
    return sum(1024 * int(words[1]) for words in lines)


def _size(folder: Path) -> int | None:
    """Return the bytes on the disk below the folder, None where that cannot be told; links are not followed."""
    total, seen, pending = 0, 0, [str(folder)]
    while pending:
        at = pending.pop()
        if len(at) > len(str(folder)) + _LONGEST:
            return None
        with contextlib.suppress(OSError), os.scandir(at) as entries:
            for entry in entries:
                seen += 1
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                if seen > _MOST_FILES:
                    return None
    return total


def _by_code(code: int) -> dict[str, str]:
    """Say how it ended by the runner's own word: 0 is done, 1 says its words in its status."""
    if code == 0:
        return {"state": "done", "message": ""}
    if code == 1:
        return {"state": "failed", "message": ""}
    return {"state": "failed", "message": "The process that ran it was ended from outside."}


def _duration(seconds: float) -> str:
    for size, word in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.0f} seconds"


def _is_first(path: Path, text: str) -> bool:
    """Put the file there, whole, unless there is one: whoever does is the one."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text)
    try:
        os.link(new, path)
    except FileExistsError:
        return False
    finally:
        new.unlink()
    return True


def main(argv: Sequence[str]) -> int:
    """Run the job of the order in that file, unless another guard does, and leave a word about its end."""
    order = json.loads(Path(argv[0]).read_text())
    mine = Path(order["guard"])
    adopt_orphans()
    said = {"pid": os.getpid(), "mark": jobs.mark_of(os.getpid())}
    if not _is_first(mine, json.dumps(said)):
        return 0
    # On a full disk there is room for the last word.
    reserve = mine.with_suffix(".reserve")
    reserve.write_bytes(b"\0" * 65_536)
    last = Guard(order).run()
    reserve.unlink(missing_ok=True)
    jobs.write_json(Path(order["ended"]), last)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
