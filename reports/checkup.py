"""A check-up of this machine, in words for somebody who has never heard of the driver's fields."""

from typing import Any

from vidmeter.meter.checkup import Checkup, Grade, Verdict
from vidmeter.meter.device import Kind
from vidmeter.meter.quality import Origin, SeriesQuality
from vidmeter.meter.quality import Verdict as Said
from vidmeter.meter.sample import Quantity
from vidmeter.reports.format import percent, seconds, watts

_READINGS = {
    Quantity.POWER_RING: "the driver's own record of power",
    Quantity.POWER_INSTANT: "power at the moment",
    Quantity.ENERGY: "energy counter",
    Quantity.POWER_USAGE: "power, the classic reading",
    Quantity.POWER_AVERAGE: "power, mean of the last second",
}
_ORIGINS = {
    Origin.MEASURED: "found by calibration",
    Origin.DOCUMENTED: "as NVIDIA documents",
    Origin.PUBLISHED: "published for such cards, not yet checked on this one",
}
_GRADES = {
    Grade.GOOD: "GOOD",
    Grade.FAIR: "FAIR",
    Grade.POOR: "POOR",
    Grade.MODELLED: "MODELLED",
    Grade.NONE: "NOT MEASURED",
}
_MISSING = {"nvml": "GPUs", "rapl": "CPU and memory by counters", "modelled": "CPU by a model"}


def render(checkup: Checkup, *, color: bool = False) -> str:
    """The check-up as text."""
    bold = "\x1b[1m{}\x1b[0m" if color else "{}"
    blocks = [["What can be measured on this machine, and how well"]]
    if not any(v.device.kind is Kind.GPU for v in checkup.verdicts):
        blocks.append([bold.format("No GPU can be measured."), *_why_absent(checkup, "nvml")])
    blocks += [_device(v, bold) for v in checkup.verdicts]
    rest = [a for a in checkup.absent if a[0] != "nvml"]
    blocks += [[f"Not measured: {_MISSING.get(name, name)}", f"  {why}"] for name, why in rest]
    machine = [*checkup.peculiarities, *checkup.notes]
    if checkup.container:
        machine.append(
            f"this is a container ({checkup.container}): if its GPUs fail in the middle of a run,"
            " start it anew; only processes inside it can be named"
        )
    blocks.append([f"Note: {line}" for line in machine])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def document(checkup: Checkup) -> dict[str, Any]:
    """The check-up as plain JSON values."""
    return {
        "schema": "vidmeter-doctor/1",
        "gpu_measured": checkup.gpu_measured,
        "watched_s": checkup.watched_s,
        "devices": [_json(v) for v in checkup.verdicts],
        "absent": [{"sensor": name, "reason": why} for name, why in checkup.absent],
        "container": checkup.container,
        "notes": [*checkup.peculiarities, *checkup.notes],
    }


def _why_absent(checkup: Checkup, sensor: str) -> list[str]:
    return [f"  {why}" for name, why in checkup.absent if name == sensor]


def _device(v: Verdict, bold: str) -> list[str]:
    lines = [bold.format(f"{v.device.label}: {_GRADES[v.grade]}") + f", {v.why}"]
    if v.device.kind is Kind.GPU:
        lines.append(f"  {v.device.uuid}")
    if v.energy.source:
        rows = _rows(v)
        wide = max(len(name) for name, _ in rows)
        lines += [f"  {name.ljust(wide)}  {text}" for name, text in rows]
    lines += _readings(v)
    for caution in v.doubts:
        text = caution.text.removeprefix(f"{v.device.label}: ")
        lines.append(f"  ! {text}")
        if caution.remedy:
            lines.append(f"    {caution.remedy}")
    lines += [f"  > {todo}" for todo in _todo(v)]
    return lines


def _rows(v: Verdict) -> list[tuple[str, str]]:
    e = v.energy
    low, high = v.error
    rows = [("energy from", e.source or "")]
    if v.grade is Grade.MODELLED:
        rows.append(("may be off by", f"{low * 100:+.0f} to {high * 100:+.0f} %"))
        return rows
    if e.second_source and e.disagreement is not None:
        rows.append(("confirmed by", f"{e.second_source} ({e.disagreement * 100:+.1f} %)"))
    sure = "calibrated" if v.calibrated else "not calibrated"
    rows.append(("may be off by", f"{low * 100:+.0f} to {high * 100:+.0f} % ({sure})"))
    if v.shortest_s:
        rows.append(("shortest phase", f"{seconds(v.shortest_s)} can be told from its neighbours"))
    rows.append(("now", f"{watts(e.mean_w)}, {percent(e.coverage)} of the time seen"))
    return rows


def _readings(v: Verdict) -> list[str]:
    if v.device.kind is not Kind.GPU or not v.quality.series:
        return []
    return [
        "  its readings:",
        *(f"    {_READINGS[s.quantity]}: {_reading(s)}" for s in v.quality.series),
    ]


def _reading(s: SeriesQuality) -> str:
    if s.verdict is Said.ABSENT:
        return "not offered"
    if s.verdict is Said.BROKEN:
        return f"BROKEN and not used: {s.reason}"
    if s.verdict is Said.UNTESTED and not s.refresh_ns:
        return s.reason or "offered"
    parts = []
    if s.refresh_ns:
        what = "advances" if s.quantity is Quantity.ENERGY else "new"
        parts.append(f"{what} every {s.refresh_ns / 1e6:.0f} ms")
    if s.depth and s.refresh_ns:
        parts.append(f"the last {seconds(s.depth * s.refresh_ns / 1e9)} are kept")
    if s.window_ns and s.window_origin and s.quantity is not Quantity.ENERGY:
        share = s.seen_share
        full = share is None or share >= 0.95
        how = "all of the time" if full else f"{(share or 0) * 100:.0f} % of the time only"
        parts.append(
            f"averages over {s.window_ns / 1e6:.0f} ms, so it looks {how}"
            f" ({_ORIGINS[s.window_origin]})"
        )
    elif s.quantity not in (Quantity.ENERGY, Quantity.POWER_RING):
        parts.append("how long it averages isn't known")
    return ", ".join(parts) or "offered"


def _todo(v: Verdict) -> list[str]:
    """What would make it better, the most useful first."""
    if v.grade is Grade.MODELLED:
        return ["state the processor's watts at full load with --cpu-watts, or make RAPL readable"]
    if v.device.kind is not Kind.GPU:
        return []
    if v.grade is Grade.NONE:
        return [
            "older, virtual and some laptop cards tell nothing of their power: only an external"
            " meter can measure this one"
        ]
    todo = []
    power = [s for s in v.quality.series if s.window_ns or s.refresh_ns]
    if not any(s.window_origin is Origin.MEASURED for s in power):
        todo.append(
            "`vidmeter calibrate` (a minute, with PyTorch) finds what its readings are like"
        )
    if not v.calibrated:
        todo.append(
            "`vidmeter calibrate --reference LOG.csv`, with an external meter, removes its ±5 %"
        )
    return todo


def _json(v: Verdict) -> dict[str, Any]:
    e = v.energy
    return {
        "uuid": v.device.uuid,
        "name": v.device.name,
        "kind": v.device.kind,
        "provenance": v.device.provenance,
        "scope": v.device.scope,
        "grade": v.grade,
        "why": v.why,
        "source": e.source,
        "second_source": e.second_source,
        "disagreement": e.disagreement,
        "trusted": e.trusted,
        "error_low": v.error[0],
        "error_high": v.error[1],
        "calibrated": v.calibrated,
        "shortest_phase_s": v.shortest_s,
        "mean_w": e.mean_w,
        "coverage": e.coverage,
        "readings": [
            {
                "quantity": s.quantity,
                "verdict": s.verdict,
                "reason": s.reason,
                "refresh_s": s.refresh_ns / 1e9 if s.refresh_ns else None,
                "depth": s.depth,
                "window_s": s.window_ns / 1e9 if s.window_ns else None,
                "window_origin": s.window_origin,
                "delay_s": s.delay_ns / 1e9 if s.delay_ns is not None else None,
                "lag_s": s.lag_ns / 1e9 if s.lag_ns is not None else None,
                "seen_share": s.seen_share,
            }
            for s in v.quality.series
        ],
        "cautions": [c._asdict() for c in v.doubts],
        "todo": _todo(v),
    }
