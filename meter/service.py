"""The sampler's process: it serves the program that started it, and outlives its sudden end.

It runs beside the metered program and never inside it, started by `recorder.Recorder` and spoken
to in lines of JSON: requests come on stdin, answers go to a pipe of their own. If the process that
started it disappears, it ends what that one left behind and finishes the run file.
"""

import json
import os
import selectors
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import vidmeter
from vidmeter.meter.cards import Known, check_card, read_calibration, recall, with_known
from vidmeter.meter.clock import anchor, monotonic_ns
from vidmeter.meter.device import Device
from vidmeter.meter.environment import environment
from vidmeter.meter.errors import VidmeterError
from vidmeter.meter.guard import Guard
from vidmeter.meter.markreader import SHARED, MarkReader
from vidmeter.meter.order import Order
from vidmeter.meter.others import Others
from vidmeter.meter.quality import Verdict
from vidmeter.meter.run import Event
from vidmeter.meter.runfile import marks_folder, new_id, remove, remove_marks, start_ticks
from vidmeter.meter.sample import Quantity
from vidmeter.meter.sampler import PERIOD_NS, Sampler
from vidmeter.meter.sensors import Opened, Selection, open_sensors
from vidmeter.meter.store import RunWriter

LINGER_NS = 300_000_000
"""How long a session samples on after its last window was closed."""
PARENT_CHECK_S = 1.0
_MISSED = {
    "nvml": "no GPU is measured",
    "rapl": "no energy of CPU and DRAM is measured",
    "modelled": "no energy of the CPU is modelled",
}


class Service:
    """Serves the process that started the sampler, until it says stop or disappears."""

    def __init__(self, order: Order, sampler: Sampler, parent: int) -> None:
        self._order = order
        self._sampler = sampler
        self._parent = parent
        self._buffer = b""
        self._open_windows = 0 if order.session else 1
        self._sample_until_ns = 0
        self._stopped: dict[str, Any] | None = None
        os.set_blocking(0, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)

    def run(self) -> None:
        """Sample and answer requests."""
        while self._stopped is None:
            sampling = self._open_windows > 0 or monotonic_ns() < self._sample_until_ns
            wait_s = self._sampler.wait_s() if sampling else PARENT_CHECK_S
            if self._selector.select(wait_s) and not self._hear():
                self._abandoned()
                return
            if os.getppid() != self._parent:
                # A fork of the program may hold our pipe open after the program itself has died.
                self._abandoned()
                return
            if sampling and self._sampler.wait_s() == 0:
                self._sampler.tick()
        self._finish(**self._stopped)

    def _hear(self) -> bool:
        """Take requests from stdin; False at its end."""
        data = os.read(0, 65536)
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            request = json.loads(line)
            getattr(self, "_do_" + request.pop("do"))(**request)
        return bool(data)

    def _do_window(self, opened: int) -> None:
        if self._open_windows == 0 and opened > 0:
            self._sampler.restart()
            self._sampler.tick()
        self._sampler.edge()
        self._open_windows += opened
        self._sample_until_ns = monotonic_ns() + LINGER_NS

    def _do_flush(self, after_ns: int) -> None:
        self._sampler.settle(after_ns)
        self._sampler.commit()
        say(flushed=after_ns)

    def _do_put(self, facts: dict[str, Any]) -> None:
        self._sampler.writer.put(**facts)

    def _do_stop(self, end_ns: int, exit_code: int | None = None) -> None:
        self._stopped = {"end_ns": end_ns, "exit_code": exit_code}

    def _finish(self, end_ns: int, exit_code: int | None) -> None:
        self._sampler.settle(end_ns)
        self._sampler.writer.put(end_ns=end_ns, exit_code=exit_code)
        whole = self._sampler.finish()
        self._tidy()
        say(done=whole, lost_samples=self._sampler.writer.lost_samples)

    def _abandoned(self) -> None:
        """The process that started us is gone: end what it left behind, and the file."""
        end_ns = monotonic_ns()
        if self._order.marker:
            from vidmeter.meter.tree import kill_tree

            kill_tree(self._order.marker, grace_s=2.0)
        detail = "vidmeter itself was killed; its command was ended too"
        self._sampler.writer.add_event(Event("abandoned", end_ns, end_ns, detail))
        self._sampler.writer.put(end_ns=end_ns, exit_code=None)
        self._sampler.finish()
        self._tidy()

    def _tidy(self) -> None:
        """Leave the run file alone; of a session, nothing."""
        path = Path(self._order.path)
        remove_marks(path)
        if self._order.session:
            remove(path)
            try:
                path.parent.rmdir()
            except OSError:
                pass  # the user's own folder, or one that holds something else


_answers = 1
"""The file descriptor that answers go to."""


def say(**answer: Any) -> None:
    """Answer the process that started us; if it is gone, nobody listens."""
    try:
        os.write(_answers, (json.dumps(answer) + "\n").encode())
    except BrokenPipeError:
        pass  # the end of stdin is noticed next and handled there


def begin(order: Order, opened: Opened) -> Sampler:
    """Create the run file and take the first readings."""
    path = Path(order.path)
    now = monotonic_ns()
    facts: dict[str, Any] = {
        "id": new_id(),
        "command": order.command,
        "start_ns": now,
        "end_ns": None,
        "exit_code": None,
        "period_ns": round(order.period_s * 1e9) if order.period_s else PERIOD_NS,
        "started_real_ns": anchor().real_ns,
        "recorder_pid": os.getpid(),
        "recorder_start": start_ticks(os.getpid()),
    }
    writer = RunWriter.create(path, facts, force=order.force)
    marks_folder(path).mkdir(exist_ok=True)
    (marks_folder(path) / SHARED).touch()
    marks = MarkReader(marks_folder(path))
    known = {d.uuid: _recall(d, order) for s in opened.sensors for d in s.devices}
    for sensor in opened.sensors:
        for device in sensor.devices:
            writer.add_device(with_known(device, known[device.uuid]))
    devices = [d for sensor in opened.sensors for d in sensor.devices]
    sampler = Sampler(
        opened.sensors,
        writer,
        marks,
        period_ns=facts["period_ns"] if order.period_s else None,
        guard=Guard(devices, {uuid: k.quality for uuid, k in known.items()}),
        others=Others(order.marker, roots=(os.getppid(),) if order.session else ()),
    )
    if order.period_s is None:
        _set_pace(sampler, devices, known)
    for absent in opened.absent:
        what = _MISSED.get(absent.sensor, f"{absent.sensor} is not used")
        writer.add_event(Event("absent", now, now, f"{what}: {absent.reason}"))
    for note in (*opened.notes, *(doubt for k in known.values() for doubt in k.doubts)):
        writer.add_event(Event("note", now, now, note))
    sampler.edge()
    sampler.tick()
    sampler.commit()
    return sampler


def _check_calibration(order: Order, opened: Opened) -> None:
    """Raise `BadCalibration` if the user named a calibration of a card that isn't metered here."""
    if order.calibration is not None:
        path = Path(order.calibration)
        calibration = read_calibration(path)
        uuids = [d.uuid for s in opened.sensors for d in s.devices if d.kind == "gpu"]
        if calibration.uuid not in uuids:
            check_card(calibration, " or ".join(uuids) or "any device here", path)


def _recall(device: Device, order: Order) -> Known:
    """What is known of a card, its calibration from the file that the user named, if any."""
    if device.sensor != "nvml":
        return Known()
    known = recall(device)
    if order.calibration is None:
        return known
    calibration = read_calibration(Path(order.calibration))
    return replace(known, calibration=calibration if calibration.uuid == device.uuid else None)


def _set_pace(sampler: Sampler, devices: list[Device], known: dict[str, Known]) -> None:
    """Poll as fast as the cards need it; look closely at those that nothing is known of."""
    unknown = {d.uuid for d in devices if d.sensor == "nvml" and known[d.uuid].quality is None}
    if unknown:
        sampler.look_closely(unknown)
        return
    refreshes_ns = []
    for quality in (k.quality for k in known.values() if k.quality):
        ring = quality.of(Quantity.POWER_RING)
        if ring is None or ring.verdict is not Verdict.WORKS:
            refreshes_ns += [s.refresh_ns for s in quality.series if s.refresh_ns]
    sampler.poll_for(refreshes_ns)


def main(order_json: str, answers: int) -> None:
    """The process: `order_json` is an `Order`, `answers` the file descriptor to answer on."""
    global _answers
    _answers = answers
    # A scheduler that ends a job sends TERM to everyone in it. We end when the program has ended.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Told rather than asked for: whoever started us may be gone before we are ready.
    parent = int(os.environ.pop("VIDMETER_PARENT", os.getppid()))
    fields = json.loads(order_json)
    order = Order(**fields | {k: tuple(fields[k]) for k in ("command", "sensors") if k in fields})
    environ = dict(os.environ)
    try:
        opened = open_sensors(Selection(order.sensors, order.gpus, order.cpu_watts), environ)
        _check_calibration(order, opened)
        sampler = begin(order, opened)
    except VidmeterError as error:
        say(error=str(error), kind=type(error).__name__)
        sys.exit(2)
    devices = [(d.name, d.provenance) for s in opened.sensors for d in s.devices]
    say(ready=devices, absent=[list(a) for a in opened.absent], notes=opened.notes)
    facts = environment(environ) | {"vidmeter": vidmeter.__version__, "directory": os.getcwd()}  # noqa: PTH109
    sampler.writer.put(environment=facts)
    Service(order, sampler, parent).run()
    # All is written and closed; to take the interpreter apart as well would take 10 ms.
    os._exit(0)
