"""NVIDIA GPUs through NVML: which are read, and how one that was lost is found again.

Only this module and `nvml_facts`, `nvml_calls` and `nvml_process_calls` know pynvml.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from operator import attrgetter

import pynvml

from vidmeter.meter.clock import anchor
from vidmeter.meter.device import Device
from vidmeter.meter.errors import NoDevice
from vidmeter.meter.sample import Series
from vidmeter.meter.sensors.base import Fault, Reading
from vidmeter.meter.sensors.nvml_calls import bind
from vidmeter.meter.sensors.nvml_card import Card
from vidmeter.meter.sensors.nvml_counter import CounterWatch
from vidmeter.meter.sensors.nvml_errors import NOT_OFFERED, why_no_gpu
from vidmeter.meter.sensors.nvml_facts import describe, find, limit_w, list_gpus
from vidmeter.meter.sensors.nvml_sources import Memory, Source
from vidmeter.meter.sensors.nvml_turns import Turns
from vidmeter.meter.sensors.visible import choose


class NvmlSensor:
    """The chosen NVIDIA GPUs of this machine.

    `wanted` is the value of `--gpus`; without it the variables in `environ` decide as they do for
    CUDA. Raises `NoDevice` where there is no driver, no GPU, or none that was chosen. `notes`
    holds what the user should know about what is read, one sentence each.
    """

    notes: tuple[str, ...]

    def __init__(
        self, wanted: str | None = None, *, environ: Mapping[str, str] = os.environ
    ) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NoDevice(why_no_gpu(error.value)) from error
        self._opened = True
        self._turns = Turns(anchor())
        with ExitStack() as opened:
            opened.callback(self._shut_down)
            gpus, notes = list_gpus()
            choice = choose([facts for facts, _ in gpus], wanted=wanted, environ=environ)
            if not choice.uuids:
                reasons = (*notes, *choice.notes) if gpus else notes
                raise NoDevice(" · ".join(reasons) or f"--gpus {wanted}: no GPU is metered")
            by_uuid = {facts.uuid: (facts, handle) for facts, handle in gpus}
            self._cards: list[Card] = []
            self._faults: list[Fault] = []
            devices = []
            for facts, handle in (by_uuid[uuid] for uuid in choice.uuids):
                memory = Memory(CounterWatch(limit_w(handle)))
                bound = bind(facts.uuid, handle, memory, mig=facts.mig)
                devices.append(describe(facts, handle, bound.scopes))
                reopen = partial(
                    self._reopen, facts.uuid, memory, offered=bound.series, mig=facts.mig
                )
                self._cards.append(Card(facts.uuid, bound.sources, reopen))
                if not bound.power:
                    notes.append(f"GPU {facts.index} ({facts.name}) offers no reading of power")
            self._close = opened.pop_all().close
        self._devices = tuple(devices)
        self.notes = (*notes, *choice.notes)

    @property
    def devices(self) -> tuple[Device, ...]:
        """The chosen GPUs, in CUDA's order where CUDA_VISIBLE_DEVICES chose them."""
        return self._devices

    def read(self, now_ns: int, *, catch_up: bool = False) -> Reading:
        """All that is new of every GPU; a GPU in trouble never holds up the others' readings."""
        reading = self._turns.read(self._cards, now_ns, anchor(), catch_up=catch_up)
        reading.samples.sort(key=attrgetter("t_ns"))
        reading.faults.extend(self._faults)
        self._faults.clear()
        return reading

    def close(self) -> None:
        """Let go of the driver."""
        self._cards = []
        self._close()

    def _reopen(
        self, uuid: str, memory: Memory, *, offered: frozenset[Series], mig: bool
    ) -> Sequence[Source] | int:
        """Find a card that was lost, by its UUID: another may stand at its index now.

        NVML is begun anew only when no card answers, as the handles of all others end with it.
        """
        if not any(card.jobs for card in self._cards):
            code = self._restart()
            if code is not None:
                return code
        handle = find(uuid)
        if isinstance(handle, int):
            return handle
        bound = bind(uuid, handle, memory, mig=mig)
        if not bound.power:
            return min(NOT_OFFERED)
        for series in sorted(offered - bound.series):
            detail = f"{series.quantity} is not offered any more since the GPU was lost"
            self._faults.append(Fault("read_failed", uuid, detail, series))
        return bound.sources

    def _restart(self) -> int | None:
        """Begin NVML anew; the code with which it refuses."""
        self._shut_down()
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return int(error.value)
        self._opened = True
        return None

    def _shut_down(self) -> None:
        if not self._opened:
            return
        self._opened = False
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            pass  # a dead driver has nothing to shut down
