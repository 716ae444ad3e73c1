"""The results.json of the ML.ENERGY benchmark for diffusion models, old and new.

The old one (2024) sums all GPUs into one energy and tells the frames; the new one (2025) tells each
GPU's energy and may hold power over time, but neither the frames nor, but for its path, whether
images or videos were made. The energy is what Zeus counted. Sources: ml-energy/benchmark,
benchmark/diffusion/*/scripts/benchmark_one_datapoint.py and mlenergy/diffusion/benchmark.py.
"""

import json
import math
from array import array
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vidmeter.meter.importing.building import (
    START_NS,
    UNKNOWN_MODEL,
    Given,
    Origin,
    S,
    gpu,
    local_ns,
    stated,
)
from vidmeter.meter.run import Run, Trace, Work
from vidmeter.meter.sample import Quantity, Series

OLD = ("model", "num_prompts", "total_runtime", "total_energy", "num_inference_steps")
NEW = ("model_id", "total_images", "total_time", "energy_measurement", "inference_steps")
DETAIL = "the energy is what that program stated of its whole benchmark"
TIMELINES = {
    "device_instant": Quantity.POWER_INSTANT,
    "device_average": Quantity.POWER_AVERAGE,
}
KEPT = (
    "model", "model_id", "date", "batch_size", "num_prompts", "num_iterations", "total_images",
    "num_inference_steps", "inference_steps", "num_frames", "height", "width", "seed",
    "configurations", "peak_memory", "power_limit",
)  # fmt: skip


def recognises(text: str) -> bool:
    """Whether it is such a document."""
    document = _document(text)
    return document is not None and (_has(document, OLD) or _has(document, NEW))


def read(given: Given) -> list[Run]:
    """The document as one run."""
    given.no_period()
    document = _document(given.text)
    if document is None:
        raise given.bad("it is no JSON document, or cut off")
    try:
        if _has(document, OLD):
            return [_old(given, document)]
        if _has(document, NEW):
            return [_new(given, document)]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise given.bad(f"not as ML.ENERGY writes its results: {error}") from None
    lacking = next(key for key in NEW if key not in document)
    raise given.bad(f"it has no {lacking}: only results of ML.ENERGY's diffusion tasks are known")


def _old(given: Given, document: Mapping[str, Any]) -> Run:
    seconds, joules = _positive(document, "total_runtime"), _positive(document, "total_energy")
    origin = _origin(given, document, str(document["model"]), None)
    name = str(document.get("gpu_model") or UNKNOWN_MODEL)
    limit = document.get("power_limit")
    facts = {"power_limit_w": float(limit)} if limit else {}
    device = gpu(origin, None, name, scope="all GPUs that the benchmark saw", **facts)
    count, frames = int(document["num_prompts"]), document.get("num_frames")
    work = Work("images", count, "program")
    if frames:
        work = Work("video", count, "program", frames=count * int(frames))
    traces = {Series(device.uuid, Quantity.ENERGY_STATED): stated(seconds, joules)}
    return origin.run(seconds, [device], traces, work=[work])


def _new(given: Given, document: Mapping[str, Any]) -> Run:
    measured = document["energy_measurement"]
    seconds = _positive(measured, "time")
    timeline = document.get("timeline") or {}
    began = timeline.get("benchmark_start_time")
    real_ns = None if began is None else round(float(began) * S)
    if real_ns is None and document.get("date"):
        ended = local_ns(datetime.strptime(str(document["date"]), "%Y%m%d-%H%M%S"))
        real_ns = ended - round(seconds * S)
    origin = _origin(given, document, str(document["model_id"]), real_ns)
    devices, traces = [], {}
    for index, energy_j in measured["gpu_energy"].items():
        device = gpu(origin, int(index), UNKNOWN_MODEL)
        devices.append(device)
        if not 0 <= float(energy_j) < math.inf:
            raise ValueError(f"GPU {index} with {energy_j} J")
        if float(energy_j):
            series = Series(device.uuid, Quantity.ENERGY_STATED)
            traces[series] = stated(seconds, float(energy_j))
        if began is not None:
            traces |= _timelines(device.uuid, index, timeline.get("power") or {}, float(began))
    if not devices:
        raise given.bad("it holds no GPU")
    return origin.run(seconds, devices, traces, work=[_made(given, document)])


def _made(given: Given, document: Mapping[str, Any]) -> Work:
    """What was made: the document tells how many, and only its folder what they are."""
    count = int(document["total_images"])
    folders = given.path.absolute().parts
    if "text-to-video" in folders or "image-to-video" in folders:
        return Work("video", count, "program", width=document["width"], height=document["height"])
    return Work("images" if "text-to-image" in folders else "generations", count, "program")


def _timelines(
    uuid: str, index: str, power: Mapping[str, Mapping[str, Any]], began: float
) -> dict[Series, Trace]:
    """The readings of power of one GPU; Zeus leaves out those that repeat the one before."""
    found = {}
    for name, quantity in TIMELINES.items():
        points = (power.get(name) or {}).get(index) or []
        if len(points) > 1:
            times = array("q", [START_NS + round((float(t) - began) * S) for t, _ in points])
            watts = array("d", [float(w) for _, w in points])
            window_ns = S if quantity is Quantity.POWER_AVERAGE else None
            found[Series(uuid, quantity, window_ns)] = Trace(times, watts)
    return found


def _origin(given: Given, document: Mapping[str, Any], model: str, real_ns: int | None) -> Origin:
    facts = {key: document[key] for key in KEPT if document.get(key) is not None}
    return Origin(given, "ML.ENERGY", DETAIL, real_ns, label=(model,), facts=facts)


def _positive(document: Mapping[str, Any], key: str) -> float:
    value = float(document[key])
    if not 0 < value < math.inf:
        raise ValueError(f"{key} is {value:g}")
    return value


def _document(text: str) -> Mapping[str, Any] | None:
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else None
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _has(document: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    return all(key in document for key in keys)
