"""Times and bytes as people say them."""

from __future__ import annotations

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


def seconds(value: float) -> str:
    """A time as people say it: `12 ms`, `3.4 s`, `5 min 20 s`."""
    if value < 0.9995:
        return f"{value * 1000:.3g} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(count: float) -> str:
    """A number of bytes as people say it, in powers of 1000: `712 bytes`, `1.2 GB`."""
    if count < 1000:
        return "1 byte" if count == 1 else f"{count:g} bytes"
    for unit in _UNITS:
        count /= 1000
        if count < 999.95 or unit == _UNITS[-1]:
            break
    return f"{count:.0f} {unit}" if count >= 99.95 else f"{count:.1f} {unit}"


def moment(at: float, apart: float) -> str:
    """A moment on an axis with lines so many seconds apart: `15 ms`, `5 min`, `1:30`, `2:15 h`."""
    if not at:
        return "0"
    if apart < 1:
        return f"{at * 1000:g} ms" if at < 1 else f"{at:.6g} s"
    if at < 60:
        return f"{at:g} s"
    hours, rest = divmod(round(at), 3600)
    minutes, rest = divmod(rest, 60)
    if rest:
        return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    if minutes:
        return f"{hours}:{minutes:02} h" if hours else f"{minutes} min"
    return f"{hours} h"


def times(number: int, what: str) -> str:
    """`one visit`, `1,204 visits`."""
    return f"one {what}" if number == 1 else f"{grouped(number)} {what}s"


def grouped(number: int) -> str:
    """A number with its digits in groups: `10,003`."""
    return f"{number:,}"
