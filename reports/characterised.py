"""What a calibration found of a card, in words, and as JSON."""

from collections.abc import Sequence
from typing import Any

from vidmeter.meter.calibrating.calibration import Compared
from vidmeter.meter.calibrating.characterise import Characterised, Found
from vidmeter.meter.calibrating.gate import Gate
from vidmeter.meter.quality import SeriesQuality, Verdict, calibration_to_json
from vidmeter.meter.sample import Quantity

_READINGS = {
    Quantity.POWER_RING: "driver's own samples",
    Quantity.POWER_INSTANT: "instant power",
    Quantity.ENERGY: "energy counter",
    Quantity.POWER_USAGE: "power, classic reading",
    Quantity.POWER_AVERAGE: "power, 1 s average",
}
_STATES = {"idle": "idle", "load": "under load", "any": "as it was"}
_HEADS = ("reading", "verdict", "new every", "averages", "delay", "rise", "explained")


def render(found: Characterised, compared: Compared | None = None) -> str:
    """What was found of a card, as text."""
    rows = [_HEADS, *(_row(f) for f in found.found)]
    wide = [max(len(row[i]) for row in rows) for i in range(len(_HEADS))]
    lines = [f"{found.device.label}", f"  {found.device.uuid}"]
    lines += [
        "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip()
        for row in rows
    ]
    lines += [f"  {line}" for line in _notes(found)]
    if compared is not None:
        lines += [f"  {line}" for line in _compared(compared)]
    return "\n".join(lines) + "\n"


def document(pairs: Sequence[tuple[Characterised, Compared | None]]) -> dict[str, Any]:
    """What was found of some cards, as plain JSON values; docs/calibrate.md says what is what."""
    return {"schema": "vidmeter-calibrate/1", "cards": [_json(f, c) for f, c in pairs]}


def _row(found: Found) -> tuple[str, ...]:
    q = found.quality
    if q.verdict is Verdict.ABSENT:
        return (_READINGS[q.quantity], "absent", *[""] * 5)
    return (
        _READINGS[q.quantity],
        q.verdict.upper() if q.verdict is Verdict.BROKEN else str(q.verdict),
        _ms(q.refresh_ns),
        _averages(q, fitted=found.r2 is not None),
        _ms(q.delay_ns if found.r2 is not None else None),
        _ms(None if found.rise_s is None else round(found.rise_s * 1e9)),
        "-" if found.r2 is None else f"{found.r2 * 100:.2f} % of {found.against}",
    )


def _averages(q: SeriesQuality, *, fitted: bool) -> str:
    if q.quantity is Quantity.ENERGY:
        return "all" if fitted else "-"
    if q.lag_ns:
        return f"lag of {_ms(q.lag_ns)}"
    if not q.window_ns:
        return "-"
    share = q.seen_share
    part = f" ({share * 100:.0f} % seen)" if share is not None and share < 0.95 else ""
    return f"{_ms(q.window_ns)}{part}" + ("" if fitted else f", {q.window_origin}")


def _ms(ns: int | None) -> str:
    if ns is None:
        return "-"
    return f"{ns / 1e6:.0f} ms" if ns >= 99_500_000 else f"{ns / 1e6:.1f} ms"


def _notes(found: Characterised) -> list[str]:
    lines = []
    if not found.on_s:
        lines.append("no load was made: windows and delays show only where power varied by itself")
    for f in found.found:
        if f.quality.reason and f.quality.verdict is not Verdict.ABSENT:
            lines.append(f"{_READINGS[f.quality.quantity]}: {f.quality.reason}")
        if f.quality.depth and f.quality.refresh_ns:
            kept_s = f.quality.depth * f.quality.refresh_ns / 1e9
            lines.append(f"{_READINGS[f.quality.quantity]}: the last {kept_s:.1f} s are kept")
    return lines + [_gate(gate) for gate in found.gates]


def _gate(gate: Gate) -> str:
    judged = "agrees" if gate.holds else "DISAGREES"
    if not gate.decides:
        judged += ", but that decides nothing"
    return (
        f"energy counter, {_STATES[gate.state]}: {gate.counter_j:.5g} J against"
        f" {gate.reference_j:.5g} J by {_READINGS[gate.reference]} over {gate.seconds:.1f} s"
        f" ({gate.apart * 100:+.1f} %): {judged}"
    )


def _compared(compared: Compared) -> list[str]:
    c = compared.calibration
    lines = [
        f"against {c.meter}, {c.compared_s:.0f} s of {_READINGS[compared.quantity]}"
        f" (the log's clock is {compared.shift_s:+.2f} s ahead):",
        f"  reported = {c.gain:.4f} × true {c.offset_w:+.2f} W, R² {c.r2:.5f},"
        f" ± {c.error * 100:.2f} % stays uncertain",
        f"  mean: {compared.raw_w:.1f} W raw, {compared.calibrated_w:.1f} W calibrated,"
        f" {compared.meter_w:.1f} W by the meter",
    ]
    if compared.gap_s:
        lines.append(
            f"  the log has gaps: {compared.gap_s:.0f} of {compared.span_s:.0f} s are missing"
            " and left out"
        )
    return lines


def _json(found: Characterised, compared: Compared | None) -> dict[str, Any]:
    return {
        "uuid": found.device.uuid,
        "name": found.device.name,
        "load_s": found.on_s,
        "readings": [
            {
                "quantity": f.quality.quantity,
                "verdict": f.quality.verdict,
                "reason": f.quality.reason,
                "refresh_s": _s(f.quality.refresh_ns),
                "depth": f.quality.depth,
                "window_s": _s(f.quality.window_ns),
                "window_origin": f.quality.window_origin,
                "lag_s": _s(f.quality.lag_ns),
                "delay_s": _s(f.quality.delay_ns),
                "rise_s": f.rise_s,
                "r2": f.r2,
                "against": f.against,
            }
            for f in found.found
        ],
        "counter": [
            {
                "state": g.state,
                "seconds": g.seconds,
                "counter_j": g.counter_j,
                "reference_j": g.reference_j,
                "reference": g.reference,
                "holds": g.holds,
                "decides": g.decides,
            }
            for g in found.gates
        ],
        "calibration": None
        if compared is None
        else calibration_to_json(compared.calibration)
        | {
            "quantity": compared.quantity,
            "log_ahead_s": compared.shift_s,
            "raw_mean_w": compared.raw_w,
            "calibrated_mean_w": compared.calibrated_w,
            "meter_mean_w": compared.meter_w,
            "overlap_s": compared.span_s,
            "gaps_s": compared.gap_s,
        },
    }


def _s(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e9
