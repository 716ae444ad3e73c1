"""What a page says about a run beside its energy: the work, the machine, and the method."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from vidmeter.meter.run import Run, Work
from vidmeter.meter.runfile import FORMAT_VERSION
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sources import NAMES
from vidmeter.meter.summary import Summary
from vidmeter.reports.format import digits, seconds
from vidmeter.reports.page import device_rows, sentence
from vidmeter.reports.phasewords import gpu_time_in_words

Facts = list[tuple[str, str]]
"""Names and values, to be shown as a list."""

_HOW = {
    NAMES[Quantity.CPU_BUSY]: "busy time of the processors times a rating in W per busy one",
    NAMES[Quantity.ENERGY_STATED]: "what another program stated of the whole run",
    NAMES[Quantity.ENERGY]: "the difference of the device's own energy counter over the window",
}
_AREA = "the area under its readings of power, which are taken as joined by straight lines"


def work_facts(run: Run, summary: Summary) -> Facts:
    """What was produced, added up."""
    done = summary.work
    sizes = sorted({f"{w.width} × {w.height}" for w in _videos(run, summary) if w.width})
    rates = sorted({w.fps for w in _videos(run, summary) if w.fps})
    origins = {
        "file": "found in the files that the command wrote",
        "program": "said by the program",
        "user": "stated by the user",
        "export": "seen by the hook where a file was written",
        "pipeline": "seen by the hook in what a pipeline returned",
    }
    known = [
        ("clips", None if done.clips is None else str(done.clips)),
        ("video", None if done.video_seconds is None else f"{digits(done.video_seconds)} s"),
        ("frames", None if done.frames is None else str(done.frames)),
        ("size", ", ".join(sizes) or None),
        ("frame rate", ", ".join(f"{digits(r)} /s" for r in rates) or None),
        (
            "megapixel-frames",
            None if done.megapixel_frames is None else digits(done.megapixel_frames),
        ),
        *((unit, digits(count)) for unit, count in done.units.items()),
        ("known from", origins.get(done.origin or "")),
    ]
    return [(name, value) for name, value in known if value is not None]


def files(run: Run, summary: Summary) -> list[Work]:
    """The files of the videos that count."""
    return [w for w in _videos(run, summary) if w.path]


def machine_facts(summary: Summary) -> list[tuple[str, Facts]]:
    """The machine, what else the run's environment tells, and each device; a heading for each."""
    known = summary.environment
    groups = [
        ("The machine", list(_flat({k: v for k, v in known.items() if not _is_group(v)}))),
        ("Workload", list(_workload(summary))),
        *((sentence(_words(k))[:-1], list(_flat(v))) for k, v in known.items() if _is_group(v)),
    ]
    for row in device_rows(summary):
        device = row.e.device
        head = [("UUID", device.uuid), ("covers", device.scope), ("sensor", device.sensor)]
        groups.append((f"{row.label}: {device.name}", head + list(_flat(device.facts))))
    shown = [(name, [(k, v) for k, v in pairs if v]) for name, pairs in groups]
    return [(name, pairs) for name, pairs in shown if pairs]


def method(run: Run, summary: Summary) -> list[str]:
    """How the numbers came about, in sentences."""
    count = sum(len(trace.t_ns) for trace in run.traces.values())
    sentences = [_captured(run, count)]
    for name in sorted({e.source for e in summary.devices if e.source}):
        sentences.append(f"Energy from {name} is {_HOW.get(name, _AREA)}.")
    sentences.append(
        "Time that nobody saw adds nothing and lowers the coverage; below 95 % no energy is stated."
        " The 95 % interval holds the error of the sensor and that of placing a window's edges"
        " between two readings."
    )
    if words := gpu_time_in_words(summary.gpu_time):
        sentences.append(f"{words[0].upper()}{words[1:]}.")
    sentences.append(
        f"Run {run.id}, run format {FORMAT_VERSION}; the readings are in its file, and every number"
        " here can be computed anew from them."
    )
    return sentences


_OFF = (None, "", "none", "off", "default")
"""Values of settings that change nothing."""


def _workload(summary: Summary) -> Iterator[tuple[str, str]]:
    """What a repeat of a bench was: the settings that matter and what was used; no more."""
    told = summary.workload or {}
    if not told:
        return
    yield "what", str(told.get("description") or told.get("arm") or told.get("task") or "")
    yield "repeat", f"{told.get('repeat')}, in process {told.get('block')}"
    for name, value in (told.get("settings") or {}).items():
        if value not in _OFF:
            yield _words(name), str(value)
    facts = told.get("facts") or {}
    for name in ("pipeline", "scheduler", "attention_backend", "device_name", "steps_run"):
        if facts.get(name) is not None:
            yield _words(name), str(facts[name])
    for name, part in (facts.get("components") or {}).items():
        types = ", ".join(part.get("parameters_by_dtype") or ())
        count = f"{digits(part['parameters'])} parameters" if part.get("parameters") else ""
        yield _words(name), ", ".join(t for t in (part.get("class"), count, types) if t)
    versions = facts.get("versions") or {}
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    operations = (told.get("operations") or {}).get("total")
    if operations:
        yield "operations", f"{digits(operations / 1e12)} TFLOP"
    protocol = told.get("protocol") or {}
    if protocol.get("warmups"):
        spent = seconds(protocol.get("warmup_s"))
        yield "warm-up", f"{protocol['warmups']}, {spent} in all"
    if summary.command:
        yield "command", shlex.join(summary.command)


def _captured(run: Run, count: int) -> str:
    """Where its values come from."""
    if imported := run.environment.get("imported"):
        return (
            f"The run was imported from {imported['file']}, as {imported['program']} wrote it;"
            f" {count} values were taken over."
        )
    return (
        f"The sensors were read every {seconds(run.period_ns / 1e9)}, in a process of their own;"
        f" {count} readings were kept."
    )


def _videos(run: Run, summary: Summary) -> list[Work]:
    return [w for w in run.work if w.unit == "video" and w.origin == summary.work.origin]


_SIZES = (("_b", "GB", 1e9), ("_w", "W", 1.0), ("_mhz", "MHz", 1.0), ("_s", "s", 1.0))
"""Endings of names that say the unit of a value."""


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Facts as pairs of words; those that are unknown are left out."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{_words(key)} › ")
        elif value is not None and value != []:
            name, text = _fact(key, value)
            yield prefix + name, text


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping)


def _fact(key: str, value: Any) -> tuple[str, str]:
    if isinstance(value, bool):
        return _words(key), "yes" if value else "no"
    if isinstance(value, list | tuple):
        return _words(key), ", ".join(str(v) for v in value)
    if isinstance(value, int | float):
        for ending, unit, size in _SIZES:
            if key.endswith(ending):
                return _words(key.removesuffix(ending)), f"{digits(value / size)} {unit}"
        return _words(key), str(value)
    return _words(key), str(value)


def _words(key: str) -> str:
    """A key as words; the name of a variable stays as it is."""
    return key if key.isupper() else key.replace("_", " ")
