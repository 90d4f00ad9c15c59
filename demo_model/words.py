"""Draws names, numbers, units and times, and says which of them belong to the held-out split.

A device name, number, time or random word is held out by the CRC-32 of its text, a unit by a fixed
list; the training split never contains one of them.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_HELD_OUT_SHARE = 8
_CONSONANTS = "bcdfghklmnprstvwz"
_VOWELS = "aeiou"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

KINDS = (
    "pump", "valve", "motor", "fan", "boiler", "chiller", "gate", "sensor", "compressor", "conveyor", "mixer",
    "tank", "press", "robot", "oven", "freezer", "heater", "turbine", "inverter", "battery", "panel", "dryer",
    "cutter", "crane", "lift", "filter",
)  # fmt: skip
LEVELS = ("INFO", "WARN", "ERROR", "DEBUG")
UNITS = {
    "temperature": ("C", "°C", "K"),
    "pressure": ("bar", "kPa", "Pa"),
    "vibration": ("mm/s", "mm"),
    "flow": ("l/min", "m3/h", "l/s"),
    "level": ("%", "mm", "l"),
    "current": ("A", "mA"),
    "voltage": ("V", "kV"),
    "humidity": ("%",),
    "speed": ("rpm", "km/h"),
    "power": ("W", "kW"),
    "frequency": ("Hz", "kHz"),
    "noise": ("dB",),
    "co2": ("ppm",),
    "weight": ("kg", "t"),
    "load": ("%", "kN"),
}
HELD_OUT_UNITS = ("psi", "mbar", "mV", "m/s", "Nm", "kWh", "MPa", "lux", "mg/l", "°F")


def often(rng: Random, share: float) -> bool:
    """Say yes in the given share of draws."""
    return rng.random() < share


def is_held_out(text: str) -> bool:
    """Say whether a name, number, time or word belongs to the held-out split."""
    return zlib.crc32(text.encode()) % _HELD_OUT_SHARE == 0


def _until(draw: Callable[[], str], *, held: bool) -> str:
    while is_held_out(text := draw()) != held:
        pass
    return text


def _syllables(rng: Random) -> str:
    parts = rng.randint(1, 3)
    word = ""
    for _ in range(parts):
        word += rng.choice(_CONSONANTS) + rng.choice(_VOWELS)
        word += rng.choice("nrstlmk") if often(rng, 0.3) else ""
    return word


def word(rng: Random, *, held: bool) -> str:
    """Draw a made-up word such as `kora` or `temis`."""
    return _until(lambda: _syllables(rng), held=held)


def _device(rng: Random) -> str:
    kind = rng.choice(KINDS) if often(rng, 0.7) else _syllables(rng)
    match rng.randrange(8):
        case 0:
            return f"{rng.choice(_LETTERS).upper()}-{rng.randint(1, 999)}"
        case 1:
            return f"{kind}{rng.randint(1, 20)}"
        case 2:
            return f"{kind}-{rng.choice('abcdefgh')}"
        case 3 | 4:
            return f"{kind}-{_syllables(rng)}"
        case _:
            return f"{kind}-{rng.randint(1, 99)}"


def device(rng: Random, *, held: bool) -> str:
    """Draw a device name such as `pump-17`, `valve-kora` or `T-104`."""
    return _until(lambda: _device(rng), held=held)


def _made_up_unit(rng: Random) -> str:
    unit = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(1, 4)))
    unit = unit[0].upper() + unit[1:] if often(rng, 0.2) else unit
    unit += f"/{rng.choice(_LETTERS)}" if often(rng, 0.3) else ""
    return _made_up_unit(rng) if unit in HELD_OUT_UNITS else unit


def metric(rng: Random, *, held: bool) -> tuple[str, str]:
    """Draw a quantity and its unit; a third of the training units are made up so that units get copied."""
    name = rng.choice(list(UNITS))
    unit = rng.choice(HELD_OUT_UNITS) if held else rng.choice(UNITS[name])
    if not held and often(rng, 0.35):
        unit = _made_up_unit(rng)
    if often(rng, 0.15):
        name = word(rng, held=held)
    return name, unit


def _number(rng: Random, digits: int, *, decimal: bool) -> str:
    low = 0 if digits == 1 else 10 ** (digits - 1)
    whole = str(rng.randint(low, 10**digits - 1))
    return f"{whole}.{rng.randint(0, 9)}" if decimal else whole


def _shape(rng: Random, *, held: bool) -> tuple[int, bool]:
    """Draw the digits before the point and whether a decimal follows; no held-out number has one digit."""
    decimal = often(rng, 0.45)
    shapes = (1, 2, 2, 2, 3) if decimal else (1, 2, 2, 2, 3, 3, 4)
    digits = rng.choice(shapes)
    return (max(2, digits), decimal) if held else (digits, decimal)


def number(rng: Random, *, held: bool) -> str:
    """Draw a reading such as `7`, `417` or `63.2`."""
    digits, decimal = _shape(rng, held=held)
    return _until(lambda: _number(rng, digits, decimal=decimal), held=held)


def _near(rng: Random, centre: str, *, held: bool) -> str:
    decimal = "." in centre
    step = 0.1 if decimal else 1.0
    reach = rng.choice((4, 15, 60, 60)) * (8 if held else 1)

    def draw() -> str:
        value = max(0.0, float(centre) + step * rng.randint(-reach, reach))
        return f"{value:.1f}" if decimal else f"{value:.0f}"

    return _until(draw, held=held)


def _as_long(rng: Random, first: str, *, held: bool) -> str:
    digits = max(len(first.partition(".")[0]), 2 if held else 1)
    return _until(lambda: _number(rng, digits, decimal="." in first), held=held)


_COMPANIONS: tuple[tuple[float, Callable[..., str]], ...] = (
    (0.04, lambda _rng, first, **_: first),
    (0.3, _near),
    (0.8, _as_long),
    (1.0, lambda rng, _first, *, held: number(rng, held=held)),
)
"""How a further number relates to the first, by rising share of the draws."""


def numbers(rng: Random, count: int, *, held: bool) -> list[str]:
    """Draw numbers worth comparing: often as long as each other or close, rarely equal.

    Close numbers alone would teach nothing: the leading digits must decide often enough to be found out.
    """
    first = number(rng, held=held)
    result = [first]
    while len(result) < count:
        chance = rng.random()
        draw = next(draw for share, draw in _COMPANIONS if chance < share)
        result.append(draw(rng, first, held=held))
    rng.shuffle(result)
    return result


def clock(rng: Random, *, held: bool) -> str:
    """Draw a time of day, sometimes with a date in front."""

    def draw() -> str:
        time = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"
        if often(rng, 0.7):
            return time
        return f"{rng.randint(2020, 2039)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}T{time}Z"

    return _until(draw, held=held)


def noise(rng: Random) -> str:
    """Draw a short string without sense, for copying only."""
    alphabet = _LETTERS + _LETTERS.upper() + "0123456789-:.=/_"
    return _until(lambda: "".join(rng.choice(alphabet) for _ in range(rng.randint(2, 8))), held=False)
