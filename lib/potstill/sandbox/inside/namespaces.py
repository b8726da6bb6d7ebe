"""Namespaces: a server that sees only the Python library, and cases that see no process.

The server lives in user, mount, network, IPC, UTS and cgroup namespaces of its own, in a root that
holds the standard library and the system's shared libraries, read-only. Each case gets a process
namespace, whose end is the end of everything in it, and a private /tmp.
"""

# ruff: noqa: PTH103, PTH110, PTH114, PTH115, PTH116, PTH120, PTH211
# pathlib and what it imports would be copied for every case.
import os

from . import limits, syscalls
from .syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
)

LAYERS = ("user", "mount", "net", "ipc", "pid", "tmpfs")
NOBODY = 65534
PRIVATE = "/tmp"
_READ_ALL = (1 << 2, 1 << 1)  # CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE
_APART = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP


def enter(visible: list[str]) -> None:
    """Move this process into its own namespaces, its next child into its own process namespace too.

    The new root holds the paths in `visible` and an empty /tmp.

    Root becomes `nobody` on the way, so that limits on processes count and no file is its own. An
    ordinary user stays who it is.

    Raises:
        OSError: the kernel or its settings refuse.
    """
    proc = os.open("/proc/self", os.O_PATH)  # /proc is not in the new root
    if os.getuid() == 0:
        syscalls.unshare(CLONE_NEWNS)  # as root: its Python may lie where nobody else can look
        _build_root(visible)
        _become_nobody()
        _enter_user_namespace(proc)
    else:
        _enter_user_namespace(proc)
        _build_root(visible)
    os.close(proc)
    syscalls.unshare(CLONE_NEWPID)


def try_to_enter(visible: list[str]) -> str | None:
    """Return why `enter` fails here, or None; a child tries, so this process stays as it is."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            enter(visible)
        except OSError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    reason = os.read(reader, 4096).decode()
    os.close(reader)
    return reason or None


def is_readable_by_all(visible: list[str]) -> bool:
    """Say whether another user could read these folders as well: all above lets it pass."""
    parents = {path[: end or 1] for path in visible for end, sign in enumerate(path) if sign == "/"}
    return all(os.stat(path).st_mode & 0o001 for path in parents) and all(
        os.stat(path).st_mode & 0o005 == 0o005 for path in visible
    )


def become_plain_nobody(visible: list[str]) -> int:
    """Turn root into `nobody` without the namespaces that this module is about.

    A root that may not, or whose Python nobody could read, stays what it is.

    Returns:
        The capability that is kept, as a mask: one to read Python where modes hide it from nobody.
    """
    enough = (0,) if is_readable_by_all(visible) else _READ_ALL
    permitted = syscalls.permitted_capabilities()
    kept = next((mask for mask in enough if mask & permitted == mask), None)
    if kept is None:
        return 0
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except PermissionError:
        return 0
    syscalls.drop_capabilities(but=kept)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # the server looks at its cases
    return kept


def _become_nobody() -> None:
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    syscalls.raise_capabilities()  # some systems let no ordinary user make a user namespace
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1)  # else the maps below belong to root


def _enter_user_namespace(proc: int) -> None:
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(_APART)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        file = os.open(name, os.O_WRONLY, dir_fd=proc)
        os.write(file, text.encode())
        os.close(file)


def _build_root(visible: list[str]) -> None:
    syscalls.mount(None, "/", None, MS_REC | MS_PRIVATE)
    os.umask(0o022)
    links = {path: os.readlink(path) for path in visible if os.path.islink(path)}
    sources = {path: os.open(path, os.O_PATH) for path in visible if path not in links}
    # The old /tmp is hidden from here on, hence the descriptors.
    syscalls.mount("potstill", PRIVATE, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for path, link in links.items():
        os.makedirs(os.path.dirname(PRIVATE + path), exist_ok=True)
        os.symlink(link, PRIVATE + path)
    for path, source in sources.items():
        if not os.path.exists(PRIVATE + path):  # else it lies in one that is there already
            os.makedirs(PRIVATE + path)
            syscalls.mount(f"/proc/self/fd/{source}", PRIVATE + path, None, MS_BIND | MS_REC)
        os.close(source)
    os.makedirs(PRIVATE + PRIVATE, exist_ok=True)
    syscalls.protect_mounts(PRIVATE)
    os.chdir(PRIVATE)
    syscalls.syscall("pivot_root", b".", b".")
    syscalls.unmount(".")
    os.chdir("/")


def fork_first_process(home: int | None) -> int:
    """Fork a child that is the first process of a fresh process namespace.

    Its death is the death of every process in there. `home` is the descriptor of the caller's own
    process namespace, to which its later children belong again; None forks a plain child.

    Returns:
        The child's id in the caller's namespace, 0 in the child.
    """
    if home is None:
        return os.fork()
    syscalls.unshare(CLONE_NEWPID)
    child = os.fork()
    if child:
        syscalls.setns(home, CLONE_NEWPID)
    return child


def mount_private(size_mb: int) -> None:
    """Give this process an empty /tmp of its own and make it the working folder."""
    syscalls.unshare(CLONE_NEWNS)
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    options = f"size={size_mb}m,nr_inodes={limits.NUM_FILES},mode=700"
    syscalls.mount("private", PRIVATE, "tmpfs", flags, options)
    os.chdir(PRIVATE)
