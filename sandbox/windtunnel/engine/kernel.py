"""System calls that Python 3.11 has no name for: namespaces, mounts, capabilities, Landlock. Linux only.

Numbers and structures are those of the kernel's own headers (linux/sched.h, linux/mount.h,
linux/capability.h, linux/landlock.h); they are part of its stable interface to programs.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC = 32, 1024, 2048, 4096, 16384
MS_PRIVATE, MS_RELATIME = 1 << 18, 1 << 21
_KEPT = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
_PR_SET_SECCOMP = 22
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SYS_SOCKET = {"x86_64": 41, "aarch64": 198}
# Memory that belongs to no process (memfd_create, memfd_secret, shmget, msgget); the memory of others (ptrace,
# process_vm_readv and _writev, kcmp, pidfd_getfd); keys (add_key, request_key, keyctl); mounts and namespaces
# (mount, umount2, pivot_root, chroot, unshare, setns, open_tree, move_mount, fsopen, fsmount, mount_setattr);
# the clock (settimeofday, clock_settime, clock_adjtime); much code of the kernel's that is seldom run (bpf,
# perf_event_open, userfaultfd, io_uring_setup); modules, swap, reboot, accounting, file handles, kernel log.
_REFUSED = {
    "x86_64": (
        *(
            319,
            447,
            29,
            68,
            101,
            310,
            311,
            312,
            438,
            248,
            249,
            250,
            165,
            166,
            155,
            161,
            272,
            308,
            428,
            429,
            430,
        ),
        *(432, 442, 164, 227, 305, 321, 298, 323, 425, 175, 313, 176, 246, 167, 169, 163, 304, 103),
    ),
    "aarch64": (
        *(279, 447, 194, 186, 117, 270, 271, 272, 438, 217, 218, 219, 40, 39, 41, 51, 97, 268, 428, 429, 430),
        *(432, 442, 170, 112, 266, 280, 241, 282, 425, 105, 273, 106, 104, 224, 142, 89, 265, 116),
    ),
}
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446

_FS_EXECUTE, _FS_WRITE_FILE, _FS_READ_FILE, _FS_READ_DIR = 1, 2, 4, 8
_FS_READ = _FS_EXECUTE | _FS_READ_FILE | _FS_READ_DIR
_NET_CONNECT_TCP = 2
_SCOPE_SIGNAL = 2


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _done(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, value: int) -> None:
    _done(_libc().prctl(option, value, 0, 0, 0), f"prctl {option}")


def die_with_parent(signal: int) -> None:
    """Have the kernel send ``signal`` when the parent ends, however it ends."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends: none can hide by forking twice."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def hide_memory(*, hidden: bool = True) -> None:
    """Let no process of the same user read this one's memory or environment; or have it as usual again."""
    _prctl(_PR_SET_DUMPABLE, int(not hidden))


def unshare(flags: int) -> None:
    """Leave the namespaces in ``flags`` for new ones. Raises OSError where that is not allowed."""
    _done(_libc().unshare(flags), "unshare")


def mount(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    kind: str = "",
    flags: int = 0,
    data: str = "",
) -> None:
    """mount(2). Raises OSError naming the target."""
    arguments = [
        os.fsencode(source),
        os.fsencode(target),
        kind.encode(),
        ctypes.c_ulong(flags),
        data.encode(),
    ]
    _done(_libc().mount(*arguments), f"mount {os.fspath(target)}")


def bind(source: Path, target: Path, *, writable: bool = False) -> None:
    """Make ``source`` appear at ``target`` too, read-only unless ``writable``."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if not writable:
        # A user namespace may not drop the flags that a mount was given outside of it.
        kept = os.statvfs(target).f_flag & _KEPT
        if os.statvfs(target).f_flag & os.ST_RELATIME:
            kept |= MS_RELATIME
        mount("", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | kept)


def loopback_up() -> None:
    """Switch on the loopback interface of a new network namespace."""
    import fcntl

    flags_up, set_flags = 0x1, 0x8914  # IFF_UP, SIOCSIFFLAGS
    with socket.socket() as handle:
        fcntl.ioctl(handle, set_flags, struct.pack("16sh14x", b"lo", flags_up))


def give_up_capabilities() -> None:
    """Drop every capability for good: no setuid program gives one back. Raises OSError if that fails."""
    no_new_privileges()
    header = struct.pack("=Ii", 0x20080522, 0)  # version 3, this process
    nothing = struct.pack("=6I", 0, 0, 0, 0, 0, 0)
    _done(_libc().syscall(_SYS_CAPSET[os.uname().machine], header, nothing), "capset")


def no_new_privileges() -> None:
    """From here on no program run by this process gets more rights than it has."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def refuse_calls(*, datagrams: bool) -> None:
    """Refuse this process and its children for good the system calls that no DAG needs and attacks begin with.

    ``datagrams``: whether sockets may be made of other kinds than TCP's; to be allowed only where there is no
    network that they reach. Raises OSError where the kernel has no seccomp.
    """
    machine = os.uname().machine
    load, equal, is_set, end = 0x20, 0x15, 0x45, 0x06  # linux/filter.h: of a word, jumps, return
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EPERM  # linux/seccomp.h
    program = [(load, 0, 0, 4), (equal, 1, 0, _AUDIT_ARCH[machine]), (end, 0, 0, refuse)]
    program += [(load, 0, 0, 0), (is_set, 0, 1, 0x40000000), (end, 0, 0, refuse)]  # x86_64's other interface
    for number in _REFUSED[machine]:
        program += [(equal, 0, 1, number), (end, 0, 0, refuse)]
    if not datagrams:
        program += [(equal, 0, 8, _SYS_SOCKET[machine]), (load, 0, 0, 16)]
        program += [(equal, 1, 0, socket.AF_INET), (equal, 0, 4, socket.AF_INET6), (load, 0, 0, 24)]
        program += [
            (0x54, 0, 0, 0xF),
            (equal, 0, 1, socket.SOCK_STREAM),
        ]  # without flags such as "non-blocking"
        program += [(end, 0, 0, allow), (end, 0, 0, refuse)]
    program.append((end, 0, 0, allow))
    text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    head = struct.pack("@HP", len(program), ctypes.addressof(text))
    no_new_privileges()
    _done(_libc().prctl(_PR_SET_SECCOMP, 2, head, 0, 0), "seccomp")


def can_refuse_calls() -> bool:
    """Whether the kernel has seccomp's filters: asked for none, it complains of the address."""
    if sys.platform != "linux" or os.uname().machine not in _REFUSED:
        return False
    _libc().prctl(_PR_SET_SECCOMP, 2, None, 0, 0)
    return ctypes.get_errno() == errno.EFAULT


def landlock_version() -> int:
    """The version of Landlock that the kernel offers; 0 without. 4 limits TCP, 6 signals."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_SYS_LANDLOCK_CREATE, None, 0, 1)))


def landlock(readable: list[Path], writable: list[Path], ports: list[int]) -> None:
    """Allow this process and its children the files under these folders, TCP to these ports, and no more.

    Ports need version 4 of Landlock; from version 6 on, processes outside cannot be signalled either.
    Raises OSError where the kernel has no Landlock.
    """
    version = landlock_version()
    rights = (1 << 13) - 1  # of version 1; later ones add refer, truncate, ioctl on devices
    rights |= (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    network = _NET_CONNECT_TCP if version >= 4 else 0
    scope = _SCOPE_SIGNAL if version >= 6 else 0
    attributes = struct.pack("=QQQ", rights, network, scope)[
        : 8 if version < 4 else 16 if version < 6 else 24
    ]
    libc = _libc()
    rules = _done(libc.syscall(_SYS_LANDLOCK_CREATE, attributes, len(attributes), 0), "landlock")
    try:
        for paths, allowed in ((readable, _FS_READ), (writable, rights)):
            for path in paths:
                _allow_path(rules, path, allowed)
        if network:
            for port in ports:
                rule = struct.pack("=QQ", network, port)
                _done(libc.syscall(_SYS_LANDLOCK_ADD, rules, 2, rule, 0), f"landlock port {port}")
        no_new_privileges()
        _done(libc.syscall(_SYS_LANDLOCK_RESTRICT, rules, 0), "landlock")
    finally:
        os.close(rules)


def _allow_path(rules: int, path: Path, allowed: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not path.is_dir():
            allowed &= (
                _FS_EXECUTE | _FS_WRITE_FILE | _FS_READ_FILE | (1 << 14 if landlock_version() >= 3 else 0)
            )
        rule = struct.pack("=Qi", allowed, handle)
        _done(_libc().syscall(_SYS_LANDLOCK_ADD, rules, 1, rule, 0), f"landlock {path}")
    finally:
        os.close(handle)
