"""What is to be said of a phase beside its numbers: marks, the facts of its call, its first time.

Used by the terminal and by the page, so that both say the same.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from vidmeter.meter.summary import GpuTime, PhaseSummary
from vidmeter.reports.format import digits, joules, seconds

SLOW_FIRST = 1.5
"""A first repetition that takes this many times as long as the others stands apart."""
FEWEST = 3
"""Of fewer repetitions in a process, none stands apart."""
UNRESOLVED = "below resolution"
WIDE = 0.02
"""An interval that is wider than this share of the energy is told."""


def marks(phase: PhaseSummary) -> list[str]:
    """What a reader has to know of a phase's numbers, in a word each."""
    found = [
        (not phase.complete, "left open"),
        (phase.error is not None, phase.error or ""),
        (not phase.resolved and not phase.combined, UNRESOLVED),
        (phase.combined, "combined"),
    ]
    return [word for holds, word in found if holds]


def company(phase: PhaseSummary, around: PhaseSummary | None) -> list[str]:
    """`beside others` and `2 processes`, each where it isn't so of the phase around it as well."""
    found = []
    if phase.concurrent and not (around is not None and around.concurrent):
        found.append("beside others")
    if phase.processes > 1 and not (around is not None and around.processes == phase.processes):
        found.append(f"{phase.processes} processes")
    return found


def facts_in_words(facts: Mapping[str, Any]) -> str:
    """`WanPipeline, 17 frames 192×128, 8 steps, guidance 5 (2 forwards a step)`, and so on.

    Empty where the facts are not those of a model or a pipeline; those unknown are left out.
    """
    name = facts.get("class")
    if not isinstance(name, str) or not name:
        return ""
    return ", ".join([name, *_asked(facts), *_tokens(facts), *_how(facts)])


def first_in_words(phase: PhaseSummary) -> str:
    """`first 3.1 s, 2.1 kJ; the others 1.4 s each`, where the first of several took much longer."""
    first_s, rest_s = phase.first_s, phase.rest_mean_s
    few = phase.count < FEWEST * phase.processes
    if few or first_s is None or not rest_s or first_s <= SLOW_FIRST * rest_s:
        return ""
    first_j = "" if phase.first_j is None else f", {joules(phase.first_j)}"
    return f"first {seconds(first_s)}{first_j}; the others {seconds(rest_s)} each"


def interval(phase: PhaseSummary) -> str:
    """The 95 % interval of a phase's energy, `±4 %` or `−3 to +9 %`, where it is a wide one."""
    total = phase.total
    if not total.energy_j or total.low_j is None or total.high_j is None:
        return ""
    low, high = total.low_j / total.energy_j - 1, total.high_j / total.energy_j - 1
    return both(low, high) if high - low > WIDE else ""


def both(low: float, high: float) -> str:
    """`±5 %`, or `−3 to +40 %` where the two ends differ."""
    if abs(low + high) <= 0.02 * max(abs(low), abs(high), 1e-9):
        return f"±{_two(high * 100)} %"
    text = f"{'+' if low > 0 else ''}{_two(low * 100)} to +{_two(high * 100)} %"
    return text.replace("-", "−")


def gpu_time_in_words(gpu_time: GpuTime | None) -> str:
    """`phases lie on the GPU's own time, to 14 µs (12 anchors)`; empty where there is none."""
    if gpu_time is None:
        return ""
    count, error_us = gpu_time.anchors, gpu_time.error_ns / 1e3
    error = f"{error_us:.2g} µs" if error_us < 100 else seconds(error_us / 1e6)
    return (
        f"phases lie on the GPU's own time, to {error}"
        f" ({count} anchor{'' if count == 1 else 's'} to the host's)"
    )


def _two(value: float) -> str:
    """Two digits, and never an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}"


def _asked(facts: Mapping[str, Any]) -> Iterator[str]:
    batch, frames = _number(facts, "batch"), _number(facts, "frames")
    width, height = _number(facts, "width"), _number(facts, "height")
    if batch and batch > 1:
        yield f"batch {digits(batch)}"
    size = f"{digits(width)}×{digits(height)}" if width and height else ""
    if frames:
        yield f"{digits(frames)} frames {size}".rstrip()
    elif size:
        yield size
    steps = _number(facts, "steps")
    if steps:
        yield f"{digits(steps)} step{'' if steps == 1 else 's'}"
    guidance, forwards = _number(facts, "guidance"), _number(facts, "forwards_per_step")
    each = f"{digits(forwards)} forwards a step" if forwards and forwards != 1 else ""
    if guidance:
        yield f"guidance {digits(guidance)}" + (f" ({each})" if each else "")
    elif each:
        yield each


def _tokens(facts: Mapping[str, Any]) -> Iterator[str]:
    for key, word in (("input_tokens", "tokens in"), ("output_tokens", "tokens out")):
        count = _number(facts, key)
        if count is not None:
            yield f"{digits(count)} {word}"


def _how(facts: Mapping[str, Any]) -> Iterator[str]:
    for key, word in (("dtype", ""), ("attention", " attention")):
        if isinstance(facts.get(key), str) and facts[key]:
            yield facts[key] + word
    offload = facts.get("offload")
    if isinstance(offload, str) and offload:
        yield f"{offload} offload"
    yield from (word for key, word in (("compiled", "compiled"), ("tiling", "tiled"))
                if facts.get(key))  # fmt: skip


def _number(facts: Mapping[str, Any], key: str) -> float | None:
    value = facts.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
