"""Makes a run file of each finished repeat: cut out of its block, with what it is a repeat of."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidmeter.meter.cutting import cut
from vidmeter.meter.errors import BadRun
from vidmeter.meter.reader import load
from vidmeter.meter.run import Run
from vidmeter.meter.store import RunWriter
from vidmeter.meter.summarize import summarize
from vidmeter.meter.summary import Summary


def cut_out(block: Path, known: Mapping[str, Any], folder: Path) -> Iterator[tuple[int, Run]]:
    """The finished repeats of a block: their numbers, and a run of each with `workload` set.

    The harness's record of the block lies beside it. `known` is what the bench knows of all of
    them; files are told as `folder` sees them. Nothing comes of a block that finished none.
    """
    record = block.with_suffix("") / "workload.json"
    if not (block.exists() and record.exists()):
        return
    table = json.loads(record.read_text("utf-8"))
    whole = load(block)
    done = sorted(
        (p for p in whole.phases if p.name == "repeat" and p.end_ns and not p.error),
        key=lambda phase: phase.start_ns,
    )
    shared = {
        **known,
        **{k: table[k] for k in ("workload", "description", "settings", "facts")},
        "protocol": {**table["protocol"], "idle_w": _idle_w(summarize(whole))},
        "differs": _differs(table["settings"], table["facts"]),
        "operations": None,
    }
    for phase, made in zip(done, table["repeats"], strict=False):
        facts = {
            **shared,
            "task": "language" if "output_tokens" in made["work"] else "text-to-video",
            "repeat": made["repeat"],
            "seed": made["seed"],
            "work": made["work"],
            "files": [str((record.parent / f).relative_to(folder)) for f in made["files"]],
        }
        yield made["repeat"], replace(cut(block, phase), workload=facts)


def annotate(path: Path, facts: Mapping[str, Any]) -> None:
    """Keep with a run what it is a repeat of."""
    writer = RunWriter.reopen(path)
    writer.put(workload=facts)
    if not writer.finish():
        raise BadRun(f"the facts of the workload could not be written to {path}")


def _idle_w(summary: Summary) -> dict[str, float | None]:
    """What the devices of the total draw while nothing is done, without the program and with it."""
    devices = set(summary.total.devices)
    before = [i.mean_w for i in summary.idle if i.device in devices and i.mean_w is not None]
    found: dict[str, float | None] = {"no_context": None, "loaded": None, "after": None}
    if summary.idle and before:
        windows = len({i.start_ns for i in summary.idle})
        found["no_context"] = sum(before) / windows
    for phase in summary.phases:
        name = {"idle_loaded": "loaded", "idle_after": "after"}.get(phase.path[-1])
        if name and len(phase.path) == 1 and phase.duration_s:
            energies = [d.energy_j for d in phase.devices if d.device.uuid in devices]
            if energies and None not in energies:
                found[name] = sum(e or 0.0 for e in energies) / phase.duration_s
    return found


def _differs(settings: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """What was really done, where that isn't what the settings ask for; a sentence for each."""
    found = []
    if facts.get("steps_run") not in (None, settings.get("steps")):
        found.append(f"{settings.get('steps')} steps were asked for, {facts['steps_run']} were run")
    attention = facts.get("attention_backend") or facts.get("attention_implementation")
    for name, used in (("attention", attention), ("dtype", facts.get("dtype"))):
        asked = settings.get(name, "default")
        if asked != "default" and used not in (None, asked):
            found.append(f"{name} {asked} was asked for, {used} was used")
    return found + list(facts.get("unlike_released") or ())
