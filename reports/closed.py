"""What can be said of closed systems, whose makers disclose no energy: ranges, and never a number.

Three sorts of answer. Where EcoLogits has coefficients (latency of the public interface × the power
of a node that is assumed × PUE) its range is given, with what it assumes. Where it hasn't, what is
known and what isn't stands beside an envelope: what open models of that resolution take by others'
measurements, which a closed one may lie outside of. Facts that people ask for with these (a
training, the data centres' share) are told with their sources. None of it is a measurement, and
none is ever ranked with one. Nothing is looked up over a network.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vidmeter.reports.format import digits
from vidmeter.reports.published import GPU_ONLY, published
from vidmeter.reports.systems import NoEstimate, System

SIZES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
J_PER_KWH = 3.6e6
FRAMES_PER_SECOND = 24
ALIKE = 1.25
"""How many times more pixels a clip of the same resolution may have."""
FURTHER = 2
"""How much shorter or longer than what was measured a clip may be."""
_ALWAYS = (
    "the latency is that of the public interface, by a regression over a few calls",
    "the range is that of the node's power alone; latency, sharing and hardware may be further off",
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What may be said of one video, in J, always as a range; `basis` says in words of what sort.

    `assumes` are its assumptions, `known` and `unknown` what is disclosed, `sources` where it is
    from. `scope` is what the energy is of.
    """

    system: System
    seconds: float
    resolution: str
    low_j: float
    high_j: float
    basis: str
    scope: str
    assumes: tuple[str, ...]
    sources: tuple[str, ...]


def estimate(system: System, *, seconds: float, resolution: str) -> Estimate:
    """What one video may take. Raises NoEstimate outside of what the method covers."""
    if resolution not in SIZES:
        known = ", ".join(SIZES)
        raise NoEstimate(f"{resolution} is outside of what can be estimated: ask for {known}")
    if system.model is not None:
        return _by_ecologits(system, seconds, resolution)
    return _envelope(system, seconds, resolution)


def _by_ecologits(system: System, seconds: float, resolution: str) -> Estimate:
    video, model, hardware, pue = _coefficients(system)
    can = model["capabilities"]
    size = SIZES[resolution]
    if list(size) not in can["resolutions"]:
        known = " and ".join(f"{h}p" for _, h in can["resolutions"])
        raise NoEstimate(f"{system.title} at {resolution} is outside of the method: it has {known}")
    lengths = [(frames - 1) / FRAMES_PER_SECOND for frames in can["frames_count"]]
    if not min(lengths) <= seconds <= max(lengths):
        raise NoEstimate(
            f"{seconds:g} s of {system.title} are outside of the method: it holds from"
            f" {min(lengths):g} to {max(lengths):g} s"
        )
    energy = video.video_impacts(system.model, f"{size[0]}x{size[1]}", seconds).energy.value
    low, high = getattr(energy, "min", energy), getattr(energy, "max", energy)
    count = hardware["number_of_accelerators"]
    between = f"{pue['min']} to {pue['max']}" if isinstance(pue, dict) else f"{pue}"
    return Estimate(
        system,
        seconds,
        resolution,
        float(low) * J_PER_KWH,
        float(high) * J_PER_KWH,
        basis="EcoLogits: latency × power of an assumed node × PUE",
        scope="the node with its share of the data centre (PUE)",
        assumes=(
            f"it runs on a node of type {model['hardware']}; nobody outside knows",
            f"the whole node of {count} accelerators is charged to one request, so it leans high",
            f"PUE {between}",
            "with sound" if can["audio_generation"] else "without sound",
            *_ALWAYS,
        ),
        sources=(f"ecologits {_version()}, {system.url}",),
    )


def _coefficients(system: System) -> tuple[Any, Any, Any, Any]:
    """EcoLogits' module, and what it knows of a model: model, hardware, PUE.

    They have no public names there (0.11), so another version may keep them elsewhere.
    """
    if importlib.util.find_spec("ecologits") is None:
        raise NoEstimate(
            f"{system.title} is estimated by EcoLogits: pip install 'vidmeter[carbon]'"
        )
    try:
        from ecologits.estimations import video

        model = video._MODELS_INFO[system.model]
        hardware = video._HARDWARE_CONFIGURATIONS[model["hardware"]]
        return (
            video,
            model,
            hardware,
            video._PROVIDER_CONFIGURATIONS[model["provider"]]["datacenter_pue"],
        )
    except (ImportError, AttributeError, KeyError) as error:
        raise NoEstimate(
            f"this version of EcoLogits ({_version()}) has no {error} where 0.11 has it:"
            " pip install 'ecologits==0.11.*'"
        ) from None


def _version() -> str:
    from importlib.metadata import version

    return version("ecologits")


def _envelope(system: System, seconds: float, resolution: str) -> Estimate:
    """What open models of that resolution take, by others' measurements, for as many seconds."""
    rows = _measured(resolution)
    if len(rows) < 2:
        able = [name for name in SIZES if len(_measured(name)) >= 2]
        raise NoEstimate(
            f"of {system.title} nothing is published, and no open models of {resolution} were"
            f" measured to compare with: ask for {' or '.join(able)}"
        )
    lengths = [_seconds(row) for row in rows]
    if not min(lengths) / FURTHER <= seconds <= max(lengths) * FURTHER:
        raise NoEstimate(
            f"{seconds:g} s are outside of the method: the open models that were measured at"
            f" {resolution} made clips of {min(lengths):.2g} to {max(lengths):.2g} s"
        )
    lowest, highest = rows[0], rows[-1]
    return Estimate(
        system,
        seconds,
        resolution,
        float(lowest["j_per_video_second"]) * seconds,
        float(highest["j_per_video_second"]) * seconds,
        basis=f"no figure of its own: measured open models of {resolution}, from the least to the"
        " most",
        scope="the GPU alone",
        assumes=(
            "it works as the open models of its time do; a closed one may take less or more",
            "energy grows with the seconds of video; attention over a longer clip takes more",
        ),
        sources=tuple(
            f"{row['system']} on {row['hardware']}, {row['width']}×{row['height']}, clips of"
            f" {_seconds(row):.2g} s: {digits(float(row['j_per_video_second']))} J per second of"
            f" video ({row['source']}{'' if row['confidence'] == 'read' else ', quoted by others'})"
            for row in (lowest, highest)
        ),
    )


def _seconds(row: dict[str, str]) -> float:
    return int(row["frames"]) / float(row["fps"])


def _measured(resolution: str) -> Sequence[dict[str, str]]:
    """Measurements on one GPU of about as many pixels, the lowest first."""
    width, height = SIZES[resolution]
    fitting = [
        row
        for row in published()
        if row["task"] == "text-to-video"
        and row["scope"] == GPU_ONLY
        and row["gpus"] == "1"
        and all(row[k] for k in ("j_per_video_second", "height", "width", "frames", "fps"))
        and 1 / ALIKE < int(row["height"]) * int(row["width"]) / (width * height) < ALIKE
    ]
    return sorted(fitting, key=lambda row: float(row["j_per_video_second"]))
