"""Which block of which arm is measured next, and when it is enough: the protocol, purely.

An arm is one side of a benchmark: a workload with its settings, or a command. A block is one fresh
process of it, which loads, warms up and does some repeats; allocators, autotuners and memory
layouts live as long as a process, so repeats of one alone would look better than they are. Blocks
of all arms are interleaved, in a new random order in each round, so that a slow drift of the card
falls on all of them alike. The reasons for the numbers stand in docs/bench.md.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vidmeter.meter.comparing import LEAST_ROUNDS, paired
from vidmeter.meter.statistics import enough, estimate

PER_BLOCK = 2
"""Repeats of a block, where they aren't so short that more are needed."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How much is measured. Times in s; `target` is a half-width of 95 % intervals, relative.

    `per_block` is how many repeats a block makes; None: `PER_BLOCK`, fewer where a fixed number has
    to be spread over `least_blocks`, more where repeats are so short that `least_blocks` of them
    wouldn't make `least_s`.
    `repeats` fixes the number for each arm, where the others decide: at least `least_repeats` in
    at least `least_blocks`, `least_s` of measured time, and until the interval is within `target`,
    but no more than `most_repeats`, or as many blocks as they would be. `budget_s` ends everything.
    """

    repeats: int | None = None
    per_block: int | None = None
    least_repeats: int = 5
    least_blocks: int = 3
    most_repeats: int = 20
    least_s: float = 60.0
    target: float = 0.02
    budget_s: float | None = None
    warmups: int = 1
    steady_s: float = 600.0
    idle_s: float = 30.0
    cool_down_s: float = 10.0
    seed: int = 0


QUICK = Rules(
    repeats=1, per_block=1, warmups=0, steady_s=0.0, idle_s=0.0, cool_down_s=0.0, least_s=0.0
)
"""One repeat without warm-up: whether it works, and a first idea of what it takes."""

COMMANDS = Rules(
    per_block=1, least_repeats=5, least_blocks=5, least_s=10.0, steady_s=0.0, idle_s=0.0,
    cool_down_s=0.0,
)  # fmt: skip
"""For commands: every execution is a fresh process, and is loaded with it."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a benchmark. A workload has a name and settings, a command has neither.

    `least_s` and `repeats` stand over those of the rules where they are given.
    """

    label: str
    workload: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    device: str = "auto"
    repeats: int | None = None
    warmups: int | None = None
    least_s: float | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """A finished repeat: its number in its arm from 1, its energy, and how long it took.

    `energy_j` is None where its energy could not be stated. `path` is its run file, as the bench's
    folder sees it.
    """

    number: int
    path: str
    energy_j: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Block:
    """A block that was begun. `trouble` says why it didn't end well; what it finished counts."""

    arm: int
    round: int
    number: int
    repeats: tuple[Repeat, ...]
    seconds: float
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A benchmark: its arms and rules. With `versus`, the second arm is compared with the first."""

    arms: tuple[Arm, ...]
    rules: Rules
    versus: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more is measured, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Next:
    """The block to be measured next: its arm, its round, its number, and its repeats' numbers."""

    arm: int
    round: int
    number: int
    repeats: tuple[int, ...]


def next_block(plan: Plan, blocks: Sequence[Block], spent_s: float) -> Next | Stop:
    """What to measure after these blocks, or why nothing more."""
    rules = plan.rules
    if plan.versus and _comparison_is_enough(plan, blocks):
        return Stop("the comparison is within its target")
    reasons: dict[int, str] = {}
    rounds = max([b.round for b in blocks], default=1)
    for round_ in (rounds, rounds + 1):
        for arm in order_of(plan, round_):
            if any(b.arm == arm and b.round == round_ for b in blocks):
                continue
            why = _done(plan, arm, blocks)
            if why is not None:
                reasons[arm] = why
                continue
            if rules.budget_s is not None and blocks:
                expected_s = expected_block_s(plan, arm, blocks)
                if spent_s + expected_s > rules.budget_s:
                    return Stop(f"the budget of {rules.budget_s:g} s is used up")
            return _block(plan, arm, round_, blocks)
    return Stop(_in_one({plan.arms[arm].label: reasons[arm] for arm in sorted(reasons)}))


def _in_one(reasons: Mapping[str, str]) -> str:
    """`a: within ±2 %; 5 others: 20 repeats are the most`; just the reason if all have it."""
    whose: dict[str, list[str]] = {}
    for label, reason in reasons.items():
        whose.setdefault(reason, []).append(label)
    if len(whose) == 1:
        return next(iter(whose))
    return "; ".join(
        f"{labels[0] if len(labels) == 1 else f'{len(labels)} others'}: {reason}"
        for reason, labels in sorted(whose.items(), key=lambda item: len(item[1]))
    )


def order_of(plan: Plan, round_: int) -> list[int]:
    """The order of the arms in a round: random, and the same whenever it is asked for."""
    order = list(range(len(plan.arms)))
    random.Random(f"{plan.rules.seed}:{round_}").shuffle(order)
    return order


def expected_block_s(plan: Plan, arm: int, blocks: Sequence[Block]) -> float:
    """How long a block of an arm takes, s: by its last one and what it will make, or anyone's."""
    mine = [b for b in blocks if b.arm == arm]
    last = (mine or list(blocks))[-1:]
    if not last:
        return 0.0
    more = _per_block(plan, arm, blocks) - len(last[0].repeats) if mine and last[0].repeats else 0
    return last[0].seconds + max(more, 0) * _mean_s(repeats_of(arm, blocks))


def left_s(plan: Plan, blocks: Sequence[Block], spent_s: float) -> float | None:
    """About how long the rest takes at least, s; None before the first block has ended."""
    if not blocks:
        return None
    total_s = 0.0
    for arm in range(len(plan.arms)):
        if _done(plan, arm, blocks) is not None:
            continue
        planned = _block_count(plan, arm, blocks)
        have = sum(1 for b in blocks if b.arm == arm)
        total_s += max(planned - have, 1) * expected_block_s(plan, arm, blocks)
    if plan.rules.budget_s is not None:
        return min(total_s, max(plan.rules.budget_s - spent_s, 0.0))
    return total_s


def repeats_of(arm: int, blocks: Sequence[Block]) -> list[Repeat]:
    """The finished repeats of an arm."""
    return [r for b in blocks if b.arm == arm for r in b.repeats]


def rounds_of(blocks: Sequence[Block]) -> list[tuple[float, float]]:
    """The mean energies of the first two arms, of every round that has both."""
    pairs = []
    for round_ in sorted({b.round for b in blocks}):
        means = []
        for arm in (0, 1):
            values = [
                r.energy_j
                for b in blocks
                if (b.arm, b.round) == (arm, round_)
                for r in b.repeats
                if r.energy_j is not None
            ]
            means.append(sum(values) / len(values) if values else None)
        if means[0] is not None and means[1] is not None:
            pairs.append((means[0], means[1]))
    return pairs


def _done(plan: Plan, arm: int, blocks: Sequence[Block]) -> str | None:
    """Why an arm needs no more blocks; None if it does."""
    rules, mine = plan.rules, [b for b in blocks if b.arm == arm]
    trouble = next((b.trouble for b in mine if b.trouble), None)
    if trouble is not None:
        return trouble
    made = repeats_of(arm, blocks)
    wanted = _wanted(plan, arm)
    if wanted is not None:
        return "all repeats are made" if len(made) >= wanted else None
    most_blocks = -(-rules.most_repeats // (rules.per_block or PER_BLOCK))
    if len(made) >= rules.most_repeats and len(mine) >= most_blocks:
        short = len(made) > rules.most_repeats + PER_BLOCK
        most = f"{most_blocks} processes" if short else f"{rules.most_repeats} repeats"
        return f"{most} are the most"
    if plan.versus:
        return None
    values = [[r.energy_j for r in b.repeats if r.energy_j is not None] for b in mine]
    known = [block for block in values if block]
    if not known:
        return "no energy could be stated" if mine else None
    verdict = enough(
        estimate(known),
        sum(r.seconds for r in made),
        target=rules.target,
        least_repeats=rules.least_repeats,
        least_blocks=rules.least_blocks,
        least_s=_least_s(plan, arm),
    )
    return f"within ±{100 * rules.target:g} %" if verdict.holds else None


def _comparison_is_enough(plan: Plan, blocks: Sequence[Block]) -> bool:
    pairs = rounds_of(blocks)
    if plan.rules.repeats is not None or len(pairs) < LEAST_ROUNDS:
        return False
    found = paired(pairs)
    if found.low is None or found.high is None or found.aa_spread is None:
        return False
    # The width alone decides, never the outcome: a rule that stopped at the first significant
    # result would find differences where there are none.
    return max((found.high - found.low) / 2, found.aa_spread) <= plan.rules.target


def _wanted(plan: Plan, arm: int) -> int | None:
    if plan.rules.repeats is not None:
        return plan.rules.repeats
    return plan.arms[arm].repeats


def _least_s(plan: Plan, arm: int) -> float:
    own = plan.arms[arm].least_s
    return plan.rules.least_s if own is None else own


def _per_block(plan: Plan, arm: int, blocks: Sequence[Block]) -> int:
    wanted, rules = _wanted(plan, arm), plan.rules
    if rules.per_block is not None:
        return rules.per_block if wanted is None else min(rules.per_block, wanted)
    if wanted is not None:
        return min(PER_BLOCK, -(-wanted // min(rules.least_blocks, wanted)))
    each_s = _mean_s(repeats_of(arm, blocks))
    if not each_s:
        return PER_BLOCK
    return max(PER_BLOCK, math.ceil(_least_s(plan, arm) / rules.least_blocks / each_s))


def _mean_s(repeats: Sequence[Repeat]) -> float:
    return sum(r.seconds for r in repeats) / len(repeats) if repeats else 0.0


def _block_count(plan: Plan, arm: int, blocks: Sequence[Block]) -> int:
    wanted = _wanted(plan, arm)
    if wanted is None:
        by_repeats = -(-plan.rules.least_repeats // (plan.rules.per_block or PER_BLOCK))
        return max(by_repeats, plan.rules.least_blocks)
    return max(-(-wanted // _per_block(plan, arm, blocks)), 1)


def _block(plan: Plan, arm: int, round_: int, blocks: Sequence[Block]) -> Next:
    mine = [b for b in blocks if b.arm == arm]
    first = max([r.number for r in repeats_of(arm, blocks)], default=0) + 1
    wanted = _wanted(plan, arm)
    count = _per_block(plan, arm, blocks)
    if wanted is not None:
        count = min(count, wanted - first + 1)
    return Next(arm, round_, len(mine) + 1, tuple(range(first, first + count)))


def to_json(plan: Plan, blocks: Sequence[Block], spent_s: float) -> dict[str, Any]:
    """Plan and blocks as plain JSON values, for the file that a bench goes on from."""
    return {
        "schema": 1,
        "plan": asdict(plan),
        "spent_s": spent_s,
        "blocks": [asdict(block) for block in blocks],
    }


def from_json(table: Mapping[str, Any]) -> tuple[Plan, list[Block], float]:
    """What `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
    if table["schema"] != 1:
        raise ValueError(f"schema {table['schema']} is not known")
    plan = table["plan"]
    arms = tuple(Arm(**{**arm, "command": tuple(arm["command"])}) for arm in plan["arms"])
    blocks = [
        Block(**{**block, "repeats": tuple(Repeat(**r) for r in block["repeats"])})
        for block in table["blocks"]
    ]
    return Plan(arms, Rules(**plan["rules"]), plan["versus"]), blocks, float(table["spent_s"])
