"""Cautions that several devices share, said once: eight cards under one limit are one doubt.

Texts of one kind that differ by the device they begin with, and by numbers, are one; numbers that
differ are said as a range. `summary.cautions` keeps them apart, and so do JSON and CSV.
"""

import re
from collections.abc import Sequence
from itertools import groupby

from vidmeter.meter.device import Device
from vidmeter.meter.summary import Caution, Summary

_NUMBER = re.compile(r"(?:(?<=[(\s])[+-])?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def cautions(summary: Summary) -> list[Caution]:
    """The doubts about a run, in their order; one for all devices of a name that share it."""
    names = [(e.device.kind, e.device.name) for e in summary.devices]
    if len(set(names)) == len(names):
        return list(summary.cautions)
    devices = {f"{e.device.label}: ": e.device for e in summary.devices}
    groups: dict[tuple[str, ...], list[tuple[Caution, Device | None, str]]] = {}
    for n, caution in enumerate(summary.cautions):
        label = next((label for label in devices if caution.text.startswith(label)), None)
        device = devices[label] if label else None
        rest = caution.text.removeprefix(label or "")
        key: tuple[str, ...] = (str(n),)
        if device is not None and device.index is not None:
            words = _NUMBER.sub("#", rest)
            key = (caution.kind, device.kind, device.name, words, caution.remedy or "")
            while any(device is other for _, other, _ in groups.get(key, ())):
                key += ("again",)
        groups.setdefault(key, []).append((caution, device, rest))
    return [_one(group) for group in groups.values()]


def _one(group: Sequence[tuple[Caution, Device | None, str]]) -> Caution:
    caution, device, _ = group[0]
    if len(group) == 1 or device is None:
        return caution
    indices = sorted(d.index for _, d, _ in group if d is not None and d.index is not None)
    label = f"{device.kind.upper()}s {_indices(indices)} {device.name}"
    return Caution(caution.kind, f"{label}: {_ranges([r for _, _, r in group])}", caution.remedy)


def _indices(found: Sequence[int]) -> str:
    """`0 to 3, 6`."""
    words = []
    for _, run in groupby(enumerate(found), lambda pair: pair[1] - pair[0]):
        of = [index for _, index in run]
        words.append(f"{of[0]} to {of[-1]}" if len(of) > 2 else ", ".join(map(str, of)))
    return ", ".join(words)


def _ranges(texts: Sequence[str]) -> str:
    """Texts that are alike but for their numbers as one."""
    every = [_NUMBER.findall(text) for text in texts]
    between = iter(_NUMBER.split(texts[0]))
    words = [next(between)]
    for column in zip(*every, strict=True):
        low, high = min(column, key=float), max(column, key=float)
        words += [low if low == high else f"{low} to {high}", next(between)]
    return "".join(words)
