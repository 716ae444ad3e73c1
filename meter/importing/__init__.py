"""Old data of other programs as runs, so that it joins comparisons.

One module for each format says how it is known (`recognises`) and what it means (`read`). What a
format lacks stays unknown: readings of power become traces like our own, and an energy without
them becomes a stated energy at the edges of its window, never a made-up curve.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from vidmeter.meter.errors import BadImport
from vidmeter.meter.importing import codecarbon, dmon, ml_energy, nvidia_smi, zeus
from vidmeter.meter.importing.building import Given
from vidmeter.meter.run import Run


class _Format(NamedTuple):
    recognises: Callable[[str], bool]
    read: Callable[[Given], list[Run]]


_KNOWN: Mapping[str, _Format] = {
    "nvidia-smi": _Format(nvidia_smi.recognises, nvidia_smi.read),
    "dmon": _Format(dmon.recognises, dmon.read),
    "codecarbon": _Format(codecarbon.recognises, codecarbon.read),
    "zeus": _Format(zeus.recognises, zeus.read),
    "ml-energy": _Format(ml_energy.recognises, ml_energy.read),
}
FORMATS = tuple(_KNOWN)


def read_foreign(path: Path, *, form: str = "auto", period_s: float | None = None) -> list[Run]:
    """The runs in a file of another program, in its order; `form` is one of `FORMATS` or `auto`.

    `period_s` is the time between the rows of a log that has no times. Raises `BadImport`, with the
    line where there is one, for a file that can't be understood.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadImport(f"can't read {path}: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadImport(f"{path} is not a text file: {_known()}") from None
    given = Given(path, text, hashlib.sha256(raw).hexdigest(), period_s)
    if form == "auto":
        form = next((name for name, known in _KNOWN.items() if known.recognises(text)), "")
        if not form:
            raise BadImport(f"{path} is of no known format: {_known()}")
    return _KNOWN[form].read(given)


def _known() -> str:
    return f"known are {', '.join(FORMATS)}, each with its header (docs/import.md)"
