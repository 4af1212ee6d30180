"""Draw the picture of an app that has none: calm shapes of charts, the same for the same seed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from random import Random
from xml.sax.saxutils import escape

__all__ = ["HEIGHT", "WIDTH", "draw_cover"]

WIDTH, HEIGHT = 640, 360

#: Ground from, ground to, and the inks on it from strong to light.
Palette = tuple[str, str, tuple[str, ...]]

PALETTES: tuple[Palette, ...] = (
    ("#0b3d66", "#0f6f8c", ("#ffd166", "#7bdff2", "#b2f7ef", "#eff7f6")),
    ("#2b2d5b", "#5b4b9a", ("#ffb4a2", "#e5989b", "#cdb4f0", "#f4effa")),
    ("#12443c", "#2f7d5d", ("#f4d35e", "#a8e6a3", "#d8f3dc", "#f1faee")),
    ("#5a2338", "#a8465a", ("#ffd6a5", "#ffadad", "#f7d9c4", "#fff1e6")),
    ("#1d3354", "#467599", ("#f6bd60", "#9ed8db", "#d6f6dd", "#f7ede2")),
    ("#3d2c1e", "#96602f", ("#ffe8a3", "#f9b572", "#f3d5b5", "#fdf3e3")),
    ("#11343f", "#1f6f78", ("#ff9f80", "#86e3ce", "#d0e6a5", "#fafaf0")),
    ("#262b40", "#4f5d85", ("#8ecae6", "#ffb703", "#bde0fe", "#edf2fb")),
)


def draw_cover(title: str, seed: str) -> str:
    """Return an SVG image, 16:9, that is always the same for this ``seed`` and carries ``title`` as its name."""
    # The seed only has to spread well over the choices: nothing here is a secret.
    random = Random(hashlib.sha256(seed.encode()).digest())
    start, end, inks = random.choice(PALETTES)
    motif = random.choice(MOTIFS)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img"><title>{escape(title)}</title>'
        f'<defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1"><stop stop-color="{start}"/>'
        f'<stop offset="1" stop-color="{end}"/></linearGradient></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#g)"/>{"".join(motif(random, inks))}</svg>'
    )


def _series(random: Random, count: int) -> list[float]:
    """Return ``count`` values between 0 and 1 that go up and down gently."""
    waves = [(random.uniform(0.5, 2.6), random.uniform(0, math.tau), random.uniform(0.3, 1)) for _ in range(3)]
    raw = [sum(a * math.sin(f * math.tau * i / count + p) for f, p, a in waves) for i in range(count)]
    low, high = min(raw), max(raw)
    return [(value - low) / ((high - low) or 1) for value in raw]


def _smooth(points: list[tuple[float, float]]) -> str:
    """Return a path through the points whose tangents are level: it never overshoots them."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        middle = (x0 + x1) / 2
        path += f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
    return path


def _rules(inks: tuple[str, ...]) -> list[str]:
    """Return faint level lines, as behind a chart."""
    return [f'<path d="M0 {y}H{WIDTH}" stroke="{inks[3]}" stroke-opacity=".09"/>' for y in range(60, HEIGHT, 60)]


def _hills(random: Random, inks: tuple[str, ...]) -> list[str]:
    shapes = _rules(inks)
    for layer, (ink, opacity) in enumerate(zip(reversed(inks), (0.14, 0.22, 0.38, 0.9), strict=True)):
        base, rise = 190 + 42 * layer, 130 - 18 * layer
        line = [(WIDTH * i / 7, base - rise * value) for i, value in enumerate(_series(random, 8))]
        shapes.append(f'<path d="{_smooth(line)}V{HEIGHT}H0Z" fill="{ink}" fill-opacity="{opacity}"/>')
    return shapes


def _bars(random: Random, inks: tuple[str, ...]) -> list[str]:
    count = random.choice((11, 13, 16))
    step = 560 / count
    values = _series(random, count)
    best = values.index(max(values))
    shapes = _rules(inks)
    for i, value in enumerate(values):
        height = 40 + 220 * value
        ink, opacity = (inks[0], 1) if i == best else (inks[2], 0.28 + 0.42 * value)
        shapes.append(
            f'<rect x="{40 + i * step:.1f}" y="{310 - height:.1f}" width="{step * 0.68:.1f}" height="{height:.1f}" '
            f'rx="5" fill="{ink}" fill-opacity="{opacity:.2f}"/>'
        )
    return shapes


def _bubbles(random: Random, inks: tuple[str, ...]) -> list[str]:
    shapes = _rules(inks)
    for _ in range(46):
        x = random.uniform(30, WIDTH - 30)
        y = 290 - (x / WIDTH) * 190 + random.gauss(0, 42)
        radius = 4 + 26 * random.random() ** 3
        ink = random.choices(inks, (2, 4, 3, 1))[0]
        shapes.append(
            f'<circle cx="{x:.1f}" cy="{min(335, max(25, y)):.1f}" r="{radius:.1f}" fill="{ink}" fill-opacity=".62"/>'
        )
    return shapes


def _rings(random: Random, inks: tuple[str, ...]) -> list[str]:
    cx, shapes = random.choice((215, 320, 425)), []
    for ring in range(5):
        radius = 42 + 27 * ring
        around = math.tau * radius
        share, turn = random.uniform(0.3, 0.85), random.randrange(360)
        common = f'cx="{cx}" cy="180" r="{radius}" fill="none" stroke-width="15"'
        shapes.append(f'<circle {common} stroke="{inks[3]}" stroke-opacity=".1"/>')
        shapes.append(
            f'<circle {common} stroke="{inks[ring % 4]}" stroke-linecap="round" stroke-opacity=".9" '
            f'stroke-dasharray="{around * share:.1f} {around:.1f}" transform="rotate({turn} {cx} 180)"/>'
        )
    return shapes


def _tiles(random: Random, inks: tuple[str, ...]) -> list[str]:
    columns, rows, size = 16, 9, 40
    across, down = _series(random, columns), _series(random, rows)
    shapes = []
    for column in range(columns):
        for row in range(rows):
            value = (across[column] + down[row]) / 2 + random.uniform(-0.12, 0.12)
            ink = inks[0] if value > 0.82 else inks[1] if value > 0.58 else inks[2]
            opacity = 0.06 + 0.8 * max(0.0, min(1.0, value)) ** 1.8
            shapes.append(
                f'<rect x="{column * size + 2}" y="{row * size + 2}" width="{size - 4}" height="{size - 4}" rx="6" '
                f'fill="{ink}" fill-opacity="{opacity:.2f}"/>'
            )
    return shapes


def _lines(random: Random, inks: tuple[str, ...]) -> list[str]:
    shapes = _rules(inks)
    for ink, width, opacity in ((inks[3], 2, 0.35), (inks[2], 3, 0.55), (inks[1], 4, 0.85), (inks[0], 5, 1)):
        low, rise = random.uniform(230, 310), random.uniform(90, 190)
        points = [(40.0 + 80 * i, low - rise * value) for i, value in enumerate(_series(random, 8))]
        shapes.append(
            f'<path d="{_smooth(points)}" fill="none" stroke="{ink}" stroke-width="{width}" stroke-opacity="{opacity}" '
            f'stroke-linecap="round"/>'
        )
    x, y = points[-1]
    shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="10" fill="{inks[0]}"/>')
    return shapes


def _contours(random: Random, inks: tuple[str, ...]) -> list[str]:
    cx, cy = random.uniform(220, 420), random.uniform(140, 220)
    phases = [(n, random.uniform(0, math.tau), random.uniform(0.05, 0.16)) for n in (2, 3, 5)]
    shapes = []
    for level in range(11, 0, -1):
        points = []
        for i in range(72):
            angle = math.tau * i / 72
            radius = level * 32 * (1 + sum(a * math.sin(n * angle + p) for n, p, a in phases))
            points.append(f"{cx + 1.25 * radius * math.cos(angle):.1f},{cy + 0.8 * radius * math.sin(angle):.1f}")
        ink = inks[0] if level <= 2 else inks[1] if level <= 6 else inks[2]
        shapes.append(
            f'<polygon points="{" ".join(points)}" fill="{ink}" fill-opacity="{0.05 + 0.5 / level**1.1:.2f}" '
            f'stroke="{ink}" stroke-opacity=".35" stroke-width="1.5" stroke-linejoin="round"/>'
        )
    return shapes


MOTIFS: tuple[Callable[[Random, tuple[str, ...]], list[str]], ...] = (
    _hills,
    _bars,
    _bubbles,
    _rings,
    _tiles,
    _lines,
    _contours,
)
