"""How often the statistics of a benchmark are wrong: simulated arms whose truth is known.

python -m benchmarks.error_rates, from the root of the repository. Every figure is a share of
trials: intervals that miss the truth (5 % by right), differences claimed where there is none,
planted differences not found. The intervals of the figures are Clopper and Pearson's. What the
meter decided against stands beside what it does: pooling after an F test, and the BCa bootstrap.
"""

import math
from collections.abc import Iterator, Sequence
from importlib import metadata

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.side_by_side import Benchmark, Estimate, options
from vidmeter.meter.comparing import Comparison, paired, unpaired
from vidmeter.meter.statistics import enough, estimate

Floats = NDArray[np.float64]

TRUTH = 100.0
REPEAT_SD = 0.01
DESIGNS = ((3, 3), (3, 3, 3), (1,) * 5, (1,) * 10, (2,) * 5, (5, 5, 5), (5, 5, 3), (5, 1))
BLOCK_RATIOS = (0.0, 0.5, 1.0, 2.0)
"""Sd of blocks in units of the repeats' sd."""
PLANTED = 0.03


def main() -> None:
    arguments = options(__doc__).parse_args()
    bench = Benchmark("error_rates", arguments.quick)
    bench.versions["scipy"] = metadata.version("scipy")
    scale = 50 if bench.quick else 1
    intervals(bench, 6000 // scale)
    pooled_after_a_test(bench, 100_000 // scale)
    bootstrap(bench, 2000 // scale)
    stopping(bench, 3000 // scale)
    comparisons(bench, 2500 // scale)
    bench.finish(arguments.output)


def intervals(bench: Benchmark, trials: int) -> None:
    """The interval of the mean, over designs and sizes of the block effect."""
    raw = []
    for design in DESIGNS:
        # In blocks of one repeat the two sds can't be told apart.
        ratios = BLOCK_RATIOS if max(design) > 1 else (0.0,)
        missed = {ratio: trials - covered(design, ratio, trials) for ratio in ratios}
        raw.append({"design": design, "missed_by_block_ratio": missed, "of": trials})
        # 5 % by right where blocks are equal; for unequal ones t is an approximation.
        goal = 7.0 if len(set(design)) == 1 else None
        what = f"{named(design)}: intervals that miss the truth, worst size of block effect"
        bench.add(what, share(max(missed.values()), trials), "%", goal=goal)
    bench.raw["intervals"] = raw


def covered(design: Sequence[int], block_ratio: float, trials: int, *, seed: int = 0) -> int:
    """In how many trials the interval held the truth."""
    return sum(
        found.low is not None and found.high is not None and found.low <= TRUTH <= found.high
        for found in map(estimate, arms(design, block_ratio, trials, seed=seed))
    )


def arms(
    design: Sequence[int], block_ratio: float, trials: int, *, seed: int
) -> Iterator[list[list[float]]]:
    """Normal repeats in blocks of the sizes given, around the truth."""
    random = np.random.default_rng((seed, *design, int(10 * block_ratio)))
    for _ in range(trials):
        yield [
            (TRUTH * (1 + REPEAT_SD * (block_ratio * z + random.normal(size=n)))).tolist()
            for n, z in zip(design, random.normal(size=len(design)), strict=True)
        ]


def pooled_after_a_test(bench: Benchmark, trials: int) -> None:
    """What pooling would do where an F test sees no block effect at 25 % (a common advice)."""
    random = np.random.default_rng(1)
    for blocks, repeats in ((2, 3), (3, 3)):
        for ratio in (0.0, 0.5, 1.0):
            shape = (trials, blocks, repeats)
            x = ratio * random.normal(size=(trials, blocks, 1)) + random.normal(size=shape)
            between = repeats * x.mean(2).var(1, ddof=1)
            within = x.var(2, ddof=1).mean(1)
            n = blocks * repeats
            seen = stats.f.sf(between / within, blocks - 1, n - blocks) < 0.25
            of_blocks = stats.t.ppf(0.975, blocks - 1) * np.sqrt(between / n)
            of_all = stats.t.ppf(0.975, n - 1) * np.sqrt(x.reshape(trials, n).var(1, ddof=1) / n)
            missed = int((np.abs(x.mean((1, 2))) > np.where(seen, of_blocks, of_all)).sum())
            what = (
                f"{blocks}x{repeats}, pooled unless p < 0.25, block sd {ratio:g} × repeat: missed"
            )
            bench.add(what, share(missed, trials), "%")


def bootstrap(bench: Benchmark, trials: int) -> None:
    """BCa beside Student's t, for values that are normal and for skewed ones."""
    for n in (10, 20):
        for shape, truth in (("normal", 0.0), ("lognormal, log sd 0.5", math.exp(0.125))):
            random = np.random.default_rng((2, n))
            x = random.normal(size=(trials, n))
            x = x if shape == "normal" else np.exp(0.5 * x)
            found = stats.bootstrap(
                (x,), np.mean, axis=-1, n_resamples=999, batch=50, method="BCa", random_state=random
            ).confidence_interval
            half = stats.t.ppf(0.975, n - 1) * x.std(1, ddof=1) / math.sqrt(n)
            bca = int(((found.low > truth) | (found.high < truth)).sum())
            t = int((np.abs(x.mean(1) - truth) > half).sum())
            bench.add(f"{n} values, {shape}: missed by BCa", share(bca, trials), "%")
            bench.add(f"{n} values, {shape}: missed by t", share(t, trials), "%")


def stopping(bench: Benchmark, trials: int) -> None:
    """The interval at the moment when the rule says stop, in blocks of three repeats of 10 s."""
    for least in (2, 3):
        for ratio in BLOCK_RATIOS[:3]:
            missed, taken = 0, []
            for blocks in arms((3,) * 30, ratio, trials, seed=3):
                stop = next(n for n in range(2, 31) if n == 30 or stops(blocks[:n], least))
                found = estimate(blocks[:stop])
                assert found.low is not None and found.high is not None
                missed += not found.low <= TRUTH <= found.high
                taken.append(stop)
            what = f"stopped at ±2 %, {least} blocks at least, block sd {ratio:g} × repeat"
            bench.add(f"{what}: missed", share(missed, trials), "%", goal=7.0)
            bench.raw[what] = {"trials_by_blocks": np.bincount(taken).tolist()}


def stops(blocks: list[list[float]], least: int) -> bool:
    """Whether the rule says stop."""
    return enough(estimate(blocks), 30.0 * len(blocks), least_blocks=least).holds


def comparisons(bench: Benchmark, trials: int) -> None:
    """Differences claimed where there is none, and planted ones that weren't found."""
    rows = []
    for rounds in (5, 6, 8, 10, 16):
        for repeat_sd in (0.005, 0.01):
            for effect in (0.0, PLANTED):
                found = claims(rounds, effect, repeat_sd=repeat_sd, trials=trials)
                detectable = float(np.median([c.detectable or 0.0 for c in found]))
                rows.append(
                    {
                        "rounds": rounds,
                        "repeat_sd": repeat_sd,
                        "effect": effect,
                        "claimed": count(found),
                        "interval_excludes_1": sum((c.p or 1.0) < 0.05 for c in found),
                        "of": trials,
                        "detectable": detectable,
                    }
                )
                wrong = trials - count(found) if effect else count(found)
                what = (
                    "a difference of 3 % not found"
                    if effect
                    else "a difference claimed, none there"
                )
                what = f"{rounds} rounds, repeat sd {repeat_sd:.1%}: {what}"
                bench.add(what, share(wrong, trials), "%", goal=20.0 if effect else 5.0)
    bench.raw["paired"] = rows
    for drift in (0.0, 0.02):
        for effect in (0.0, PLANTED):
            found = [unpaired(*apart(10, effect, drift=drift, seed=seed)) for seed in range(trials)]
            wrong = trials - count(found) if effect else count(found)
            what = "3 % not found" if effect else "a difference claimed, none there"
            what = f"10 and 10 one after the other, drift {drift:.0%}: {what}"
            bench.add(what, share(wrong, trials), "%")


def claims(
    rounds: int, effect: float, *, repeat_sd: float, trials: int, first_seed: int = 0
) -> list[Comparison]:
    """Comparisons of as many simulated sessions."""
    seeds = range(first_seed, first_seed + trials)
    return [paired(session(rounds, effect, repeat_sd=repeat_sd, seed=seed)) for seed in seeds]


def count(found: Sequence[Comparison]) -> int:
    """How many claim a difference."""
    return sum(c.verdict != "not distinguishable" for c in found)


def session(
    rounds: int,
    effect: float,
    *,
    repeat_sd: float,
    seed: int,
    block_sd: float = 0.005,
    drift: float = 0.02,
    rho: float = 0.3,
    repeats: int = 2,
) -> list[tuple[float, float]]:
    """Rounds of two arms in random order: the mean of a block of each, B higher by `effect`.

    Repeats are autocorrelated over the session, blocks have a lot of their own, and the card drifts
    by `drift` from the session's beginning to its end.
    """
    random = np.random.default_rng(seed)
    total = 2 * rounds * repeats
    noise = repeat_sd * autocorrelated(total, rho, random) + drift * np.linspace(0, 1, total)
    means = noise.reshape(2 * rounds, repeats).mean(1) + block_sd * random.normal(size=2 * rounds)
    found = []
    for one, other in means.reshape(rounds, 2).tolist():
        a, b = (one, other) if random.random() < 0.5 else (other, one)
        found.append((TRUTH * math.exp(a), TRUTH * (1 + effect) * math.exp(b)))
    return found


def apart(n: int, effect: float, *, drift: float, seed: int) -> tuple[list[float], list[float]]:
    """All of A and then all of B, with the noise of a session."""
    random = np.random.default_rng(seed)
    sd = math.hypot(REPEAT_SD / math.sqrt(2), 0.005)
    logs = sd * random.normal(size=2 * n) + drift * np.linspace(0, 1, 2 * n)
    logs[n:] += math.log1p(effect)
    values = (TRUTH * np.exp(logs)).tolist()
    return values[:n], values[n:]


def autocorrelated(n: int, rho: float, random: np.random.Generator) -> Floats:
    """Standard normal values, each correlated with the one before it."""
    z = random.normal(size=n)
    for i in range(1, n):
        z[i] = rho * z[i - 1] + math.sqrt(1 - rho**2) * z[i]
    return z


def share(hits: int, of: int) -> Estimate:
    """A share in percent, with Clopper and Pearson's interval."""
    low = stats.beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return Estimate(100 * hits / of, 100 * float(low), 100 * float(high))


def named(design: Sequence[int]) -> str:
    """A design in words: blocks × repeats."""
    if len(set(design)) == 1:
        return f"{len(design)}x{design[0]}"
    return f"blocks of {', '.join(map(str, design))}"


if __name__ == "__main__":
    main()
