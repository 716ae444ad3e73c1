"""What is kept with a run when its summary is printed, so that it can be checked later."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import vidmeter
from vidmeter.meter.run import Run
from vidmeter.meter.summary import Summary
from vidmeter.reports import jsonfile

_NO_FIGURES = frozenset({"environment", "workload", "facts", "cautions", "command", "footprint"})
"""Parts that hold no figures of the run; a footprint's come from what a user asked for."""


def statement(run: Run, summary: Summary) -> dict[str, Any]:
    """What is kept with a run when its summary is printed, as plain JSON values."""
    return {
        "vidmeter": vidmeter.__version__,
        "samples_sha256": digest(run),
        "figures": dict(figures(jsonfile.document(summary))),
    }


def digest(run: Run) -> str:
    """SHA-256 over all samples, series by series, in a fixed order."""
    sha = hashlib.sha256()
    for series in sorted(run.traces, key=repr):
        sha.update(repr(tuple(series)).encode())
        for values in run.traces[series]:
            sha.update(values.tobytes())
    return sha.hexdigest()


def figures(document: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, truth value and null of a document by its path: `devices.0.energy_j`."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            if key not in _NO_FIGURES:
                yield from figures(value, f"{where}.{key}" if where else str(key))
    elif isinstance(document, (list, tuple)):
        for i, value in enumerate(document):
            yield from figures(value, f"{where}.{i}")
    elif document is None or isinstance(document, (bool, int, float)):
        yield where, document
