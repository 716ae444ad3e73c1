"""A summary as plain text for a terminal."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from vidmeter.meter.device import Provenance
from vidmeter.meter.summary import (
    DeviceEnergy,
    Net,
    PerUnit,
    Summary,
    Total,
    WorkDone,
)
from vidmeter.reports import phasetree, shared
from vidmeter.reports.format import digits, joules, percent, seconds, watt_hours, watts
from vidmeter.reports.phasewords import gpu_time_in_words

_UNITS = {
    "j_per_video_second": "J per second of video",
    "wh_per_clip": "Wh per clip",
    "j_per_frame": "J per frame",
    "j_per_megapixel_frame": "J per megapixel-frame",
}

_PLAIN = str.maketrans(
    {"├": "|", "└": "`", "─": "-", "│": "|", "×": "x", "·": ";", "…": "...", "–": "-", "−": "-",
     "±": "+-", "›": ">", "µ": "u", "°": " "}
)  # fmt: skip


def render(
    summary: Summary,
    *,
    path: Path | None = None,
    color: bool = False,
    published: Sequence[str] = (),
) -> str:
    """The numbers of a run for a person, the answer first; `color` adds ANSI emphasis.

    `published` are lines on others' figures (beside.py).
    """
    bold = "\x1b[1m{}\x1b[0m" if color else "{}"
    blocks = [
        [_head(summary)],
        _answer(summary, bold),
        list(published),
        _devices(summary),
        _phases(summary),
        _cautions(summary),
    ]
    if path is not None:
        blocks.append([f"run file: {path}", f"          vidmeter report {shlex.quote(str(path))}"])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def for_stream(text: str, encoding: str | None) -> str:
    """The same text in letters that a stream of this encoding can take."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        plain = text.translate(_PLAIN)
        return plain.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")
    return text


def unit_name(name: str) -> str:
    """`j_per_video_second` in words."""
    return _UNITS.get(name, name.replace("_", " ").replace("j per", "J per"))


def work_in_words(work: WorkDone) -> str:
    """`1 clip, 5.06 s, 81 frames (out.mp4)`; empty when nothing is known."""
    parts = []
    if work.clips:
        parts.append(f"{work.clips} clip{'s' if work.clips > 1 else ''}")
    if work.video_seconds is not None:
        parts.append(f"{digits(work.video_seconds)} s of video")
    if work.frames is not None:
        parts.append(f"{work.frames} frames")
    parts += [f"{digits(count)} {unit}" for unit, count in work.units.items()]
    names = [Path(p).name for p in work.paths]
    if len(names) > 3:
        names = [*names[:2], f"and {len(names) - 2} more"]
    return ", ".join(parts) + (f" ({', '.join(names)})" if names else "")


def provenance_in_words(total: Total) -> str:
    """A mark for everything that was not measured."""
    if total.provenance is None or total.provenance is Provenance.MEASURED:
        return ""
    return total.provenance.upper()


def net_in_words(net: Net) -> str:
    """`2.1 kJ beyond idle …`: the net energy, and what was taken off."""
    between = _between(PerUnit(net.energy_j, net.low_j, net.high_j))
    return f"{joules(net.energy_j)} beyond idle{between}: {watts(net.idle_w)} taken off, {net.how}"


def _head(summary: Summary) -> str:
    command = shlex.join(summary.command)
    if len(command) > 70:
        command = command[:67] + "…"
    code = "" if not summary.exit_code else f", exit code {summary.exit_code}"
    return f"vidmeter: {command}: {seconds(summary.duration_s)}{code}"


def _answer(summary: Summary, bold: str) -> list[str]:
    marks = [provenance_in_words(summary.total), "" if summary.total.trusted else "NOT TRUSTED"]
    mark = "".join(f"  {m}" for m in marks if m)
    lines = []
    headline = summary.per_unit.get("j_per_video_second")
    if headline and headline.value is not None:
        text = f"{digits(headline.value)} J per second of video"
        lines.append(f"  {bold.format(text)}{_between(headline)}{mark}")
    rest = [
        f"{digits(unit.value)} {unit_name(name)}"
        for name, unit in summary.per_unit.items()
        if name != "j_per_video_second" and unit.value is not None
    ]
    if rest:
        lines.append("  " + " · ".join(rest))
    if work := work_in_words(summary.work):
        lines.append(f"  {work}")
    lines += [f"  {line}" for line in other_answers(summary)]
    lines.append("  " + _in_all(summary, bold if not lines else "{}") + mark)
    if summary.net:
        lines.append("  " + net_in_words(summary.net))
    return lines


def other_answers(summary: Summary) -> list[str]:
    """The same figure for the phases that made video."""
    return [
        f"{digits(unit.value)} J per second of video in {phase.path[0]} alone{_between(unit)}"
        for phase in summary.phases
        if len(phase.path) == 1
        and (unit := phase.per_unit.get("j_per_video_second"))
        and unit.value is not None
    ]


def _in_all(summary: Summary, bold: str) -> str:
    total = summary.total
    if total.energy_j is not None:
        interval = _between(PerUnit(total.energy_j, total.low_j, total.high_j))
        text = bold.format(f"{joules(total.energy_j)} in all")
        return f"{text}, {watt_hours(total.energy_j / 3600)}{interval}"
    if total.covered_j:
        return f"energy incomplete: {joules(total.covered_j)} were seen"
    if summary.devices:
        return "energy unknown: too few readings in so short a time"
    return "energy unknown: nothing could be measured"


def _between(unit: PerUnit) -> str:
    if unit.low is None or unit.high is None:
        return ""
    return f"  ({digits(unit.low)} to {digits(unit.high)})"


def _devices(summary: Summary) -> list[str]:
    rows = [_device_row(e) for e in summary.devices]
    return _table(("device", "energy", "mean", "peak", "from", "seen"), rows, right=(1, 2, 3, 5))


def _device_row(e: DeviceEnergy) -> tuple[str, ...]:
    origin = e.source or "no readings"
    if e.device.provenance is not Provenance.MEASURED:
        origin += f", {e.device.provenance.upper()}"
    if e.disagreement is not None:
        origin += f" ({e.second_source} {e.disagreement * 100:+.1f} %)"
    energy = joules(e.energy_j)
    if e.device.provenance is Provenance.MODELLED and e.low_j is not None:
        energy = f"{joules(e.low_j)} to {joules(e.high_j)}"
    return e.device.label, energy, watts(e.mean_w), watts(e.peak_w), origin, percent(e.coverage)


def _phases(summary: Summary) -> list[str]:
    words = gpu_time_in_words(summary.gpu_time)
    return [*phasetree.table(summary), *([f"  {words}"] if words and summary.phases else [])]


def _cautions(summary: Summary) -> list[str]:
    lines = []
    for caution in shared.cautions(summary):
        lines.append(f"! {caution.text}")
        if caution.remedy:
            lines.append(f"  {caution.remedy}")
    return lines


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int]
) -> list[str]:
    """Columns as wide as they need to be; those in `right` are set flush right."""
    if not rows:
        return []
    wide = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return [
        "  "
        + "  ".join(
            cell.rjust(wide[i]) if i in right else cell.ljust(wide[i]) for i, cell in enumerate(row)
        ).rstrip()
        for row in (head, *rows)
    ]
