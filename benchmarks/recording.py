"""A long recording made in seconds: what the sampler would have written of eight busy GPUs.

The series, their rates and the size of the blocks are those of the sampler on a card that offers
everything: what is read and how often stands in meter/sensors/nvml.py, when it is committed in
meter/sampler.py. Phases are those of one clip after the other, with 50 denoising steps each.
"""

from array import array
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidmeter.meter.clock import Anchor
from vidmeter.meter.device import Device, Kind, Provenance
from vidmeter.meter.run import Phase, Trace, Work
from vidmeter.meter.sample import Quantity, Series
from vidmeter.meter.sampler import ANCHOR_NS, COMMIT_NS
from vidmeter.meter.store import RunWriter

S = 1_000_000_000
START_NS = 1_000 * S
GPUS = 8
TICK_NS = S // 20
CLIP_NS, STEPS = 100 * S, 50

SPACING_NS = {
    Quantity.POWER_RING: S // 50,
    Quantity.POWER_INSTANT: TICK_NS,
    Quantity.POWER_AVERAGE: TICK_NS,
    Quantity.ENERGY: TICK_NS,
    Quantity.TEMPERATURE: S // 2,
    Quantity.SM_CLOCK: S // 2,
    Quantity.MEMORY_CLOCK: S // 2,
    Quantity.UTILIZATION: S // 2,
    Quantity.CLOCK_REASONS: S // 2,
    Quantity.MEMORY_USED: S,
    Quantity.POWER_LIMIT: S,
}
PER_SECOND = GPUS * sum(S / spacing for spacing in SPACING_NS.values())


class Column(NamedTuple):
    """A series, its samples as bytes, and how many of them there are by the end of each commit."""

    series: Series
    t_ns: bytes
    value: bytes
    upto: list[int]


def write(path: Path, samples: int) -> dict[str, int]:
    """Write a run of about so many samples; what is in it."""
    length_ns = round(samples / PER_SECOND * S)
    commits = np.arange(START_NS + COMMIT_NS, START_NS + length_ns + COMMIT_NS, COMMIT_NS)
    writer = RunWriter.create(path, _facts(length_ns))
    columns = []
    for n in range(GPUS):
        device = _device(n)
        writer.add_device(device)
        columns += _columns(device.uuid, length_ns, commits, np.random.default_rng(n))
    counts = {"samples": sum(len(c.t_ns) // 8 for c in columns), "blocks": 0, "phases": 0}
    phases = _phases(length_ns)
    done = 0
    for k, end_ns in enumerate(commits.tolist()):
        writer.add_anchor(Anchor(end_ns, end_ns)) if end_ns % ANCHOR_NS < COMMIT_NS else None
        while done < len(phases) and (phases[done].end_ns or 0) <= end_ns:
            writer.put_phase(phases[done])
            done += 1
        counts["blocks"] += _add_blocks(writer, columns, k)
        writer.commit()
    for clip in (p for p in phases if p.name == "clip"):
        writer.add_work(
            Work("video", 1, "program", video_seconds=5.0, frames=81, width=832, height=480,
                 phase=clip.id, t_ns=clip.end_ns)
        )  # fmt: skip
    writer.finish()
    return counts | {"phases": len(phases), "seconds": length_ns // S, "gpus": GPUS}


def _add_blocks(writer: RunWriter, columns: list[Column], commit: int) -> int:
    blocks = 0
    for series, t_ns, value, upto in columns:
        a, b = 8 * (upto[commit - 1] if commit else 0), 8 * upto[commit]
        if a < b:
            writer.add_trace(series, Trace(array("q", t_ns[a:b]), array("d", value[a:b])))
            blocks += 1
    return blocks


def _columns(
    uuid: str, length_ns: int, commits: NDArray[np.int64], rng: np.random.Generator
) -> list[Column]:
    columns = []
    for quantity, spacing_ns in SPACING_NS.items():
        t = np.arange(START_NS, START_NS + length_ns, spacing_ns)
        t += rng.integers(0, 200_000, len(t))  # a call takes up to 0.2 ms
        value = _values(quantity, t, rng)
        upto = np.searchsorted(t, commits, side="right").tolist()
        window_ns = S if quantity is Quantity.POWER_AVERAGE else None
        series = Series(uuid, quantity, window_ns)
        columns.append(Column(series, t.tobytes(), value.astype("<f8").tobytes(), upto))
    return columns


def _values(
    quantity: Quantity, t: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Watts that follow the steps of a clip, with noise; an energy counter of 100 ms ticks."""
    within = (t - START_NS) % CLIP_NS / CLIP_NS
    watts = np.where(within < 0.9, 640.0, 180.0) + rng.normal(0, 12, len(t))
    if quantity is Quantity.ENERGY:
        ticked = (t - START_NS) // (2 * TICK_NS) * (2 * TICK_NS) / S
        return np.round(1e6 + 594.0 * ticked, 3)
    if quantity.endswith("_w"):
        return np.round(watts, 3)
    return np.round(60 + 10 * within)


def _phases(length_ns: int) -> list[Phase]:
    """Clips with their parts, in the order in which they end."""
    phases: list[Phase] = []
    for start in range(START_NS, START_NS + length_ns - CLIP_NS, CLIP_NS):
        clip = f"clip-{start}"
        denoise = f"{clip}-denoise"
        step_ns = CLIP_NS * 9 // 10 // STEPS
        for n in range(STEPS):
            at = start + n * step_ns
            phases.append(Phase(f"{denoise}-{n}", "step", at, at + step_ns, denoise))
        end = start + STEPS * step_ns
        phases.append(Phase(denoise, "denoise", start, end, clip))
        phases.append(Phase(f"{clip}-decode", "decode", end, start + CLIP_NS - S, clip))
        phases.append(Phase(clip, "clip", start, start + CLIP_NS - S))
    return phases


def _facts(length_ns: int) -> dict[str, object]:
    return {
        "id": "10" * 16,
        "command": ["python", "generate.py"],
        "start_ns": START_NS,
        "end_ns": START_NS + length_ns,
        "exit_code": 0,
        "period_ns": TICK_NS,
        "environment": {},
    }


def _device(n: int) -> Device:
    return Device(
        uuid=f"GPU-51b1a7ed-0000-4000-8000-{n:012x}",
        name="NVIDIA Simulated 1",
        kind=Kind.GPU,
        scope="the card: GPU, memory, circuits",
        provenance=Provenance.SIMULATED,
        sensor="nvml",
        index=n,
    )
