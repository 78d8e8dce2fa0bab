"""Files under one folder, whatever a path says.

A path is walked part by part, each opened from the folder before it and never through a link: there is no moment in
which a link that somebody puts there meanwhile could lead out.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
MAX_ENTRIES = 10_000


class BadPath(Exception):
    """A path that leads nowhere under the root, or to what is no file; ``code`` is for machines."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RootMissing(Exception):
    """The root itself is not there."""


@dataclass(frozen=True, slots=True)
class Root:
    """All errors are BadPath, RootMissing, or an OSError of the machine (a full disk, ...). ``max_bytes``: a file's."""

    path: str
    max_bytes: int

    def read(self, path: str) -> bytes:
        with self._parent(path) as (folder, name), _named(path):
            descriptor = os.open(name, _FILE, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise BadPath("not_a_file", f"path: {path!r} is not a file")
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(self.max_bytes + 1)
        self._check_size(path, len(data))
        return data

    def write(self, path: str, data: bytes) -> None:
        """The file is there whole or not at all; folders on its way are made."""
        self._check_size(path, len(data))
        with self._parent(path, make=True) as (folder, name), _named(path):
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise BadPath("not_a_file", f"path: {path!r} is a folder")
            new = f".taskfleet-{secrets.token_hex(8)}"
            descriptor = os.open(
                new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
            )
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(new, dir_fd=folder)
                raise

    def entries(self, path: str) -> list[dict[str, Any]]:
        """What is in a folder, by name."""
        with self._opened(_parts(path), path) as folder, _named(path):
            with os.scandir(folder) as found_there:
                names = sorted(entry.name for entry in islice(found_there, MAX_ENTRIES))
            return [_entry(name, found) for name in names if (found := _looked_at(name, folder))]

    def delete(self, path: str) -> None:
        """A file, a link, or an empty folder."""
        with self._parent(path) as (folder, name), _named(path):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.rmdir(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)

    def _check_size(self, path: str, size: int) -> None:
        if size > self.max_bytes:
            raise BadPath("too_large", f"path: {path!r} is larger than {self.max_bytes} bytes (tools.file.maxFileSize)")

    @contextlib.contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder of a path's last part, and that part."""
        parts = _parts(path)
        if not parts:
            raise BadPath("not_a_file", f"path: {path!r} is the root folder itself")
        with self._opened(parts[:-1], path, make=make) as folder:
            yield folder, parts[-1]

    @contextlib.contextmanager
    def _opened(self, parts: list[str], path: str, *, make: bool = False) -> Iterator[int]:
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RootMissing(f"the folder {self.path} cannot be opened: {error.strerror}") from error
        try:
            for part in parts:
                with _named(path):
                    if make:
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(part, dir_fd=folder)
                    inner = os.open(part, _FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


def _parts(path: str) -> list[str]:
    if path.startswith("/") or "\0" in path:
        raise BadPath("bad_path", f"path: {path!r} must be relative to the root, such as reports/today.md")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadPath("bad_path", f"path: {path!r} must not have .. in it")
    return parts


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """What the kernel says of a path, in words."""
    try:
        yield
    except FileNotFoundError:
        raise BadPath("not_found", f"path: there is no {path!r}") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadPath("bad_path", f"path: {path!r} leads over a link; links are not followed") from None
        if error.errno == errno.ENOTDIR:  # also what a link says that is opened as a folder
            raise BadPath("bad_path", f"path: {path!r} leads over what is no folder; links are not followed") from None
        if error.errno in (errno.ENAMETOOLONG, errno.ENOTEMPTY, errno.EISDIR, errno.ENXIO, errno.EINVAL, errno.EBUSY):
            raise BadPath("bad_path", f"path: {path!r}: {error.strerror}") from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise BadPath("not_permitted", f"path: {path!r}: {error.strerror}") from None
        raise


def _looked_at(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:  # it went meanwhile
        return None


def _entry(name: str, found: os.stat_result) -> dict[str, Any]:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    return {
        "name": name,
        "kind": kinds.get(stat.S_IFMT(found.st_mode), "other"),
        "bytes": found.st_size,
        "modified": datetime.fromtimestamp(int(found.st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
