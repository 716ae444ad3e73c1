"""The GPU's clock on the host's: against a truth that the test made up itself."""

import random
import struct
from collections.abc import Sequence
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from vidmeter.meter.gputime import ANCHOR_NS, Timeline, quality, timelines
from vidmeter.meter.run import GpuEvent

US, MS, S = 1_000, 1_000_000, 1_000_000_000
BASE_NS = 7 * 86_400 * S
KEY = (1, "GPU-a")


def as_float32(value: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return rounded


def events(
    true_ns: Sequence[int],
    queued_ahead_ns: Sequence[int],
    seen_after_ns: Sequence[int],
    *,
    drift_ppm: float = 0.0,
    breaks: frozenset[int] = frozenset(),
) -> list[GpuEvent]:
    """What a process writes of events at these instants, with a GPU's clock that drifts."""
    gpu_ns = [(t - true_ns[0]) * (1 + drift_ppm * 1e-6) for t in true_ns]
    made = []
    for i, t in enumerate(true_ns):
        linked = i > 0 and i not in breaks
        elapsed = as_float32((gpu_ns[i] - gpu_ns[i - 1]) / MS) if linked else None
        recorded, seen = t - queued_ahead_ns[i], t + seen_after_ns[i]
        made.append(GpuEvent(1, i, "GPU-a", i - 1 if linked else None, elapsed, recorded, seen))
    return made


def only(made: Sequence[GpuEvent]) -> Timeline:
    found = timelines(made)
    assert list(found) == [KEY]
    return found[KEY]


def worst_ns(line: Timeline, true_ns: Sequence[int]) -> int:
    assert set(line.at_ns) == set(range(len(true_ns)))
    return max(abs(line.at_ns[i] - t) for i, t in enumerate(true_ns))


def every(step_ns: int, count: int) -> list[int]:
    return [BASE_NS + i * step_ns for i in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    drift_ppm=st.floats(-100, 100),
    seed=st.integers(0, 2**32),
    quiet_at_start=st.integers(1, 5),
    quiet_at_end=st.integers(1, 5),
)
def test_ten_minutes_queued_ahead_are_placed_within_half_a_millisecond(
    drift_ppm: float, seed: int, quiet_at_start: int, quiet_at_end: int
) -> None:
    # Idle before and after only; in between the host is far ahead and looks late.
    rng = random.Random(seed)
    steps = [rng.randrange(1 * MS, 2 * S) for _ in range(600)]
    true_ns = list(accumulate(steps, initial=BASE_NS))
    quiet = {*range(quiet_at_start), *range(len(true_ns) - quiet_at_end, len(true_ns))}
    ahead = [rng.randrange(60 * US if i in quiet else 20 * S) for i in range(len(true_ns))]
    late = [rng.randrange(60 * US if i in quiet else 3 * S) for i in range(len(true_ns))]

    line = only(events(true_ns, ahead, late, drift_ppm=drift_ppm))

    assert worst_ns(line, true_ns) <= line.error_ns <= 500 * US
    assert line.anchors >= quiet_at_start + quiet_at_end


@settings(max_examples=100, deadline=None)
@given(
    drift_ppm=st.floats(-100, 100),
    steps=st.lists(st.integers(-5 * MS, 30 * S), min_size=1, max_size=40),
    ahead=st.lists(st.integers(0, 60 * S), min_size=41, max_size=41),
    late=st.lists(st.integers(0, 60 * S), min_size=41, max_size=41),
    tight=st.sets(st.integers(0, 40), max_size=4),
    breaks=st.frozensets(st.integers(1, 40), max_size=3),
)
def test_the_error_is_never_understated(
    drift_ppm: float,
    steps: list[int],
    ahead: list[int],
    late: list[int],
    tight: set[int],
    breaks: frozenset[int],
) -> None:
    true_ns = list(accumulate(steps, initial=BASE_NS))
    ahead = [v // 1_000_000 if i in tight else v for i, v in enumerate(ahead)]
    late = [v // 1_000_000 if i in tight else v for i, v in enumerate(late)]

    line = only(events(true_ns, ahead, late, drift_ppm=drift_ppm, breaks=breaks))

    assert worst_ns(line, true_ns) <= line.error_ns


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_rounding_of_a_chain_stays_below_ten_microseconds_over_ten_minutes(seed: int) -> None:
    # Tied together once, without drift: what is left is the rounding of some 6000 links.
    rng = random.Random(seed)
    true_ns = list(accumulate((rng.randrange(200 * MS) for _ in range(6000)), initial=BASE_NS))
    wide = [0] + [30 * S] * 6000

    line = only(events(true_ns, wide, wide))

    assert worst_ns(line, true_ns) < 10 * US


@given(step_ns=st.integers(50 * MS, 60 * S))
@settings(max_examples=20, deadline=None)
def test_rounding_that_is_the_same_at_every_link_is_taken_out_as_a_drift(step_ns: int) -> None:
    true_ns = every(step_ns, 600 * S // step_ns + 1)
    wide = [0] + [30 * S] * (len(true_ns) - 2) + [0]

    line = only(events(true_ns, wide, wide))

    assert worst_ns(line, true_ns) < 10 * US


def test_what_is_left_of_the_drift_is_below_a_millisecond_over_ten_minutes() -> None:
    true_ns = every(S, 601)
    ends = (0, 1, 599, 600)
    wide = [20 * US if i in ends else 9 * S for i in range(601)]

    line = only(events(true_ns, wide, wide, drift_ppm=87.0))

    assert worst_ns(line, true_ns) < 50 * US
    assert line.error_ns < MS


def test_a_drift_that_wanders_is_within_the_error_that_is_told() -> None:
    # As a card that warms up: 40 ppm, and one less at the end.
    true_ns = every(S, 601)
    gpu_ns = [i * S * (1 + 40e-6) - 1e-6 * S * i * i / 1200 for i in range(601)]
    ends = (0, 600)
    made = []
    for i, t in enumerate(true_ns):
        wide = 20 * US if i in ends else 9 * S
        ms = as_float32((gpu_ns[i] - gpu_ns[i - 1]) / MS) if i else None
        made.append(GpuEvent(1, i, "GPU-a", i - 1 if i else None, ms, t - wide, t + wide))

    line = only(made)

    assert 60 * US < worst_ns(line, true_ns) <= line.error_ns <= 500 * US


def test_a_drift_that_changes_is_followed_from_anchor_to_anchor() -> None:
    true_ns = every(S, 601)
    rates = [40e-6 if i <= 300 else 48e-6 for i in range(1, 601)]
    made = []
    for i, t in enumerate(true_ns):
        wide = 20 * US if i % 10 == 0 else 9 * S
        ms = as_float32(S * (1 + rates[i - 1]) / MS) if i else None
        made.append(GpuEvent(1, i, "GPU-a", i - 1 if i else None, ms, t - wide, t + wide))

    line = only(made)

    assert worst_ns(line, true_ns) <= line.error_ns < 200 * US


def test_two_anchors_too_close_to_tell_the_drift_do_not_tell_it() -> None:
    # They would allow for 1000 ppm; no two clocks differ by more than a tenth of that.
    true_ns = [BASE_NS, BASE_NS + 100 * MS, *(BASE_NS + i * S for i in range(1, 61))]
    wide = [50 * US] * 2 + [30 * S] * 60

    line = only(events(true_ns, wide, wide, drift_ppm=90.0))

    assert worst_ns(line, true_ns) <= line.error_ns < 7 * MS


def test_anchors_that_no_clock_could_have_are_not_taken_for_a_drift() -> None:
    # The host's clock jumped by 5 ms within a second.
    made = events(every(S, 2), [20 * US] * 2, [20 * US] * 2)
    late = made[1]._replace(
        recorded_ns=made[1].recorded_ns + 5 * MS, seen_ns=made[1].seen_ns + 5 * MS
    )

    assert only([made[0], late]).error_ns > 2 * MS


@settings(max_examples=20, deadline=None)
@given(forth_ns=st.integers(40 * S, 60 * S), back_ns=st.integers(-60 * S, -40 * S))
def test_rounding_there_and_back_between_two_streams_is_within_the_error(
    forth_ns: int, back_ns: int
) -> None:
    true_ns = list(accumulate([forth_ns, back_ns] * 100, initial=BASE_NS))
    wide = [0] + [3_600 * S] * 200
    wide[-1] = 0

    line = only(events(true_ns, wide, wide))

    assert worst_ns(line, true_ns) <= line.error_ns


def test_a_link_that_is_no_number_starts_a_new_chain() -> None:
    true_ns = every(100 * MS, 5)
    made = events(true_ns, [20 * US] * 5, [20 * US] * 5)
    made[3] = made[3]._replace(elapsed_ms=float("inf"))

    line = only(made)

    assert worst_ns(line, true_ns) <= line.error_ns < 50 * US


def test_an_event_that_is_told_twice_counts_once() -> None:
    made = events(every(100 * MS, 5), [20 * US] * 5, [20 * US] * 5)

    assert only([*made, *made]) == only(made)


def test_an_event_seen_before_it_was_queued_is_no_anchor_and_widens_the_error() -> None:
    true_ns = every(100 * MS, 5)
    made = events(true_ns, [20 * US] * 5, [20 * US] * 5)
    made[2] = made[2]._replace(recorded_ns=made[2].seen_ns, seen_ns=made[2].recorded_ns - 3 * MS)

    line = only(made)

    assert line.anchors == 4
    assert line.error_ns > MS
    assert worst_ns(line, true_ns) <= line.error_ns


def test_without_an_anchor_the_tightest_bounds_of_all_events_count_together() -> None:
    # One event was queued 1 ms before its time, another was seen 1 ms after its own.
    true_ns = every(10 * MS, 20)
    ahead = [MS if i == 4 else 700 * MS for i in range(20)]
    late = [MS if i == 15 else 400 * MS for i in range(20)]

    line = only(events(true_ns, ahead, late, drift_ppm=30.0))

    assert line.anchors == 0
    assert worst_ns(line, true_ns) <= line.error_ns
    assert MS <= line.error_ns < MS + 20 * US


def test_a_chain_after_a_break_is_tied_by_its_own_anchor_and_drifts_as_the_others_do() -> None:
    # The second chain has one anchor, at its start, and goes on for minutes without another.
    true_ns = [*every(S, 300), *(BASE_NS + 500 * S + i * S for i in range(300))]
    quiet = {0, 150, 299, 300}
    wide = [20 * US if i in quiet else 9 * S for i in range(600)]

    line = only(events(true_ns, wide, wide, drift_ppm=-64.0, breaks=frozenset({300})))

    assert worst_ns(line, true_ns) <= line.error_ns <= 500 * US


def test_events_that_were_never_seen_leave_the_others_where_they_were() -> None:
    true_ns = every(100 * MS, 30)
    made = events(true_ns, [20 * US] * 30, [20 * US] * 30)

    crashed = only(made[:20])

    assert worst_ns(crashed, true_ns[:20]) <= crashed.error_ns < 50 * US


def test_a_missing_link_starts_a_new_chain() -> None:
    true_ns = every(100 * MS, 30)
    made = events(true_ns, [20 * US] * 30, [20 * US] * 30)
    del made[10]

    line = only(made)

    assert 10 not in line.at_ns
    assert max(abs(line.at_ns[e.seq] - true_ns[e.seq]) for e in made) <= line.error_ns < 50 * US


def test_events_of_two_streams_may_lie_in_another_order_than_they_were_read() -> None:
    true_ns = [BASE_NS, BASE_NS + 900 * MS, BASE_NS + 200 * MS, BASE_NS + 300 * MS]
    line = only(events(true_ns, [10 * US] * 4, [10 * US] * 4, drift_ppm=50.0))

    assert worst_ns(line, true_ns) <= line.error_ns < 30 * US


def test_bounds_that_contradict_each_other_widen_the_error() -> None:
    true_ns = every(S, 60)
    honest = events(true_ns, [20 * US] * 60, [20 * US] * 60)
    # A host's clock that jumped, or a line that is wrong.
    bad = honest[30]._replace(
        recorded_ns=honest[30].recorded_ns + 5 * MS, seen_ns=honest[30].seen_ns + 5 * MS
    )
    made = [*honest[:30], bad, *honest[31:]]

    line = only(made)

    assert only(honest).error_ns < 50 * US
    assert worst_ns(line, true_ns) <= line.error_ns
    assert line.error_ns > 2 * MS


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.builds(
            GpuEvent,
            pid=st.integers(1, 2),
            seq=st.integers(0, 8),
            device=st.sampled_from(["GPU-a", "cuda:0"]),
            previous=st.none() | st.integers(0, 8),
            elapsed_ms=st.none() | st.floats(width=32),
            recorded_ns=st.integers(0, 2**62),
            seen_ns=st.integers(0, 2**62),
        ),
        max_size=12,
    )
)
def test_no_data_whatever_makes_it_fail(made: list[GpuEvent]) -> None:
    found = timelines(made)

    assert set(found) == {(e.pid, e.device) for e in made}
    for key, line in found.items():
        assert set(line.at_ns) == {e.seq for e in made if (e.pid, e.device) == key}
        assert line.error_ns >= 0


def test_devices_and_processes_have_their_own_timelines_and_one_quality() -> None:
    first = events(every(S, 3), [20 * US] * 3, [20 * US] * 3)
    second = [e._replace(device="GPU-b", seen_ns=e.seen_ns + ANCHOR_NS) for e in first]
    third = [e._replace(pid=2) for e in first[:1]]

    found = timelines([*first, *second, *third])

    assert {key: line.anchors for key, line in found.items()} == {
        (1, "GPU-a"): 3,
        (1, "GPU-b"): 0,
        (2, "GPU-a"): 1,
    }
    told = quality(found.values())
    assert told is not None
    assert (told.error_ns, told.anchors) == (found[1, "GPU-b"].error_ns, 4)


def test_without_events_there_is_no_timeline_and_nothing_to_say() -> None:
    assert timelines([]) == {}
    assert quality(()) is None
