"""What is said of a bench's arms in words, the same in the terminal and on the page."""

from collections.abc import Mapping, Sequence

from vidmeter.meter.device import Provenance
from vidmeter.meter.statistics import CONFIDENCE, Estimate
from vidmeter.reports.arm import Arm
from vidmeter.reports.comparison import Compared, PhaseDifference
from vidmeter.reports.format import digits, joules, percent, seconds, watt_hours, watts
from vidmeter.reports.peaks import share_of_peak

MOST_PHASES = 12


def letters(n: int) -> str:
    """What the n-th arm is called in a comparison, from 0: A, B … Z, A1, B1 …"""
    turn, place = divmod(n, 26)
    return chr(ord("A") + place) + (str(turn) if turn else "")


def sentence_of(c: Compared, *, a: str, b: str) -> str:
    """`B takes 3.1 % more than A (2.4 to 3.8 %), 6 rounds`, or that it can't be told apart."""
    found = c.found
    if found is None:
        return f"{a} and {b} are not compared: {c.why}"
    of = f"{found.rounds} round{'s' if found.rounds != 1 else ''}"
    if not c.interleaved:
        of = f"{len(c.a.known)} and {len(c.b.known)} runs, not interleaved"
    change = found.ratio - 1
    interval = ""
    if found.low is not None and found.high is not None:
        interval = f" ({_range(found.low - 1, found.high - 1, negated=change < 0)})"
    if found.verdict != "not distinguishable":
        word = "more" if change > 0 else "less"
        return f"{b} takes {difference(abs(change))} {word} than {a}{interval}, {of}"
    text = f"{a} and {b} are not distinguishable"
    if found.detectable is not None:
        seen = difference(found.detectable)
        return f"{text}: a difference of {seen} or more would have been seen, {of}"
    few = f"{of}{'' if c.interleaved else ','} {'is' if of == '1 round' else 'are'} too few"
    return f"{text}: {few} to claim a difference"


def comparison_notes(c: Compared, *, a: str, b: str) -> list[str]:
    """What has to be known beside the sentence."""
    return seen_notes(c, a=a, b=b) + unlike_notes(c, a=a, b=b)


def seen_notes(c: Compared, *, a: str, b: str) -> list[str]:
    """What was seen where nothing is claimed, and how far an arm is from itself."""
    notes, found = [], c.found
    if found is not None and found.verdict == "not distinguishable":
        text = f"What was seen: {b} takes {signed(found.ratio - 1)} against {a}"
        if found.low is not None and found.high is not None:
            text += f" (95 % interval: {signed(found.low - 1)} to {signed(found.high - 1)})"
        notes.append(f"{text}.")
    if found is not None and found.aa_spread is not None:
        notes.append(
            f"An arm was within {difference(found.aa_spread)} of itself in this session"
            + (f"; p = {found.p:.2g}." if found.p is not None else ".")
        )
    return notes


def unlike_notes(c: Compared, *, a: str, b: str) -> list[str]:
    """What isn't alike beside the energy: no result goes without it."""
    notes = []
    if c.with_gain and c.found is not None and c.found.low is not None:
        notes.append(
            f"{a} and {b} were measured by different sensors, whose gains don't cancel: they are in"
            " the interval."
        )
    if c.a.weights != c.b.weights:
        notes.append(
            f"The weights differ ({a}: {c.a.weights or 'none'}, {b}: {c.b.weights or 'none'}):"
            " part of the difference may be theirs."
        )
    others = [field for field in c.unlike if not field.startswith("weights: ")]
    if others:
        notes.append(f"They differ in {'; '.join(others)}.")
    return notes


def phase_words(phase: PhaseDifference) -> tuple[str, str, str, str, str]:
    """A phase's name, what it takes in A and B, the difference, and its interval."""
    change = phase.difference
    interval = ""
    if change.low is not None and change.high is not None:
        interval = f"{_plus(change.low)} to {_plus(change.high)}"
    a, b = ("" if value is None else digits(value) for value in (phase.a, phase.b))
    return " › ".join(phase.path), a, b, _plus(change.value), interval


def phases_told(c: Compared) -> list[PhaseDifference]:
    """The phases that make up the difference: those of at least a hundredth of the largest part."""
    largest = max((abs(p.difference.value) for p in c.phases), default=0.0)
    return [p for p in c.phases if abs(p.difference.value) >= largest / 100][:MOST_PHASES]


def together(arms: Sequence[Arm]) -> list[list[Arm]]:
    """Arms that may stand in one table or picture: same figure, measured apart from what wasn't,
    random weights apart from others.
    """
    groups: dict[tuple[str, bool, Provenance | None], list[Arm]] = {}
    for arm in arms:
        key = (arm.headline, arm.weights == "random", arm.provenance)
        groups.setdefault(key, []).append(arm)
    return list(groups.values())


def unit_words(arm: Arm) -> str:
    """The unit of its figure, with where that is from if it wasn't measured."""
    measured = arm.provenance in (None, Provenance.MEASURED)
    return arm.unit if measured else f"{arm.unit}, {arm.provenance}"


def marks(arm: Arm) -> list[str]:
    """What stands beside every number of it: where it is from, and random weights."""
    found = []
    if arm.provenance is not None and arm.provenance is not Provenance.MEASURED:
        found.append(arm.provenance.upper())
    if arm.weights == "random":
        found.append("weights: random")
    if any(not r.summary.total.trusted for r in arm.repeats):
        found.append("NOT TRUSTED")
    return found


def interval_words(found: Estimate) -> str:
    """`±1.2 % (95 %, 3 processes)`; empty for a single value."""
    if found.relative is None:
        return ""
    basis = f"{found.blocks} processes" if found.basis == "blocks" else f"{found.n} repeats"
    return f"±{difference(found.relative)} ({CONFIDENCE * 100:.0f} %, {basis})"


def wide_words(arm: Arm) -> str:
    """The interval of the figure in true joules; empty if unknown, or if the gain adds nothing."""
    found, wide = arm.estimate, arm.absolute
    if found is None or wide is None or (wide.low, wide.high) == (found.low, found.high):
        return ""
    between = f"{digits(max(wide.low, 0.0))} to {digits(wide.high)}"  # no energy is below 0
    if found.n == 1:
        return f"one repeat; readings and the sensor's gain leave {between} open"
    return f"{between} in true joules, with the sensor's gain"


def more_words(arm: Arm) -> list[str]:
    """The figures beside the headline, each with its unit."""
    words = [
        f"{digits(found.mean)} {text}"
        for name, text in {
            "j_per_video_second": "J per second of video",
            "j_per_input_token": "J per input token",
        }.items()
        if name != arm.headline and (found := arm.estimate_of(name))
    ]
    if clip := arm.estimate_of("wh_per_clip"):
        words.append(f"{watt_hours(clip.mean)} per clip")
    whole = "" if arm.headline == "j_per_run" else f"{joules(arm.energy_j)} in "
    words.append(f"{whole}{seconds(arm.seconds)} a repeat")
    if arm.mean_w is not None:
        words.append(f"{watts(arm.mean_w)} mean")
    return words


def operation_words(arm: Arm) -> list[str]:
    """What it took for an operation, and how fast they went; empty where they aren't counted."""
    if arm.pj_per_flop is None or arm.tflops is None:
        return []
    found = [f"{digits(arm.pj_per_flop)} pJ per FLOP", f"{digits(arm.tflops)} TFLOP/s"]
    if reached := share_of_peak(arm):
        share, peak = reached
        found.append(f"{percent(share)} of the {digits(peak.tflops)} of the data sheet")
    return found


def idle_words(arm: Arm) -> list[str]:
    """The idle draw before, loaded and after, and the energy beyond it."""
    names = {"no_context": "without the program", "loaded": "loaded", "after": "after the repeats"}
    idle_w: Mapping[str, float | None] = arm.protocol["idle_w"]
    words = [f"{watts(idle_w[k])} {text}" for k, text in names.items() if idle_w[k] is not None]
    found = ["idle " + ", ".join(words)] if words else []
    if arm.net_j is not None:
        found.append(f"net of idle {joules(arm.net_j)} a repeat")
    return found


def repeats_words(arm: Arm) -> str:
    """How many repeats in how many processes, and how far apart they are."""
    n, blocks = len(arm.repeats), len({r.block for r in arm.repeats})
    text = f"{n} repeat{'s' * (n != 1)} in {blocks} process{'es' * (blocks != 1)}"
    found = arm.estimate
    if found is not None and found.n > 1:
        text += f", median {digits(found.median)}"
        if found.sd is not None and found.mean:
            text += f", standard deviation {difference(found.sd / abs(found.mean))}"
    if arm.outliers:
        text += f", outliers: {', '.join(map(str, arm.outliers))}"
    return text


def trained_words(arm: Arm) -> str:
    """That published figures are of trained weights, where the arm's are random."""
    return " (with trained weights; here they are random)" if arm.weights == "random" else ""


def difference(share: float) -> str:
    """A share as a difference: one decimal, more where that would be none."""
    value = abs(share) * 100
    return f"{value:.1f} %" if value >= 0.95 else f"{value:.2g} %"


def _plus(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{digits(abs(value))}"


def signed(share: float) -> str:
    """A share as a difference with its sign."""
    return f"{'+' if share >= 0 else '−'}{difference(share)}"


def _range(low: float, high: float, *, negated: bool) -> str:
    """`2.4 to 3.8 %` of a difference whose direction is said in words."""
    ends = (-high, -low) if negated else (low, high)
    return f"{ends[0] * 100:.2g} to {ends[1] * 100:.2g} %".replace("-", "−")
