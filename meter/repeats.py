"""Repeats of a phase held against each other: the first apart, and the course of one of them."""

from collections.abc import Sequence

import numpy as np

from vidmeter.meter.books import Book
from vidmeter.meter.deviceenergy import LEAST_COVERAGE, RESOLVED
from vidmeter.meter.energy import Floats
from vidmeter.meter.sources import Source
from vidmeter.meter.spans import as_spans, holds, over
from vidmeter.meter.uncertainty import independent

FEWEST = 10
"""Fewer repeats than this have no course in common."""
ALIKE = 0.2
"""Repeats within this share of their usual length are laid one on the other."""
MOST_PARTS = 20
FEWEST_READINGS = 5


def first_j(books: Sequence[Book], place: int, first: int) -> float | None:
    """The energy of a phase's first repeat, J; None where a device can't resolve it."""
    found = 0.0
    for book in books:
        if not book.here[first]:
            continue
        span = as_spans([(book.start_ns[first], book.end_ns[first])])
        source = _source(book, place)
        if source is None or independent(source, span) < RESOLVED:
            return None
        got = over(source.curve, span)
        if got.coverage < LEAST_COVERAGE:
            return None
        found += got.covered_j
    return found


def profile(
    books: Sequence[Book], place: int, repeats: Sequence[int]
) -> tuple[float | None, ...] | None:
    """The mean power over the course of a phase's repeats, W, from the readings in all of them.

    Only repeats that are about as long as most are taken, and only readings that speak of nothing
    else. Each of the equal parts is longer than a reading; one with too few of them has no power.
    """
    at = np.asarray(repeats)
    sources = [_source(book, place) for book in books if book.here[at].any()]
    lengths = [(b.end_ns - b.start_ns)[at[b.here[at]]] for b in books if b.here[at].any()]
    if len(repeats) < FEWEST or not sources:
        return None
    blur_s = max(s.blur_s if s and s.exact else np.inf for s in sources)
    usual_s = min(float(np.median(each)) for each in lengths) / 1e9
    parts = int(min(MOST_PARTS, usual_s * (1 - ALIKE) / blur_s)) if blur_s else 0
    if parts < 2:
        return None
    power = np.zeros(parts)
    for book in books:
        source = _source(book, place)
        if source is not None and book.here[at].any():
            found = _folded(book, source, at[book.here[at]], parts)
            if found is None:
                return None
            power += found
    return None if np.isnan(power).all() else tuple(None if w != w else float(w) for w in power)


def _folded(book: Book, source: Source, at: "np.ndarray", parts: int) -> Floats | None:
    """The mean power of one device in each part; NaN where too few readings tell."""
    length = (book.end_ns - book.start_ns)[at]
    at = at[np.abs(length - np.median(length)) <= ALIKE * np.median(length)]
    spans = np.column_stack((book.start_ns[at], book.end_ns[at]))
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    if len(spans) < FEWEST:
        return None
    (starts, ends), mean_w = source.stretches, source.mean_w
    inside = np.flatnonzero(holds(spans, starts, ends) & ~np.isnan(mean_w))[:: source.overlap]
    middle = (starts[inside] + ends[inside]) / 2
    span = spans[np.searchsorted(spans[:, 0], middle, side="right") - 1]
    position = (middle - span[:, 0]) / np.maximum(span[:, 1] - span[:, 0], 1)
    part = np.clip((position * parts).astype(np.int64), 0, parts - 1)
    count = np.bincount(part, minlength=parts)
    power = np.bincount(part, weights=mean_w[inside], minlength=parts) / np.maximum(count, 1)
    return np.where(count >= FEWEST_READINGS, power, np.nan)


def _source(book: Book, place: int) -> Source | None:
    """What the phase's energy is taken from on a device."""
    stated = book.of.get(place)
    return next((s for s in book.meter.sources if stated and s.name == stated.source), None)
