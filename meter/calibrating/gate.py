"""Is a card's energy counter true? It is held against another reading, at idle and under load.

Counters exist that advance by the same 33.9 J every 100 ms whatever the card does, and that read
187 J where the card's own readings say 327 J. On average over a run, such a counter may be right by
accident; so each state of the card is judged by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vidmeter.meter import energy
from vidmeter.meter.energy import Curve
from vidmeter.meter.run import Run, Trace
from vidmeter.meter.sample import Quantity

MOST_APART = 0.03
AGREE = 0.02
LEAST_S = 10.0
SHORTEST_NS = 3_000_000_000
"""Shorter stretches belong to no state: what was before still echoes in them."""
ECHO_NS = 500_000_000
_NAMES = {
    Quantity.POWER_RING: "the driver's samples say",
    Quantity.POWER_INSTANT: "instant power says",
    Quantity.POWER_USAGE: "the power reading says",
    Quantity.POWER_AVERAGE: "average power says",
}


@dataclass(frozen=True, slots=True)
class Gate:
    """A counter against a reference, in one `state` of the card: `idle`, `load`, or `any`.

    Energies are of the `seconds` that both saw, J. `decides` says that this is long enough and the
    reference is to be believed: the driver's samples, or two readings that agree.
    """

    state: str
    seconds: float
    counter_j: float
    reference_j: float
    reference: Quantity
    decides: bool

    @property
    def apart(self) -> float:
        """The counter over the reference, less 1."""
        return self.counter_j / self.reference_j - 1

    @property
    def holds(self) -> bool:
        """Whether they differ by no more than 3 %."""
        return abs(self.apart) <= MOST_APART

    @property
    def reason(self) -> str | None:
        """What is wrong with the counter, None if nothing is or nothing can be said."""
        if self.holds or not self.decides:
            return None
        when = {"idle": "idle", "load": "under load", "any": "watched"}[self.state]
        return (
            f"it says {self.counter_j:.4g} J where {_NAMES[self.reference]}"
            f" {self.reference_j:.4g} J ({self.apart * 100:+.0f} % over {self.seconds:.0f} s"
            f" {when})"
        )


def gates_of(run: Run, traces: Mapping[Quantity, Trace], edges: Sequence[int]) -> list[Gate]:
    """The counter in each state of the card; empty without a counter or anything to compare."""
    counter = traces.get(Quantity.ENERGY)
    if counter is None:
        return []
    mine = energy.counter(counter.t_ns, counter.value, ticking=True, nominal_ns=run.period_ns)
    others = {
        q: curve
        for q in _NAMES
        if (t := traces.get(q)) is not None and not (curve := _curve(run, q, t)).empty
    }
    found = []
    for state, spans in _states(run, edges).items():
        gate = _gate(state, spans, mine, others)
        if gate is not None:
            found.append(gate)
    return found


def _states(run: Run, edges: Sequence[int]) -> dict[str, list[tuple[int, int]]]:
    end = run.end_ns or max((t.t_ns[-1] for t in run.traces.values() if t.t_ns), default=0)
    if not edges:
        return {"any": [(run.start_ns, end)]}
    offs = [run.start_ns - ECHO_NS, *edges, end]
    return {
        "idle": _long(list(zip(offs[::2], offs[1::2], strict=True))),
        "load": _long(list(zip(edges[::2], edges[1::2], strict=True))),
    }


def _long(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(a + ECHO_NS, b) for a, b in spans if b - a >= SHORTEST_NS]


def _curve(run: Run, quantity: Quantity, trace: Trace) -> Curve:
    t, v = np.asarray(trace.t_ns, np.int64), np.asarray(trace.value, np.float64)
    t, v = t[v > 0], v[v > 0]
    if quantity is Quantity.POWER_RING:
        return energy.boxes(t, v, energy.usual_spacing_ns(t), nominal_ns=run.period_ns)
    return energy.points(t, v, nominal_ns=run.period_ns)


def _gate(
    state: str,
    spans: Sequence[tuple[int, int]],
    counter: Curve,
    others: Mapping[Quantity, Curve],
) -> Gate | None:
    joules = {
        q: j for q, curve in others.items() if (j := _both(counter, curve, spans)) is not None
    }
    if not joules:
        return None
    quantity, (counter_j, reference_j, seconds) = next(iter(joules.items()))
    believed = quantity is Quantity.POWER_RING or any(
        abs(j[1] / j[2] / (reference_j / seconds) - 1) <= AGREE
        for q, j in joules.items()
        if q is not quantity
    )
    decides = believed and seconds >= LEAST_S
    return Gate(state, seconds, counter_j, reference_j, quantity, decides)


def _both(
    counter: Curve, other: Curve, spans: Sequence[tuple[int, int]]
) -> tuple[float, float, float] | None:
    """Energies of counter and reference in what both saw of the spans, J, and how long that is."""
    if counter.empty or not spans:
        return None
    low = max(counter.t_ns[1], other.t_ns[0])
    high = min(counter.t_ns[-2], other.t_ns[-1])
    counted, read, seconds = 0.0, 0.0, 0.0
    for a, b in ((max(a, int(low)), min(b, int(high))) for a, b in spans):
        if b > a:
            mine, theirs = energy.energy(counter, a, b), energy.energy(other, a, b)
            if min(mine.coverage, theirs.coverage) > 0.99:
                counted += mine.covered_j
                read += theirs.covered_j
                seconds += (b - a) / 1e9
    return (counted, read, seconds) if seconds > 0 and read > 0 else None
