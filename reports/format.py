"""Numbers for people: units, digits, lengths of time."""

from collections.abc import Callable

NONE = "–"
Format = Callable[[float | None], str]
"""A number in SI units as text; None is a dash."""


def joules(value: float | None) -> str:
    """Energy with four digits: `812.4 mJ`, `7.214 kJ`.

    >>> joules(7213.9)
    '7.214 kJ'
    >>> joules(None)
    '–'
    """
    return _scaled(value, "J", (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3)))


def watts(value: float | None) -> str:
    """Power with four digits: `312.6 W`."""
    return _scaled(value, "W", (("k", 1e4), ("", 1.0), ("m", 1e-3)))


def watt_hours(value: float | None) -> str:
    """Energy in watt-hours: `2.004 Wh`."""
    return _scaled(value, "Wh", (("k", 1e3), ("", 1.0), ("m", 1e-3)))


def seconds(value: float | None) -> str:
    """A length of time: `312 ms`, `5.06 s`, `3 min 12 s`, `2 h 05 min`."""
    if value is None:
        return NONE
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    if value < 100:
        return f"{value:.3g} s" if value < 10 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def digits(value: float | None) -> str:
    """A number with four significant digits, without exponent where it can be read.

    >>> digits(1234567.0), digits(0.012345)
    ('1 235 000', '0.01235')
    """
    if value is None:
        return NONE
    if value == 0:
        return "0"
    text = f"{value:.4g}"
    if "e" not in text and abs(value) < 10_000:
        return text
    return f"{float(text):,.0f}".replace(",", " ") if abs(value) >= 1 else text


def percent(value: float | None) -> str:
    """A share: `99.4 %`."""
    return NONE if value is None else f"{value * 100:.3g} %"


def share(value: float | None) -> str:
    """A part of a whole for a column of them, all with one decimal.

    >>> share(0.638), share(0.0001), share(0.0)
    ('63.8 %', '<0.1 %', '0.0 %')
    """
    if value is not None and 0 < value < 0.0005:
        return "<0.1 %"
    return NONE if value is None else f"{value * 100:.1f} %"


def _scaled(value: float | None, unit: str, prefixes: tuple[tuple[str, float], ...]) -> str:
    if value is None:
        return NONE
    if value == 0:
        return f"0 {unit}"
    prefix, size = prefixes[-1]
    for prefix, size in prefixes:  # noqa: B007 - the last one serves what is smaller still
        if abs(value) >= size:
            break
    return f"{value / size:.4g} {prefix}{unit}"
