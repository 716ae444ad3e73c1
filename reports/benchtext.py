"""The results of a benchmark for the terminal: the answer first, then a table, then doubts."""

from collections.abc import Iterator, Sequence

from vidmeter.meter.comparing import Comparison
from vidmeter.meter.device import Provenance
from vidmeter.reports.arms import Arm, unlike
from vidmeter.reports.format import digits, joules, seconds, watt_hours, watts
from vidmeter.reports.published import beside
from vidmeter.reports.terminal import unit_name

LABEL_WIDTH = 34


def render(
    arms: Sequence[Arm], comparison: Comparison | None = None, *, color: bool = False
) -> str:
    """Everything that a person wants to know at once; lines of at most 100 columns."""
    lines: list[str] = []
    if comparison is not None and len(arms) == 2:
        lines += [*_wrapped(_bold(verdict(comparison, arms[0], arms[1]), color)), ""]
        differing = unlike(arms[0], arms[1])
        if differing:
            lines += [*_wrapped(f"They differ in more than that: {'; '.join(differing)}"), ""]
    for weights in dict.fromkeys(arm.weights for arm in arms):
        group = [arm for arm in arms if arm.weights == weights]
        if weights is not None:
            lines.append(f"weights: {weights}")
        for unit in dict.fromkeys(arm.unit for arm in group):
            lines += _table(unit, [arm for arm in group if arm.unit == unit], color=color)
    for arm in arms:
        for doubt in arm.doubts:
            of = (
                f" (in {doubt.count} of {len(arm.repeats)} repeats)" if len(arm.repeats) > 1 else ""
            )
            which = f"{arm.label}: " if len(arms) > 1 else ""
            lines += [
                f"! {line}" if n == 0 else f"  {line}"
                for n, line in enumerate(_wrapped(f"{which}{doubt.text}{of}", 96))
            ]
            if doubt.remedy:
                lines += [f"  {line}" for line in _wrapped(doubt.remedy, 96)]
    return "\n".join(lines).rstrip() + "\n"


def verdict(found: Comparison, a: Arm, b: Arm) -> str:
    """A comparison in a sentence or two."""
    rounds = f"{found.rounds} round{'s' if found.rounds != 1 else ''}"
    if found.low is None or found.high is None:
        return f"{b.label} took {_change(found.ratio)} {a.label}; {rounds} tell no interval"
    interval = f"{_percent(found.low - 1)} to {_percent(found.high - 1)} %, {rounds}"
    if found.verdict == "not distinguishable":
        seen = ""
        if found.detectable is not None:
            seen = (
                f"; a difference of {100 * found.detectable:.2g} % would most likely have been seen"
            )
        elif found.aa_spread is not None:
            seen = "; fewer than five rounds claim nothing"
        return f"{a.label} and {b.label} are not distinguishable ({interval}){seen}"
    return f"{b.label} takes {_change(found.ratio)} {a.label} ({interval})"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:+.2f}" if abs(percent) < 1 else f"{percent:+.1f}"


def _change(ratio: float) -> str:
    change = 100 * (ratio - 1)
    return f"{abs(change):.3g} % {'more' if change >= 0 else 'less'} energy than"


def _table(unit: str, arms: Sequence[Arm], *, color: bool) -> Iterator[str]:
    head = (
        "",
        unit_name(unit) if unit != "j_per_repeat" else "J each",
        "energy",
        "time",
        "power",
        "pJ/FLOP",
    )
    rows = [_row(arm) for arm in arms]
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    widths[0] = min(max(widths[0], 8), LABEL_WIDTH)
    yield _bold(_line(head, widths), color)
    for arm, row in zip(arms, rows, strict=True):
        yield _line(row, widths)
        yield from (f"  {line}" for line in _wrapped(about(arm), 96))
        for other in beside(arm):
            yield from (f"  {line}" for line in _wrapped(other.words(), 96))
    yield ""


def _row(arm: Arm) -> tuple[str, ...]:
    found = arm.estimate()
    answer = "–"
    if found is not None:
        answer = digits(found.mean)
        if found.half_width is not None:
            answer += f" ± {digits(found.half_width)}"
    energy = arm.mean("energy_j")
    pj = arm.mean("pj_per_flop")
    return (
        arm.label if len(arm.label) <= LABEL_WIDTH else f"{arm.label[: LABEL_WIDTH - 1]}…",
        answer,
        joules(energy),
        seconds(arm.mean("seconds")),
        watts(arm.mean_w()),
        "–" if pj is None else digits(pj),
    )


def about(arm: Arm) -> str:
    """What stands under an arm: how it was measured, and what else it comes to."""
    found = arm.estimate()
    parts = [f"{len(arm.repeats)} repeats in {len({r.block for r in arm.repeats})} processes"]
    if len(arm.repeats) == 1:
        parts = ["1 repeat"]
    if found is not None and found.n > 2:
        parts.append(f"median {digits(found.median)}")
    gain = max(arm.gain())
    if gain and arm.provenance is Provenance.MEASURED:
        parts.append(f"sensor ± {100 * gain:.2g} %")
    if arm.task == "text-to-video" and (energy := arm.mean("energy_j")) is not None:
        videos = max(arm.repeats[0].work.get("videos", 1), 1)
        parts.append(f"{watt_hours(energy / videos)} per clip")
    tokens = arm.estimate("j_per_input_token")
    if tokens is not None:
        parts.append(f"{digits(tokens.mean)} J per input token")
    tflops, share = arm.mean("tflops"), arm.peak_share()
    if tflops is not None:
        of = f" ({100 * share:.0f} % of the peak)" if share else ""
        parts.append(f"{digits(tflops)} TFLOP/s{of}")
    idle = arm.idle_w()["loaded"]
    if idle is not None:
        parts.append(f"idle {watts(idle)}")
    if arm.provenance is Provenance.SIMULATED:
        parts.append("SIMULATED")
    elif arm.provenance is Provenance.MODELLED:
        parts.append("MODELLED, not measured")
    return ", ".join(parts)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])


def _wrapped(text: str, width: int = 98) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]


def _bold(text: str, color: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if color else text
