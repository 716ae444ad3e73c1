"""Whether `vidmeter bench` finds a difference that is there, and none where there is none.

python -m benchmarks.differences, from the root of the repository. Every trial is the command as a
user types it, with two commands that sleep: the second one 3 % longer, or as long as the first. The
card is the simulated driver's; its power drifts by 2 % within minutes and is noisy within seconds,
and the machine adds what it adds. So the whole way is tried: processes, sampler, run files, order,
statistics. Trials differ by their seed and by the moment of the drift that they meet.
"""

import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scipy import stats

from benchmarks.gpus import environment
from benchmarks.side_by_side import Benchmark, Estimate, options
from tests.simulated_driver.driver import Gpu

ROOT = Path(__file__).parent.parent
SLEEP_S, PLANTED = 0.4, 0.03
ROUNDS = 6
POWER_W, DRIFT, NOISE = 400.0, 0.01, 0.01
"""The drift is ± 1 % around the mean, the noise 1 % from one tenth of a second to the next."""
CURVE_S = 240.0


def main() -> None:
    """Run the trials and keep what came of them."""
    parser = options(__doc__)
    parser.add_argument("--trials", type=int, default=100, help="of each sort")
    arguments = parser.parse_args()
    bench = Benchmark("differences", arguments.quick)
    trials = 2 if bench.quick else arguments.trials
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = environment([Gpu(curve=curve(), repeat=True)], folder)
        if environ is None:
            sys.exit("no C compiler here: the simulated driver can't be built")
        for planted in (0.0, PLANTED):
            told = [trial(environ, folder, planted, seed) for seed in range(trials)]
            found = sum(t["verdict"] != "not distinguishable" for t in told)
            held = sum(t["low"] <= 1 + planted <= t["high"] for t in told)
            sort = f"{planted:.0%} planted" if planted else "nothing planted"
            bench.add(f"{sort}: a difference was claimed", share(found, trials), "%")
            bench.add(f"{sort}: the interval misses the truth", share(trials - held, trials), "%")
            bench.raw[sort] = told
    bench.finish(arguments.output)


def curve() -> tuple[tuple[float, float], ...]:
    """True power over time: a slow drift and a noise, the same for every trial."""
    draw = random.Random(0)
    times = [n / 10 for n in range(int(CURVE_S * 10) + 1)]
    return tuple(
        (t, POWER_W * (1 + DRIFT * math.sin(2 * math.pi * t / CURVE_S) + draw.gauss(0, NOISE)))
        for t in times
    )


def trial(environ: dict[str, str], folder: Path, planted: float, seed: int) -> dict[str, object]:
    """One bench of two commands; its comparison."""
    out = folder / f"{planted}-{seed}"
    commands = ("sleep", f"{SLEEP_S:.4f}", "---", "sleep", f"{SLEEP_S * (1 + planted):.5f}")
    subprocess.run(
        [
            *(sys.executable, "-m", "vidmeter", "bench", "--quiet", "--sensor", "nvml"),
            *("--repeats", str(ROUNDS), "--seed", str(seed), "--output", str(out)),
            *("--", *commands),
        ],
        env=environ | {"PYTHONPATH": str(ROOT)},
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    table = json.loads((out / "results.json").read_text())
    shutil.rmtree(out)
    keep = ("ratio", "low", "high", "verdict", "rounds", "aa_spread")
    return {key: table["comparisons"][0][key] for key in keep}


def share(count: int, of: int) -> Estimate:
    """A share in %, with Clopper and Pearson's 95 % interval."""
    found = stats.binomtest(count, of).proportion_ci(0.95, "exact")
    return Estimate(100 * count / of, 100 * found.low, 100 * found.high)


if __name__ == "__main__":
    main()
