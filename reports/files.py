"""The one place that writes a report to disk: whole or not at all, and never over another file.

A report is written beside its place and then moved there, so that neither a full disk nor a kill
leaves half a file. Devices and pipes, which can't be moved to, are written to directly.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vidmeter.meter.errors import BadRun

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def write(text: str, path: Path, *, force: bool = False) -> Path:
    """Write a report and return its path.

    Raises `BadRun` if the file exists (without `force`) or can't be written.
    """
    with opened(path, force=force) as file:
        file.write(text.encode())
    return path


def check_writable(path: Path, *, force: bool = False) -> None:
    """Raise what `write` would raise, as far as it can be known before there is a text."""
    if _taken(path) and not force:
        raise BadRun(f"{path} exists: choose another --output, or add --force to overwrite it")
    if path.is_file() and not path.stat().st_mode & _WRITABLE:
        raise BadRun(f"{path} is read-only: make it writable, or choose another file")
    if path.is_dir():
        raise BadRun(f"{path} is a folder: name a file in it with --output")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise BadRun(f"can't write {path}: {folder} is a file; choose another --output")
    place = path if path.exists() and not _taken(path) else folder
    if not os.access(place, os.W_OK):
        raise BadRun(f"can't write {path}: no permission in {folder}; choose another --output")


@contextmanager
def opened(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A file to write a report to, which stands at `path` only once the block is left in peace.

    Raises `BadRun` if the file exists (without `force`) or can't be written.
    """
    check_writable(path, force=force)
    # A link stays a link: what it points to is replaced.
    target = path.resolve()
    # Not by the process's number: in containers many have the same, also one that was killed.
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    try:
        if path.exists() and not _taken(path):
            with path.open("wb") as file:
                yield file
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("xb") as file:
            yield file
        if target.exists():
            beside.chmod(stat.S_IMODE(target.stat().st_mode))
        beside.replace(target)
    except OSError as error:
        raise BadRun(f"can't write {path}: {error.strerror}; choose another --output") from error
    finally:
        if beside.exists():
            beside.unlink()


def _taken(path: Path) -> bool:
    """Whether something is there that would be lost."""
    return path.is_file() or path.is_dir()
