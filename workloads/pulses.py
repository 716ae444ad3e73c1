"""A load that is switched on and off, for finding out how a card's sensors work.

    python -m vidmeter.workloads.pulses --gpu GPU-5f3e… --seconds 52

`vidmeter calibrate` meters this program. Products of square matrices are the load; each stretch of
them is marked as a phase `on`, from the instant at which the first is queued on an idle card to the
instant at which the card has done the last. Any other time is off. The program is: idle, a steady
load, a few steps, and then stretches drawn at random, which keep step with no sensor and so show
over which window it averages.

Where there is no CUDA it says so in one line, and does nothing for a while instead: what a card
shows by itself can be recorded all the same.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from vidmeter.meter import marks
from vidmeter.meter.errors import WorkloadUnavailable

ON = "on"
SIZE = 4096
SMALLEST = 512
PIECE_S = 0.01
"""A product takes less than this, and so many are queued at once: a card that changes its clocks
would make one long queue too long."""
IDLE_S, STEADY_S, SETTLE_S = 10.6, 11.2, 2.0
STEPS, STEP_S = 4, 1.5
RANDOM_S = (0.015, 0.12)
LEAST_RANDOM_S = 6.0
QUIET_S = 15.0
SECONDS = 52.0


class Stretch(NamedTuple):
    """So long on, or off."""

    seconds: float
    on: bool


def program(seconds: float, *, seed: int = 0) -> Iterator[Stretch]:
    """What is done in `seconds`; the random part takes what the others leave, but at least 6 s."""
    yield Stretch(IDLE_S, False)
    yield Stretch(STEADY_S, True)
    yield Stretch(SETTLE_S, False)
    for _ in range(STEPS):
        yield Stretch(STEP_S, True)
        yield Stretch(STEP_S, False)
    fixed_s = IDLE_S + STEADY_S + SETTLE_S + 2 * STEPS * STEP_S
    left_s, draw = max(LEAST_RANDOM_S, seconds - fixed_s), random.Random(seed)
    while left_s > 0:
        on_s, off_s = draw.uniform(*RANDOM_S), draw.uniform(*RANDOM_S)
        yield Stretch(on_s, True)
        yield Stretch(off_s, False)
        left_s -= on_s + off_s
    yield Stretch(1.2, False)


class Products:
    """Products of two matrices on each card that CUDA shows, all at the same time."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._cards = range(torch.cuda.device_count())
        size, self._sets = SIZE, self._matrices(SIZE)
        self.run(2)
        while (each_s := self.run(2) / 2) > PIECE_S and size > SMALLEST:
            size //= 2  # a slow card: its stretches must end within milliseconds as well
            self._sets = self._matrices(size)
            self.run(2)
        self.seconds = each_s

    def run(self, count: int) -> float:
        """Do so many products on each card and wait for them; how long that took, s."""
        start = time.monotonic()
        for _ in range(count):
            for a, b, out in self._sets:
                self._torch.mm(a, b, out=out)
        for card in self._cards:
            self._torch.cuda.synchronize(card)
        return time.monotonic() - start

    def for_seconds(self, seconds: float) -> None:
        """Keep the cards busy."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > self.seconds / 2:
            count = max(1, int(min(left_s, PIECE_S) / self.seconds))
            self.seconds += 0.2 * (self.run(count) / count - self.seconds)

    def _matrices(self, size: int) -> list[tuple[Any, Any, Any]]:
        torch, found = self._torch, []
        for card in self._cards:
            bf16 = torch.cuda.get_device_capability(card)[0] >= 8
            kind = torch.bfloat16 if bf16 else torch.float16
            make: Callable[..., Any] = torch.randn
            a, b = (make(size, size, device=f"cuda:{card}", dtype=kind) for _ in range(2))
            found.append((a, b, torch.empty_like(a)))
        return found


def perform(stretches: Iterator[Stretch], work: Callable[[float], None]) -> None:
    """Do what the program says; `work` keeps the cards busy for so many seconds."""
    due = time.monotonic()
    for seconds, on in stretches:
        if on:
            phase = marks.begin(ON)
            work(seconds)
            marks.end(phase)
            due = time.monotonic()
        else:
            due += seconds
            _sleep_until(due)


def open_products(gpus: Sequence[str]) -> Products:
    """Products on these cards (UUIDs); WorkloadUnavailable, and why, where there is no CUDA."""
    # Before CUDA is started: it reads the variable then, and never again.
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    try:
        import torch
    except ModuleNotFoundError:
        raise WorkloadUnavailable(
            "torch is not installed (pip install 'vidmeter[workloads]')"
        ) from None
    if not torch.cuda.is_available() or torch.cuda.device_count() != len(gpus):
        raise WorkloadUnavailable(f"torch {torch.__version__} sees no CUDA device that is metered")
    try:
        return Products(torch)
    except RuntimeError as error:  # CUDA's own: no memory, a card that refuses
        reason = str(error).splitlines()[0]
        raise WorkloadUnavailable(f"torch can't use the card: {reason}") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the load, or say why not and be quiet; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vidmeter.workloads.pulses")
    parser.add_argument("--gpu", action="append", default=[], metavar="UUID", help="which cards")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long in all")
    parser.add_argument("--quiet", type=float, default=QUIET_S, help="how long without CUDA")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        products = open_products(options.gpu)
    except WorkloadUnavailable as error:
        print(f"vidmeter: no load is made: {error}", file=sys.stderr, flush=True)
        time.sleep(options.quiet)
        return 0
    perform(program(options.seconds - (time.monotonic() - start)), products.for_seconds)
    return 0


def _sleep_until(due_s: float) -> None:
    """Sleep, and watch the clock through the last millisecond."""
    while (left_s := due_s - time.monotonic()) > 0:
        if left_s > 0.001:
            time.sleep(left_s - 0.001)


if __name__ == "__main__":
    sys.exit(main())
