"""Makes the golden run of this format, and what is expected of each.

python -m tests.reports.regolden

A run file that is there is never written anew: it has to load for ever as it was written.
"""

import json
import math
from array import array
from pathlib import Path

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.reader import load
from vidmeter.meter.run import Event, GpuEvent, Phase, Process, Run, Trace, Work
from vidmeter.meter.runfile import FORMAT_VERSION
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.summarize import summarize
from vidmeter.reports import jsonfile, terminal

DATA = Path(__file__).parents[1] / "data"
MS, START = 1_000_000, 7_000_000_000_000
UUID = "GPU-00000000-0000-4000-8000-000000000002"
STEPS = 8


def main() -> None:
    path = DATA / f"run-v{FORMAT_VERSION}.vidmeter"
    if not path.exists():
        golden().save(path)
    for each in sorted(DATA.glob("run-v*.vidmeter")):
        summary = summarize(load(each))
        text = json.dumps(jsonfile.document(summary), indent=2)
        each.with_suffix(".json").write_text(text + "\n")
        each.with_suffix(".txt").write_text(terminal.render(summary))


def golden() -> Run:
    """A video of eight steps on one GPU, whose work lags 400 ms behind the program that asks."""
    clock = Clock()
    where = [clock.event(ms) for ms in (1000, 1400, *(1400 + 500 * n for n in range(1, STEPS + 1)))]
    decoded, done = clock.event(6900), clock.event(7000)
    call = "812-1"
    phases = [
        phase(call, "generate", 1000, 7000, None, (where[0], done), facts={
            "class": "WanPipeline", "frames": 17, "width": 160, "height": 96, "steps": STEPS,
            "guidance": 5.0, "forwards_per_step": 2.0, "dtype": "bfloat16", "attention": "native",
        }),
        phase("812-2", "text_encode", 1000, 1050, call, (where[0], where[1])),
        phase("812-3", "denoise", 1050, 5000, call, (where[1], where[-1])),
        *(
            phase(f"812-{4 + n}", "step", 1050 + 490 * n, 1050 + 490 * (n + 1), "812-3",
                  (where[1 + n], where[2 + n]), facts={"index": n})
            for n in range(STEPS)
        ),
        phase("812-20", "vae_decode", 5000, 6980, call, (where[-1], decoded)),
        phase("812-21", "export", 7100, 7600, None, (None, None)),
        phase("0-1", "script", 900, 7700, None, (None, None), pid=0),
    ]  # fmt: skip
    device = Device(UUID, "Golden GPU", Kind.GPU, "board", Provenance.SIMULATED, "fake", 0, {})
    power, counter = Trace(array("q"), array("d")), Trace(array("q"), array("d"))
    joules = 0.0
    for ms in range(0, 8001, 50):
        watts = 90.0 + (310.0 if 1000 <= ms < 5400 else 150.0 if ms < 6900 else 0.0)
        watts += 8 * math.sin(ms / 90)
        power.t_ns.append(START + ms * MS)
        power.value.append(watts)
        counter.t_ns.append(START + ms * MS)
        counter.value.append(joules)
        joules += watts * 0.05
    return Run(
        id="golden-2",
        command=("python", "wan.py"),
        start_ns=START,
        end_ns=START + 8000 * MS,
        exit_code=0,
        period_ns=50 * MS,
        devices=(device,),
        traces={
            Series(UUID, Quantity.POWER_INSTANT): power,
            Series(UUID, Quantity.ENERGY): counter,
        },
        phases=tuple(phases),
        work=(
            Work("video", 1, "pipeline", None, 17, 160, 96, None, None, call, START + 7000 * MS),
            Work("video", 1, "file", 17 / 16, 17, 160, 96, 16.0, "/home/me/wan.mp4"),
        ),
        events=(Event("marks_missing", START, START, "a word of the hook"),),
        gpu_events=tuple(clock.events),
        processes=(Process(812, {"pid": 812, "ppid": 811, "torch": "2.13.0"}),),
        anchors=(Anchor(START, 1_764_000_000_000_000_000),),
        environment={"host": "golden", "vidmeter": "0.1.0"},
    )


class Clock:
    """Events that the GPU comes to at given times, the first and the last of them anchors."""

    def __init__(self) -> None:
        self.events: list[GpuEvent] = []
        self._last_ms = 0

    def event(self, ms: int) -> int:
        number, previous = len(self.events) + 1, self.events[-1].seq if self.events else None
        at = START + ms * MS
        quiet = ms in (1000, 7000)
        asked, seen = (at - 4000, at + 9000) if quiet else (at - 400 * MS, at + 300 * MS)
        elapsed = None if previous is None else float(ms - self._last_ms)
        self.events.append(GpuEvent(812, number, UUID, previous, elapsed, asked, seen))
        self._last_ms = ms
        return number


def phase(
    id_: str,
    name: str,
    start_ms: int,
    end_ms: int,
    parent: str | None,
    events: tuple[int | None, int | None],
    *,
    pid: int = 812,
    facts: dict[str, object] | None = None,
) -> Phase:
    start, end = START + start_ms * MS, START + end_ms * MS
    return Phase(id_, name, start, end, parent, None, pid, pid, *events, facts or {})


if __name__ == "__main__":
    main()
