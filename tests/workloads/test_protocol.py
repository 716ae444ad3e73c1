import json
import random
from dataclasses import replace

import pytest

from vidmeter.workloads.protocol import (
    COMMANDS,
    QUICK,
    Arm,
    Block,
    Next,
    Plan,
    Repeat,
    Rules,
    Stop,
    from_json,
    left_s,
    next_block,
    order_of,
    rounds_of,
    to_json,
)


def carried_out(
    plan: Plan, draw: "random.Random | None" = None, *, seconds: float = 30.0, sd: float = 0.001
) -> tuple[list[Block], Stop]:
    """A bench in no time: repeats of 100 J (200 J for the second arm) with a spread."""
    draw = draw or random.Random(0)
    blocks: list[Block] = []
    for _ in range(1000):
        chosen = next_block(plan, blocks, sum(b.seconds for b in blocks))
        if isinstance(chosen, Stop):
            return blocks, chosen
        mean = 100.0 * (chosen.arm + 1) * draw.gauss(1, sd)
        repeats = tuple(
            Repeat(n, f"{chosen.arm}-{n}", mean * draw.gauss(1, sd), seconds)
            for n in chosen.repeats
        )
        blocks.append(
            Block(chosen.arm, chosen.round, chosen.number, repeats, seconds * len(repeats))
        )
    raise AssertionError("it never ends")


def numbers(blocks: list[Block], arm: int) -> list[int]:
    return [r.number for b in blocks if b.arm == arm for r in b.repeats]


def plan(*labels: str, rules: Rules | None = None, versus: bool = False) -> Plan:
    return Plan(tuple(Arm(label, label) for label in labels), rules or Rules(), versus)


def test_an_arm_has_five_repeats_in_three_processes_and_a_minute_at_least() -> None:
    blocks, stop = carried_out(plan("a"))
    assert [len(b.repeats) for b in blocks] == [2, 2, 2]
    assert numbers(blocks, 0) == [1, 2, 3, 4, 5, 6]
    assert stop.reason == "within ±2 %"


def test_short_repeats_go_on_until_a_minute_is_measured() -> None:
    for seconds in (0.25, 2.0, 7.0):
        blocks, stop = carried_out(plan("a"), seconds=seconds)
        assert sum(r.seconds for b in blocks for r in b.repeats) >= 60
        assert stop.reason == "within ±2 %"
        assert len(blocks) <= 4, "they are more in each process, not more processes"
    measured = Plan((Arm("a", "a", least_s=600.0),), Rules())
    blocks, _ = carried_out(measured, seconds=5.0)
    assert 600 <= sum(r.seconds for b in blocks for r in b.repeats) < 900


def test_short_repeats_end_with_the_processes_that_longer_ones_would_take() -> None:
    blocks, stop = carried_out(plan("a"), sd=0.2, seconds=1.0)
    assert len(blocks) == 10
    assert stop.reason == "10 processes are the most"


def test_a_budget_sees_that_the_second_block_of_short_repeats_is_longer() -> None:
    blocks, _ = carried_out(plan("a", rules=Rules(budget_s=20.0)), seconds=1.0)
    assert len(blocks) == 1, "two repeats took 2 s, and twenty would follow"


def test_a_wide_interval_is_narrowed_until_the_most_repeats_are_made() -> None:
    blocks, stop = carried_out(plan("a"), sd=0.2)
    assert len(numbers(blocks, 0)) == 20
    assert stop.reason == "20 repeats are the most"


def test_every_round_has_each_arm_once_in_an_order_of_its_own() -> None:
    bench = plan("a", "b", "c")
    blocks, _ = carried_out(bench)
    rounds = [[b.arm for b in blocks if b.round == r] for r in (1, 2, 3)]
    assert [sorted(r) for r in rounds] == [[0, 1, 2]] * 3
    assert rounds == [order_of(bench, r) for r in (1, 2, 3)]
    orders = {tuple(order_of(bench, r)) for r in range(100)}
    assert len(orders) == 6, "all orders come"
    other = replace(bench, rules=replace(bench.rules, seed=1))
    assert [order_of(other, r) for r in range(9)] != [order_of(bench, r) for r in range(9)]


def test_an_arm_that_is_done_leaves_the_rounds_to_the_others() -> None:
    bench = Plan((Arm("a", "a", repeats=2), Arm("b", "b")), Rules())
    blocks, _ = carried_out(bench)
    assert numbers(blocks, 0) == [1, 2]
    assert len(numbers(blocks, 1)) == 6


@pytest.mark.parametrize("wanted", [1, 2, 3, 5, 7])
def test_a_stated_number_of_repeats_is_made_exactly(wanted: int) -> None:
    blocks, stop = carried_out(plan("a", rules=Rules(repeats=wanted)))
    assert numbers(blocks, 0) == list(range(1, wanted + 1))
    assert len(blocks) == min(wanted, 3) or len(blocks) == -(-wanted // 2)
    assert stop.reason == "all repeats are made"


def test_a_stated_number_in_each_block_stands_above_spreading_them() -> None:
    blocks, _ = carried_out(plan("a", rules=Rules(repeats=5, per_block=3)))
    assert [len(b.repeats) for b in blocks] == [3, 2]
    blocks, _ = carried_out(plan("a", rules=Rules(repeats=3, per_block=3)))
    assert [len(b.repeats) for b in blocks] == [3]


def test_quick_is_one_repeat_of_each() -> None:
    blocks, _ = carried_out(plan("a", "b", rules=QUICK))
    assert sorted(numbers(blocks, 0) + numbers(blocks, 1)) == [1, 1]


def test_commands_are_started_anew_for_every_repeat() -> None:
    blocks, _ = carried_out(plan("a", rules=COMMANDS))
    assert all(len(b.repeats) == 1 for b in blocks)
    assert len(blocks) == 5


def test_no_block_is_started_that_would_end_after_the_budget_but_one_always_is() -> None:
    blocks, stop = carried_out(plan("a", rules=Rules(budget_s=150.0)))
    assert [b.seconds for b in blocks] == [60.0, 60.0]
    assert stop.reason == "the budget of 150 s is used up"
    blocks, _ = carried_out(plan("a", rules=Rules(budget_s=1.0)))
    assert len(blocks) == 1


def test_an_arm_in_trouble_is_left_and_the_others_go_on() -> None:
    bench = plan("a", "b")
    first = Block(0, 1, 1, (), 5.0, trouble="ended with exit code 2")
    chosen = next_block(bench, [first], 5.0)
    assert isinstance(chosen, Next) and chosen.arm == 1
    done, _ = carried_out(plan("b"))
    others = [replace(b, arm=1) for b in done]
    stop = next_block(bench, [first, *others], 5.0)
    assert isinstance(stop, Stop)
    assert "a: ended with exit code 2" in stop.reason


def test_a_comparison_goes_on_until_its_ratio_is_sharp_and_has_five_rounds() -> None:
    blocks, stop = carried_out(plan("a", "b", versus=True))
    assert len(rounds_of(blocks)) == 5
    assert stop.reason == "the comparison is within its target"
    rough, _ = carried_out(
        plan("a", "b", rules=Rules(most_repeats=60), versus=True), random.Random(1), sd=0.03
    )
    assert len(rounds_of(rough)) > 5


def test_rounds_pair_the_mean_energies_of_both_arms() -> None:
    blocks = [
        Block(1, 1, 1, (Repeat(1, "", 4.0, 1.0), Repeat(2, "", 6.0, 1.0)), 2.0),
        Block(0, 1, 1, (Repeat(1, "", 1.0, 1.0), Repeat(2, "", None, 1.0)), 2.0),
        Block(0, 2, 2, (Repeat(3, "", 2.0, 1.0),), 2.0),
    ]
    assert rounds_of(blocks) == [(1.0, 5.0)]


def test_the_time_that_is_left_is_that_of_the_blocks_that_are_missing() -> None:
    bench = plan("a", "b")
    assert left_s(bench, [], 0.0) is None
    one = Block(0, 1, 1, (Repeat(1, "", 1.0, 30.0), Repeat(2, "", 1.0, 30.0)), 100.0)
    assert left_s(bench, [one], 100.0) == 500.0
    short = replace(bench, rules=Rules(budget_s=250.0))
    assert left_s(short, [one], 100.0) == 150.0


def test_plan_and_blocks_survive_the_way_through_the_file() -> None:
    bench = Plan(
        (Arm("a", "a", {"steps": "3"}, repeats=2), Arm("b", command=("python", "b.py"))),
        Rules(budget_s=3.0),
        versus=True,
    )
    blocks = [Block(0, 1, 1, (Repeat(1, "p", None, 2.0),), 3.0, "interrupted")]
    assert from_json(json.loads(json.dumps(to_json(bench, blocks, 4.5)))) == (bench, blocks, 4.5)
