"""Numbers as people read them."""

from collections.abc import Sequence


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s``, ``5 h 12 min``, ``3 d 4 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, smaller, part in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def size(number: float) -> str:
    """Bytes in decimal units: ``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def counted(number: int, noun: str) -> str:
    """``1 seed``, ``4 seeds``, ``2,000 images``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def decimals(images: int) -> int:
    """Decimals of a per cent of so many images: none that is less than a single image.

    100 images have none, 2,000 one, 10,000 and more have two.
    """
    return min(max(len(str(images // 100)) - 1, 0), 2)


def percent(share: float, images: int) -> str:
    """``89.7 %``, with :func:`decimals`; rounded as :func:`fraction`, or 0.9045 would be both."""
    return f"{100 * float(fraction(share, images)):.{decimals(images)}f} %"


def fraction(share: float, images: int) -> str:
    """``0.897``: a share as :func:`percent` has it, where there is no room for a unit."""
    return f"{share:.{decimals(images) + 2}f}"


def signed(value: float, digits: int) -> str:
    """``+0.9`` or ``−0.9``, with a real minus sign."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float, high: float, digits: int) -> str:
    """``−0.3 to +2.1``; with more digits if an end would read zero and is not."""
    while digits < 6 and any(end and not round(end, digits) for end in (low, high)):
        digits += 1
    return f"{signed(low, digits)} to {signed(high, digits)}"


def augmentation_in_words(flip: Sequence[str], shift: int) -> str:
    """What augmentation may do to an image; empty where it may do nothing.

    Args:
        flip: axes along which it may be mirrored.
        shift: pixels by which it may be moved.
    """
    moves = [f"flips along {axis}" for axis in flip]
    moves += [f"shifts up to {shift} pixels"] if shift else []
    return ", ".join(moves)


def table(rows: Sequence[Sequence[str]], numbers: int = 0) -> list[str]:
    """Lines of columns as wide as they must be; the last ``numbers`` columns to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first = len(widths) - numbers
    return [
        "  ".join(
            cell.rjust(width) if column >= first else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
