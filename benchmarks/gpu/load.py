"""Keeps the card busy on request: a process of its own, so that polling can't slow it down.

It is spoken to in lines of JSON and answers each with one. Instants are CLOCK_MONOTONIC, which all
processes of a machine share. Products of square bfloat16 matrices are the load: large ones for
steady power, smaller ones where it has to be switched within milliseconds.
"""

import json
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

LARGE, SMALL, TINY = 8192, 4096, 256
_BATCH_S = 0.02


class Products:
    """Products of two matrices of a size, queued on the card in batches."""

    def __init__(self, size: int, *, zeros: bool = False) -> None:
        import torch

        self._torch = torch
        make: Callable[..., Any] = torch.zeros if zeros else torch.randn
        self._a = make(size, size, device="cuda", dtype=torch.bfloat16)
        self._b = make(size, size, device="cuda", dtype=torch.bfloat16)
        self._out = torch.empty_like(self._a)
        self.operations = 2.0 * size**3
        self.run(3)
        self.seconds = self.run(10) / 10

    def queue(self, count: int) -> None:
        """Queue products without waiting for them."""
        for _ in range(count):
            self._torch.mm(self._a, self._b, out=self._out)

    def run(self, count: int) -> float:
        """Do products and wait for them; how long that took, s."""
        start = time.monotonic()
        self.queue(count)
        self._torch.cuda.synchronize()
        return time.monotonic() - start

    def steady(self, seconds: float) -> dict[str, Any]:
        """Keep the card busy: one batch runs while the next is queued."""
        batch = max(1, round(_BATCH_S / self.seconds))
        pending: deque[Any] = deque()
        make_event: Callable[[], Any] = self._torch.cuda.Event
        done, start = 0, time.monotonic_ns()
        while time.monotonic_ns() - start < seconds * 1e9:
            self.queue(batch)
            done += batch
            pending.append(make_event())
            pending[-1].record()
            if len(pending) > 1:
                pending.popleft().synchronize()
        self._torch.cuda.synchronize()
        end = time.monotonic_ns()
        per_s = done / ((end - start) / 1e9)
        return {
            "start_ns": start,
            "end_ns": end,
            "products": done,
            "products_per_s": per_s,
            "tflop_per_s": per_s * self.operations / 1e12,
        }

    def wave(self, seconds: float, half_s: Callable[[], float]) -> dict[str, Any]:
        """Switch the load on and off; the instants at which it really began and ended."""
        edges: list[int] = []
        start = due = time.monotonic_ns()
        while due - start < seconds * 1e9:
            on_s, off_s = half_s(), half_s()
            _sleep_until(due)
            edges.append(time.monotonic_ns())
            # Queued in pieces: a card that changes its clock would make one long queue too long.
            while (left_s := on_s - (time.monotonic_ns() - edges[-1]) / 1e9) > self.seconds / 2:
                count = max(1, int(min(left_s, _BATCH_S) / self.seconds))
                self.seconds += 0.2 * (self.run(count) / count - self.seconds)
            edges.append(time.monotonic_ns())
            due += round((on_s + off_s) * 1e9)
        return {"edges_ns": edges, "product_s": self.seconds}


def _sleep_until(t_ns: int) -> None:
    """Sleep, and watch the clock through the last millisecond."""
    while (left_s := (t_ns - time.monotonic_ns()) / 1e9) > 0:
        if left_s > 0.001:
            time.sleep(left_s - 0.001)


def serve() -> None:
    """Answer requests until stdin ends."""
    import torch

    if not torch.cuda.is_available():
        print(json.dumps({"error": "torch sees no CUDA device"}), flush=True)
        return
    made: dict[tuple[int, bool], Products] = {}

    def products(size: int, zeros: bool = False) -> Products:
        if (size, zeros) not in made:
            made[size, zeros] = Products(size, zeros=zeros)
        return made[size, zeros]

    started = [products(LARGE), products(SMALL), products(TINY), products(LARGE, True)]
    facts = {
        "name": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "product_s": [p.seconds for p in started],
    }
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        seconds = request["seconds"]
        if request["do"] == "steady":
            answer = products(request["size"], request.get("zeros", False)).steady(seconds)
        else:
            answer = products(SMALL).wave(seconds, _halves(request))
        print(json.dumps(answer), flush=True)


def _halves(request: dict[str, Any]) -> Callable[[], float]:
    """The lengths of the stretches of a wave: equal, or drawn between two bounds."""
    if "between_s" in request:
        low, high = request["between_s"]
        draw = random.Random(0)
        return lambda: draw.uniform(low, high)
    return lambda: float(request["period_s"]) / 2


if __name__ == "__main__":
    serve()
