"""A notebook whose Python tries to break out of its kernel: secrets, files, processes, networks, the system itself.

It tries everything once, in a sandbox, and writes down what it got; each test looks at one of the attempts.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.notebooks import notebook
from tests.sandbox import NEEDS_SANDBOX
from tests.service.portal_stub import REPOSITORY, AppProcess, PortalStub, Visitor, app_python, running

pytestmark = [
    pytest.mark.attack,
    pytest.mark.app,
    pytest.mark.asyncio(loop_scope="module"),
    NEEDS_SANDBOX,
]

SETUP = """
import ctypes, errno, glob, json, os, signal, socket, stat, subprocess, sys
libc, loot = ctypes.CDLL(None, use_errno=True), {}
def call(number, *args):
    ctypes.set_errno(0)
    return "done" if libc.syscall(number, *args) >= 0 else errno.errorcode[ctypes.get_errno()]
def tried(function, *args):
    try: return str(function(*args))
    except Exception as error: return type(error).__name__ + ": " + str(error)
def read(path, size=100_000):
    try: return open(path, "rb").read(size).decode(errors="replace")
    except OSError as error: return ""
"""
#: name of the attempt → code that puts what it got into loot[name]
ATTEMPTS = {
    "environment": "loot['environment'] = dict(os.environ)",
    "processes": """
loot['processes'] = {pid: {f: read(f'/proc/{pid}/{f}') for f in ('cmdline', 'environ', 'maps')}
                     for pid in os.listdir('/proc') if pid.isdecimal()}""",
    "descriptors": """
loot['descriptors'] = [tried(os.readlink, f'/proc/{pid}/fd/{fd}') for pid in ('self', '1', str(os.getppid()))
                       for fd in (os.listdir(f'/proc/{pid}/fd') if os.access(f'/proc/{pid}/fd', os.R_OK) else ())]""",
    "files": """
def walk():
    known = ('/usr', '/proc', '/etc/ssl', '/etc/fonts', '/etc/alternatives', sys.prefix, sys.base_prefix, os.getcwd())
    found = []
    for folder, folders, files in os.walk('/', onerror=lambda error: None):
        folders[:] = [name for name in folders if not os.path.join(folder, name).startswith(known)]
        found += [os.path.join(folder, name) for name in files]
    return found
loot['files'] = walk()""",
    "system files": """
loot['system files'] = [path for path in ('/etc/shadow', '/etc/sudoers', '/root/.bashrc', '/var/log', '/home', '/sys',
    '/run/docker.sock', '/run/systemd', '/etc/machine-id', '/etc/hostname', '/boot') if os.path.exists(path)]""",
    "neighbours": """
loot['neighbours'] = [path for path in glob.glob('/tmp/**', recursive=True, include_hidden=True)
                      if not path.startswith(('/tmp/home', os.getcwd()))]""",
    "writing": """
loot['writing'] = {path: tried(lambda: open(path, 'a')) for path in (
    os.path.join(os.getcwd(), 'n.ipynb'), os.path.join(os.getcwd(), 'new'), '/usr/bin/new', '/etc/new', '/new',
    '/dev/new', os.path.join(sys.prefix, 'new'), os.path.join(os.path.dirname(json.__file__), 'new.py'),
    os.path.join(sys.prefix, 'lib', 'sitecustomize.py'))}
import vaas.runtime.kernel
loot['writing']['vaas'] = tried(lambda: open(vaas.runtime.kernel.__file__, 'a'))
loot['writing']['chmod'] = tried(os.chmod, 'n.ipynb', 0o777)
loot['writing']['unlink'] = tried(os.unlink, 'n.ipynb')""",
    "signals": "loot['signals'] = tried(os.kill, VICTIM, 0)",
    "system calls": """
loot['system calls'] = {name: call(number, *args) for name, number, *args in (
    ('unshare user', 272, 0x10000000), ('unshare mount', 272, 0x20000), ('clone user', 56, 0x10000011, 0, 0, 0, 0),
    ('clone3', 435, 0, 0), ('setns', 308, 0, 0), ('mount', 165, b'none', b'/tmp', b'tmpfs', 0, 0),
    ('umount', 166, b'/usr', 2), ('pivot_root', 155, b'/tmp', b'/tmp'), ('ptrace', 101, 16, 1, 0, 0),
    ('read memory', 310, 1, 0, 0, 0, 0, 0), ('keyctl', 250, 0, -3, 0), ('bpf', 321, 0, 0, 0),
    ('perf', 298, 0, 0, 0, 0, 0),
    ('userfaultfd', 323, 0), ('io_uring', 425, 1, 0), ('memfd', 319, b'x', 0), ('shmget', 29, 0, 4096, 0o1000),
    ('open by handle', 304, -100, 0, 0), ('kexec', 246, 0, 0, 0, 0), ('module', 175, 0, 0, 0),
    ('reboot', 169, 0, 0, 0, 0),
    ('x32 getpid', 0x40000000 + 39))}
loot['sockets'] = {name: tried(socket.socket, family, kind) for name, family, kind in (
    ('packet', 17, socket.SOCK_RAW), ('vsock', 40, socket.SOCK_STREAM), ('alg', 38, socket.SOCK_SEQPACKET),
    ('raw', socket.AF_INET, socket.SOCK_RAW))}""",
    "devices": """
loot['devices'] = {'there': sorted(os.listdir('/dev')), 'disk': tried(os.mknod, '/tmp/disk', 0o600 | stat.S_IFBLK,
                   os.makedev(8, 0)), 'memory': read('/dev/mem', 10), 'kernel log': tried(open, '/dev/kmsg')}""",
    "kernel settings": """
loot['kernel settings'] = {path: tried(lambda: open(path, 'w')) for path in (
    '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/sys/kernel/hostname', '/proc/self/oom_adj_none')}
loot['kernel settings']['spare me'] = tried(
    lambda: os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000'))
loot['kernel settings']['host name'] = tried(socket.sethostname, 'evil')
loot['kernel settings']['nice'] = tried(os.nice, -20)""",
    "networks": """
def reach(host, port):
    with socket.socket() as s:
        s.settimeout(2)
        s.connect((host, port))
        return 'connected'
loot['networks'] = {f'{host}:{port}': tried(reach, host, port) for host, port in [
    *(('127.0.0.1', port) for port in PORTS), ('169.254.169.254', 80), ('10.0.0.1', 80), ('192.0.2.1', 443)]}
loot['networks']['name'] = tried(socket.getaddrinfo, 'example.org', 443)
loot['networks']['interfaces'] = [name for _, name in socket.if_nameindex()]
loot['networks']['abstract'] = tried(lambda: socket.socket(socket.AF_UNIX).connect(ABSTRACT))
loot['networks']['sockets'] = read('/proc/net/unix')""",
    "other kernels": "loot['other kernels'] = [path for path in walk() if 'kernel' in path and path.endswith('.json')]",
    "shared memory": "loot['shared memory'] = os.listdir('/dev/shm')",
    # Last: who becomes somebody else stays so.
    "users": """
loot['users'] = {'who': [os.getuid(), os.geteuid(), os.getgid(), os.getgroups()],
                 'root': tried(os.setuid, 0), 'other': tried(os.setuid, 12345), 'group': tried(os.setgid, 0),
                 'status': dict(line.split(':\\t', 1) for line in read('/proc/self/status').splitlines())}""",
    "set-uid programs": """
loot['set-uid programs'] = [subprocess.run([p, *a], capture_output=True, text=True).stdout for p, *a in
    (('su', '-c', 'id'), ('mount',), ('passwd', '-S')) if __import__('shutil').which(p)]""",
}
TOLD = "print('loot:' + json.dumps(loot) + ':loot')"
TOKEN = "a-token-that-nobody-may-know"


NO = ("PermissionError", "OSError", "FileNotFoundError", "ConnectionRefused", "gaierror", "EPERM", "ENOSYS", "EINVAL",
      "TimeoutError")  # fmt: skip


def refused(answer: str) -> bool:
    return answer.startswith(NO)


def _loot_of(page: str) -> dict[str, Any]:
    told = html.unescape(page.partition("loot:")[2].partition(":loot")[0])
    found: dict[str, Any] = json.loads(told)
    return found


@contextlib.contextmanager
def _ear() -> Iterator[bytes]:
    """Listen at a socket that every process of this machine's network can name."""
    name = f"\0vaas-attack-{os.getpid()}".encode()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen()
        yield name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[PortalStub, AppProcess, dict[str, Any]]]:
    """Return the portal, the app server and the loot of one visit, with another app beside it."""
    folder = tmp_path_factory.mktemp("breaking")
    secret = folder / "data/secrets"
    secret.mkdir(parents=True)
    (secret / "seal").write_text(TOKEN)
    with _ear() as abstract:
        stub = PortalStub({}, notebook="n.ipynb", token=TOKEN)
        neighbour = PortalStub({"other.ipynb": notebook("1")}, notebook="other.ipynb")
        async with neighbour.served(), running(neighbour, folder=folder, environ=_temporary(folder)) as beside:
            bob = Visitor(beside, portal=neighbour)
            await bob.enter()
            await bob.page()
            async with stub.served() as portal:
                ports = [int(url.rsplit(":", 1)[1].split("/")[0]) for url in (portal.url, beside.origin)]
                names = f"PORTS, ABSTRACT, VICTIM = {ports}, {abstract!r}, {os.getpid()}"
                portal.files = {"n.ipynb": notebook(SETUP, names, *ATTEMPTS.values(), TOLD), "data.csv": b"1"}
                async with running(portal, folder=folder, environ=_temporary(folder)) as app:
                    mallory = Visitor(app, portal=portal)
                    await mallory.enter()
                    yield portal, app, _loot_of((await mallory.page()).html)


def _temporary(folder: Path) -> dict[str, str]:
    return {"TMPDIR": str(folder), "SOME_SECRET": TOKEN}


@pytest.fixture
def loot(world: tuple[PortalStub, AppProcess, dict[str, Any]]) -> dict[str, Any]:
    return world[2]


async def test_a_kernel_finds_no_secret_in_its_environment(loot: dict[str, Any]) -> None:
    assert TOKEN not in loot["environment"].values()
    assert not [name for name in loot["environment"] if name.startswith(("JUPYTERHUB_", "VAAS_"))]


async def test_a_kernel_finds_no_secret_in_the_list_of_processes(loot: dict[str, Any], world: Any) -> None:
    portal, app, _ = world
    everything = json.dumps(loot["processes"])
    assert len(loot["processes"]) <= 4
    assert TOKEN not in everything and portal.url not in everything
    assert "vaas.runtime.application" not in everything and str(app.process.pid) not in loot["processes"]


async def test_a_kernel_finds_no_secret_in_descriptors(loot: dict[str, Any]) -> None:
    harmless = ("pipe:", "socket:", "anon_inode:", "/dev/null", "/proc/", "/tmp/", *NO)
    assert loot["descriptors"]
    assert [target for target in loot["descriptors"] if not target.startswith(harmless)] == []


async def test_a_kernel_finds_no_file_but_the_systems_and_its_own(loot: dict[str, Any]) -> None:
    allowed = ("/etc/", "/tmp/home/", "/tmp/.", str(REPOSITORY / "vaas"), "/dev/", "/lib", "/bin", "/sbin")
    beyond = [path for path in loot["files"] if not path.startswith(allowed)]
    # The list of the system's fonts is a copy for each kernel, made from one that all may read.
    assert [path for path in beyond if "/shared/matplotlib/fontlist" not in path] == []
    assert [path for path in loot["files"] if "secret" in path.lower() and "vaas" not in path] == []
    assert loot["system files"] == []


async def test_a_kernel_sees_no_other_app_and_no_other_kernel(loot: dict[str, Any]) -> None:
    own = ("/tmp/.kernel", "/tmp/.passwd", "/tmp/.group", "/tmp/.hosts")
    beyond = [path for path in loot["neighbours"] if not path.startswith(own) and path not in {"/tmp/", "/tmp"}]
    assert [path for path in beyond if "other.ipynb" in path or path.endswith(("seal", ".log", ".sqlite"))] == []
    assert loot["other kernels"] == ["/tmp/.kernel.json"]
    assert loot["shared memory"] == []


async def test_a_kernel_cannot_change_its_version_the_packages_or_the_system(loot: dict[str, Any]) -> None:
    assert {path: answer for path, answer in loot["writing"].items() if not refused(answer)} == {}


async def test_a_kernel_can_signal_nobody_outside(loot: dict[str, Any]) -> None:
    assert loot["signals"].startswith("ProcessLookupError")


async def test_a_kernel_is_nobody_and_becomes_nobody_else(loot: dict[str, Any]) -> None:
    users = loot["users"]
    assert 0 not in users["who"][:3] and 0 not in users["who"][3]
    assert refused(users["root"]) and refused(users["other"]) and refused(users["group"])
    assert {value for name, value in users["status"].items() if name.startswith("Cap")} == {"0" * 16}
    assert users["status"]["NoNewPrivs"] == "1" and users["status"]["Seccomp"] == "2"
    assert not [said for said in loot["set-uid programs"] if "uid=0" in said]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the calls are those of x86_64")
async def test_a_kernel_reaches_no_dangerous_call_of_the_system(loot: dict[str, Any]) -> None:
    assert {name: answer for name, answer in loot["system calls"].items() if answer not in {"EPERM", "ENOSYS"}} == {}
    assert {name: answer for name, answer in loot["sockets"].items() if not refused(answer)} == {}


async def test_a_kernel_sees_no_device(loot: dict[str, Any]) -> None:
    plain = "console core fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert set(loot["devices"]["there"]) <= set(plain.split())
    assert (
        refused(loot["devices"]["disk"]) and loot["devices"]["memory"] == "" and refused(loot["devices"]["kernel log"])
    )


async def test_a_kernel_changes_nothing_of_the_machine(loot: dict[str, Any]) -> None:
    assert {name: answer for name, answer in loot["kernel settings"].items() if not refused(answer)} == {}


async def test_a_kernel_without_a_network_reaches_nobody(loot: dict[str, Any]) -> None:
    networks = loot["networks"]
    assert networks.pop("interfaces") == ["lo"]
    listed = networks.pop("sockets").splitlines()[1:]
    assert [line for line in listed if not line.split()[-1].startswith(("/tmp/.kernel", "0")) and "/" in line] == []
    assert {place: answer for place, answer in networks.items() if not refused(answer)} == {}


async def test_a_kernel_leaves_nothing_on_the_machine(world: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What it writes is gone with it; nothing of it was on the disk."""
    portal, app, _ = world
    mallory = Visitor(app, portal=portal)
    await mallory.enter()
    page = await mallory.page()
    (content,) = [path.parent for path in app.log.parent.glob("vaas-*/content/n.ipynb")]
    assert sorted(path.name for path in content.iterdir()) == ["data.csv", "n.ipynb"]
    await mallory.leave(page.token)
    assert [path for path in app.log.parent.glob("vaas-*/homes/*/**/*") if path.is_file()] == []


async def test_a_link_in_a_sockets_place_leads_the_server_nowhere(tmp_path: Path) -> None:
    """The server follows links by its own rights: to the socket of another app's kernel, for instance."""
    bait = tmp_path / "bait"
    cell = f"""
import os
for number in range(1, 6):
    os.unlink(f'/tmp/.kernel-{{number}}')
    os.symlink({str(bait)!r}, f'/tmp/.kernel-{{number}}')
print('replaced')
"""
    taken: list[object] = []
    listening = await asyncio.start_unix_server(lambda reader, writer: taken.append(writer), bait)
    async with listening:
        stub = PortalStub({"n.ipynb": notebook(cell)}, notebook="n.ipynb", limits={"connect_within": 60})
        async with stub.served() as portal, running(portal, folder=tmp_path) as app:
            mallory = Visitor(app, portal=portal)
            await mallory.enter()
            page = await mallory.page()
            assert "replaced" in page.html
            await page.connect()
            await asyncio.sleep(1)
    assert taken == []


async def test_an_account_without_rights_gets_the_same_sandbox(tmp_path: Path) -> None:
    """Where the server is not root, the sandbox is made with a user namespace; the system's Python stands in."""
    if os.geteuid() != 0 or not Path("/usr/bin/python3").exists():
        pytest.skip("this is not root: the other tests have used the user namespace already")
    script = _AS_SOMEBODY.format(
        code=SETUP + ATTEMPTS["users"] + ATTEMPTS["system calls"] + "\nprint(json.dumps(loot))"
    )
    shutil.copytree(REPOSITORY / "vaas", tmp_path / "vaas", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    for parent in tmp_path.parents[:-2]:
        parent.chmod(parent.stat().st_mode | 0o011)
    done = await asyncio.to_thread(
        subprocess.run, ["/usr/bin/python3", "-c", script], user=65534, group=65534, extra_groups=[], cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    loot = json.loads(done.stdout.strip().rsplit("\n", 1)[-1] or "{}")
    assert loot, done.stderr
    assert loot["users"]["who"][0] == 1000 and refused(loot["users"]["root"])
    assert {value for name, value in loot["users"]["status"].items() if name.startswith("Cap")} == {"0" * 16}
    assert {name for name, answer in loot["system calls"].items() if answer not in {"EPERM", "ENOSYS"}} == set()


_AS_SOMEBODY = """
import subprocess, sys
from pathlib import Path
from vaas.machine.bubblewrap import filter_file
from vaas.runtime.sandbox import Bounds, View, accounts, find_isolation, order
sandbox, isolation = find_isolation({{"PATH": "/usr/bin:/bin"}})
assert sandbox is not None, isolation.why
said = order([sys.executable, "-I", "-c", {code!r}], cwd="/tmp", bounds=Bounds(), files=accounts(0))
with filter_file(sandbox.filter) as fd:
    command = sandbox.command(View(), bounds=Bounds(), filter_fd=fd)
    done = subprocess.run(command, input=said, capture_output=True, pass_fds=[fd], env={{}}, cwd="/")
print(done.stdout.decode(), done.stderr.decode(), sep="\\n", file=sys.stderr)
print(done.stdout.decode())
"""


async def test_the_sandbox_is_tried_before_it_is_trusted(tmp_path: Path) -> None:
    """A bubblewrap that does not isolate (here: one that only fails) is no sandbox, and its reason is told."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([app_python(), "-m", "vaas.runtime.sandbox"], env=environ, capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert told["isolated"] is False and "No permissions" in told["why"]
