"""What somebody gets who takes over the reader of their file: run with the app environment's Python.

``python -m tests.insides_takeover WHERE WISHES``. WHERE is "fork": hostile code in the place of a reader;
or "worker": in place of the worker itself. It prints for each file that is handed over what was got, as JSON.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vaas.insides import worker
from vaas.insides.handed import Handed
from vaas.insides.limits import Limits
from vaas.insides.opening import Opened, opened
from vaas.insides.workers import Worker, started

_left: list[str] = []
#: ptrace and PTRACE_SEIZE, which does not stop the other; and openat2, by the machine.
_SEIZE = (101 if os.uname().machine == "x86_64" else 117, 0x4206)
_OPENAT2 = 437


class Still(Opened):
    """A file of which nobody notices that it was changed."""

    @property
    def state(self) -> tuple[tuple[int, int], ...]:
        return ()


def tried(function: Callable[..., Any], *args: Any) -> str:
    try:
        return f"got {str(function(*args))[:200]}"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    except Exception as error:
        return type(error).__name__


def opened_again(path: str, flags: int) -> int:
    return os.open(path, flags)


def system_call(number: int, *args: int) -> str:
    system = ctypes.CDLL(None, use_errno=True)
    if system.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"


def connected(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return "connected"


def forked() -> str:
    pid = os.fork()
    if not pid:
        os._exit(0)
    return str(pid)


def walked(folder: str) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


def loot(wishes: dict[str, Any], fd: int) -> dict[str, Any]:
    """Try everything once."""
    secret, port = wishes["secret"], wishes["port"]
    own = f"/proc/self/fd/{fd}"
    got: dict[str, Any] = {
        "own file": os.pread(fd, 20, 0).decode(errors="replace"),
        "secret": tried(lambda: Path(secret).read_text()),
        "neighbours": walked(str(Path(secret).parent)),
        "home": walked(wishes["home"]),
        "passwords": tried(lambda: Path("/etc/shadow").read_text()),
        "environment": dict(os.environ),
        "network": tried(connected, port),
        "abstract": tried(lambda: socket.socket(socket.AF_UNIX).connect(wishes["abstract"])),
        "written": {
            "opened": tried(opened_again, own, os.O_RDWR),
            "appended": tried(opened_again, own, os.O_WRONLY | os.O_APPEND),
            "cut": tried(lambda: os.truncate(own, 0)),
            "mode": tried(lambda: os.fchmod(fd, 0o777)),
            "time": tried(lambda: os.utime(fd, (1, 1))),
            "new": tried(opened_again, f"{wishes['writable']}/new", os.O_CREAT | os.O_WRONLY),
            "folder": tried(lambda: os.mkdir(f"{wishes['writable']}/folder")),
        },
        "started": {
            "fork": tried(forked),
            "program": tried(lambda: subprocess.run(["/bin/true"], check=True)),
        },
        "others": {
            "parent": tried(lambda: os.kill(os.getppid(), 0)),
            "memory": tried(opened_again, f"/proc/{os.getppid()}/mem", os.O_RDONLY),
            "traced": tried(system_call, *_SEIZE, os.getppid(), 0, 0),
            "other way": tried(system_call, _OPENAT2, -100, 0, 0, 0),
        },
        "left": [*_left],
    }
    _left.append("left behind")
    return got


def in_fork(handed: Handed) -> dict[str, Any]:
    wishes = json.loads(os.environ["LANG"])
    return loot(wishes, handed.part.file.fileno())


def run_worker() -> int:
    """Be the worker, with a reader that was taken over."""
    worker._VERBS["look"] = in_fork
    return worker.main(sys.argv[2:])


def run_instead() -> int:
    """Be what a worker becomes that was taken over as a whole."""
    control = socket.socket(fileno=int(sys.argv[2]))
    control.sendall(b'{"ready": true}\n')
    _, fds, _, _ = socket.recv_fds(control, 1, 10)
    answering = socket.socket(fileno=fds[0])
    wishes = json.loads(os.environ["LANG"])
    answering.sendall(json.dumps({"told": loot(wishes, fds[1])}).encode())
    answering.close()
    control.sendall(b'{"code": 0, "late": false}\n')
    time.sleep(60)
    return 0


def main() -> int:
    """Hand the files to a worker that was taken over."""
    where, wishes = sys.argv[1], json.loads(sys.argv[2])
    limits = Limits(seconds=60)
    # What a worker may know of the environment is where a stranger's code finds its wishes.
    environ = {**os.environ, "LANG": sys.argv[2]}
    handing = Worker(limits, environ)
    run = "run_worker" if where == "fork" else "run_instead"
    # In the sandbox there are no tests.
    command = [sys.executable, "-c", f"{Path(__file__).read_text()}\nraise SystemExit({run}())", where]
    handing._process, handing._control = started(handing._sandbox, limits, environ, command=command)
    ready = handing._control.recv(100)
    assert ready, handing._process.communicate()[1]
    for path in wishes["files"]:
        with opened(Path(path)) as found:
            still = Still(found.names, found.files, found.folder)
            print(handing.ask("look", still, name="file.csv").decode(), flush=True)
    handing.close()
    return 0


if __name__ == "__main__" and len(sys.argv) == 3:
    sys.exit(main())
