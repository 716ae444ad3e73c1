"""Suites: named sets of workloads, as TOML.

Shipped ones lie in `suites/`, and a path to a file of one's own is accepted where a name is. Only
the file's form is judged here; a workload's settings are judged by the workload.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from vidmeter.meter.errors import WorkloadUnavailable


@dataclass(frozen=True, slots=True)
class Entry:
    """One workload of a suite: its settings, and what stands over the protocol's own numbers.

    `repeats` and `warmups` are counts, `least_seconds` is how long is measured at least; None
    leaves it to the protocol.
    """

    workload: str
    settings: Mapping[str, object] = field(default_factory=dict)
    repeats: int | None = None
    warmups: int | None = None
    least_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """A named set of workloads; a `quick` one is run once, without idle and cool-down."""

    name: str
    description: str
    entries: tuple[Entry, ...]
    quick: bool = False


def suite_names() -> tuple[str, ...]:
    """The names of the shipped suites."""
    folder = files("vidmeter.workloads") / "suites"
    return tuple(
        sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    )


def load_suite(name_or_path: str | Path) -> Suite:
    """The shipped suite of that name, or the one in that TOML file.

    Raises WorkloadUnavailable if there is none, or if the file is no suite.
    """
    named = str(name_or_path)
    if named in suite_names():
        text = (files("vidmeter.workloads") / "suites" / f"{named}.toml").read_text("utf-8")
        return _suite(named, named, text)
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise WorkloadUnavailable(
            f"there is no suite {named!r}: take {', '.join(suite_names())}, or a .toml file"
        )
    try:
        return _suite(path.stem, named, path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadUnavailable(f"suite {named} can't be read: {error}") from error


def _suite(name: str, where: str, text: str) -> Suite:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WorkloadUnavailable(f"suite {where} is no TOML: {error}") from error
    _only(where, table, {"description": str, "quick": bool, "workload": list})
    entries = tuple(_entry(where, entry) for entry in table.get("workload", ()))
    if not entries:
        raise WorkloadUnavailable(f"suite {where} names no workload: add a [[workload]] table")
    return Suite(name, table.get("description", ""), entries, table.get("quick", False))


def _entry(where: str, table: Any) -> Entry:
    if not isinstance(table, dict) or "name" not in table:
        raise WorkloadUnavailable(f"suite {where}: each [[workload]] needs a name")
    known = {"name": str, "settings": dict, "repeats": int, "warmups": int, "least_seconds": float}
    _only(where, table, known)
    for key, least in (("repeats", 1), ("warmups", 0), ("least_seconds", 0)):
        if table.get(key, least) < least:
            raise WorkloadUnavailable(
                f"suite {where}: {table['name']}: {key} is at least {least}, not {table[key]}"
            )
    return Entry(
        table["name"],
        table.get("settings", {}),
        table.get("repeats"),
        table.get("warmups"),
        table.get("least_seconds"),
    )


def _only(where: str, table: Mapping[str, Any], known: Mapping[str, type]) -> None:
    for key, value in table.items():
        if key not in known:
            raise WorkloadUnavailable(f"suite {where}: {key!r} is none of {', '.join(known)}")
        wanted = (int, float) if known[key] is float else known[key]
        if not isinstance(value, wanted) or (isinstance(value, bool) and known[key] is not bool):
            raise WorkloadUnavailable(f"suite {where}: {key} can't be {value!r}")
