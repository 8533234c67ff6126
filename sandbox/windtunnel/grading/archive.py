"""Unpacks what a student packed, where it can do no harm.

Only ordinary files and folders come out, into a private temporary folder that goes with the block. Sizes are
counted while unpacking: what an archive says about itself is not believed.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, cast

MB = 2**20
MAX_PACKED = 20 * MB
MAX_BYTES = 50 * MB  # of all files together
MAX_FILES = 1000  # files and folders
MAX_RATIO = 100  # of bytes unpacked to bytes packed; source text reaches 5 to 20 …
SMALL = MB  # … and below this nobody needs to care

TAR = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tbz2": bz2.open,
    ".tar.xz": lzma.open,
    ".txz": lzma.open,
}
SUFFIXES = (".zip", *TAR)
FOREIGN = (".rar", ".7z")  # what the standard library cannot unpack


class Broken(Exception):
    """Something is wrong with what a student handed in; the text says what, in one line."""


def suffix(name: str) -> str:
    """The part of ``name`` that makes it an archive's, as it is written there; empty for other names."""
    for known in (*SUFFIXES, *FOREIGN):
        if name.lower().endswith(known):
            return name[-len(known) :]
    return ""


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """A private folder with the archive's files, while the block lasts. Raises Broken."""
    name, kind = archive.name, suffix(archive.name).lower()
    if kind in FOREIGN:
        raise Broken(f"{name} cannot be unpacked here: hand in a .zip or a .tar.gz")
    if archive.stat().st_size > MAX_PACKED:
        raise Broken(f"{name} is larger than {MAX_PACKED // MB} MB")
    folder = Path(tempfile.mkdtemp(prefix="windtunnel-unpacked-"))
    try:
        try:
            _Unpacking(archive, folder).run(kind)
        except (
            zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error,
            OSError, EOFError, ValueError, OverflowError, NotImplementedError, RuntimeError,
        ) as error:  # fmt: skip
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise Broken(f"{name} cannot be unpacked: {why.replace(str(folder), '')}") from None
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Unpacking:
    """One archive on its way into ``folder``, with what has come out of it so far."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self._archive, self._folder = archive, folder
        self._packed = archive.stat().st_size
        self._files = self._bytes = 0

    def run(self, kind: str) -> None:
        if kind == ".zip":
            self._zip()
        else:
            self._tar(kind)

    def _zip(self) -> None:
        with zipfile.ZipFile(self._archive) as packed:
            for info in packed.infolist():
                form = stat.S_IFMT(info.external_attr >> 16)
                if info.flag_bits & 1:
                    raise Broken(f"{self._archive.name} is protected by a password")
                if form not in (0, stat.S_IFREG, stat.S_IFDIR):
                    self._refuse(info.filename, "what is no ordinary file")
                target = self._target(info.filename)
                if info.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                with packed.open(info) as source:
                    self._copy(source, target, count=True)

    def _tar(self, kind: str) -> None:
        opener = cast("Any", TAR[kind])
        # As a stream, through a counter: headers are counted too, and nothing is read twice.
        with (
            opener(self._archive, "rb") as raw,
            tarfile.open(fileobj=cast("Any", _Counted(raw, self._count)), mode="r|") as packed,
        ):
            for member in packed:
                target = self._target(member.name)
                if not (member.isreg() or member.isdir()):
                    self._refuse(member.name, "what is no ordinary file")
                tarfile.data_filter(member, str(self._folder))  # raises for what `_target` did not foresee
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                source = packed.extractfile(member)
                assert source is not None
                with source:
                    self._copy(source, target, count=False)

    def _target(self, name: str) -> Path:
        """Where the member called ``name`` goes; counts it. Raises Broken for a place outside."""
        self._files += 1
        if self._files > MAX_FILES:
            raise Broken(f"{self._archive.name} holds more than {MAX_FILES} files")
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if posix.is_absolute() or windows.drive or windows.root:
            self._refuse(name, "an absolute path")
        if ".." in posix.parts or ".." in windows.parts:
            self._refuse(name, "a path out of the archive")
        return self._folder.joinpath(*posix.parts)

    def _refuse(self, member: str, why: str) -> None:
        raise Broken(f"{self._archive.name} holds {why}: {member[:80]!r}")

    def _copy(self, source: IO[bytes], target: Path, *, count: bool) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while part := source.read(1 << 16):
                if count:
                    self._count(len(part))
                file.write(part)

    def _count(self, more: int) -> None:
        self._bytes += more
        if self._bytes > MAX_BYTES:
            raise Broken(f"{self._archive.name} unpacks to more than {MAX_BYTES // MB} MB")
        if self._bytes > SMALL and self._bytes > MAX_RATIO * self._packed:
            raise Broken(f"{self._archive.name} unpacks to more than {MAX_RATIO} times its size")


class _Counted:
    """A stream that reports how much was read of it."""

    def __init__(self, stream: IO[bytes], count: Any) -> None:
        self._stream, self._count = stream, count

    def read(self, size: int = -1) -> bytes:
        part = self._stream.read(size)
        self._count(len(part))
        return part
