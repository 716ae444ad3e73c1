"""What has to be alike for two energies to be compared: what a run was told, and what it ran on.

Runs of a workload state their settings; of other runs those are taken that the hook saw pipelines
called with, and what their videos are like.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from vidmeter.meter.device import Device, Kind
from vidmeter.meter.run import Phase, Run
from vidmeter.meter.summary import Summary
from vidmeter.meter.work import ORIGINS

VARIED = {"seed", "prompt"}
"""Settings that a protocol varies from repeat to repeat."""
NONE = "none"
_CALLED = {"pipeline": "class"} | {
    name: name for name in ("steps", "guidance", "batch", "dtype", "attention")
}
"""Facts of a call by the name of the setting."""
_IMPORTED = {
    "model": "model",
    "model_id": "model",
    "num_inference_steps": "steps",
    "inference_steps": "steps",
    "num_frames": "frames",
    "batch_size": "batch",
    "project_name": "project",
    "window": "window",
}
"""Facts of imported runs by the name of the setting."""


def is_call(phase: Phase) -> bool:
    """Whether it is a pipeline's call that the hook saw end."""
    return "class" in phase.facts and "parameters" in phase.facts


def settings(run: Run) -> dict[str, Any]:
    """What a run was told, by its workload or its file, else as seen; empty if nothing is known."""
    stated = (run.workload or {}).get("settings")
    if stated:
        return dict(stated)
    imported = run.environment.get("imported")
    if imported:
        return _of_import(imported)
    calls = [phase.facts for phase in run.phases if is_call(phase)]
    found = {
        name: _one(call.get(fact) for call in calls) for name, fact in _CALLED.items() if calls
    }
    return {name: value for name, value in found.items() if value is not None} | _of_videos(run)


def fields(run: Run, summary: Summary) -> dict[str, str]:
    """All that has to be alike, by name, in words; `none` where nothing is known."""
    devices = counted(summary)
    facts = run.workload or {}
    said = facts.get("facts") or {}
    found: dict[str, Any] = {
        "provenance": summary.total.provenance,
        "card": ", ".join(dict.fromkeys(d.name for d in devices)),
        "number of devices": len(devices),
        "counted": summary.total.boundary,
        "measured by": (run.environment.get("imported") or {}).get("program") or "vidmeter",
        "weights": said.get("weights"),
        "fps": fps(summary),
        "workload": facts.get("workload"),
        **{name: value for name, value in settings(run).items() if name != "weights"},
        "driver": _first(devices, "driver_version"),
        "power limit": _first(devices, "power_limit_w"),
        "machine": run.environment.get("host"),
        **(said.get("versions") or {}),
    }
    return {name: shown(value) for name, value in found.items()}


def counted(summary: Summary) -> list[Device]:
    """The devices that the total is made of."""
    inside = summary.total.devices
    return [e.device for e in summary.devices if e.device.uuid in inside]


def cards(summary: Summary) -> frozenset[str]:
    """The UUIDs of the GPUs in the total; empty where one of them isn't known."""
    found = {d.uuid for d in counted(summary) if d.kind is Kind.GPU}
    known = not any(uuid.startswith("unknown:") for uuid in found)
    return frozenset(found) if known else frozenset()


def fps(summary: Summary) -> float | None:
    """Frames per second of the videos."""
    seconds, frames = summary.work.video_seconds, summary.work.frames
    return round(frames / seconds, 3) if seconds and frames else None


def shown(value: Any) -> str:
    """A value in words, `none` where there is none."""
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value) if value is not None and value != "" else NONE


def _of_import(told: Mapping[str, Any]) -> dict[str, Any]:
    """What another program's file says of the job."""
    found = {name: told[key] for key, name in _IMPORTED.items() if told.get(key) is not None}
    if told.get("width") and told.get("height"):
        found["size"] = f"{told['width']}×{told['height']}"
    return found


def _of_videos(run: Run) -> dict[str, Any]:
    """Size and frames of a run's videos, by whom `meter.work` believes first of those who say."""
    told = [w for w in run.work if w.unit == "video" and w.width and w.height and w.frames]
    if not told:
        return {}
    first = min((w.origin for w in told), key=ORIGINS.index)
    best = [w for w in told if w.origin == first]
    return {
        "size": _one(f"{w.width}×{w.height}" for w in best),
        "frames": _one(round((w.frames or 0) / (w.count or 1)) for w in best),
    }


def _one(values: Iterable[Any]) -> Any:
    """The value, if all are the same; else all of them in words; None without any."""
    found = [value for value in dict.fromkeys(values) if value is not None]
    return found[0] if len(found) == 1 else " / ".join(map(shown, found)) or None


def _first(devices: Iterable[Device], fact: str) -> Any:
    return next((d.facts[fact] for d in devices if fact in d.facts), None)
