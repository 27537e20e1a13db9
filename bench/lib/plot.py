"""A chart of medians with their least and most, as plain SVG."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 80, 20, 50, 60
COLOURS = ("#1b5e9b", "#b8471f", "#3d7d2a", "#7a3c8c", "#666666")


def ceiling(value):
    """The next number whose fifths are round."""
    power = 10 ** math.floor(math.log10(value)) if value > 0 else 1
    return next(power * step for step in (1, 1.5, 2, 2.5, 5, 7.5, 10) if power * step >= value)


def text(x, y, words, anchor="middle", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra and " " + extra}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour, width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def draw(title, x_name, y_name, series):
    """series: name -> list of (x, label, median, least, most).  x is spaced by its place in the list of all x, so that
    0 and a million fit on one axis; y begins at 0."""
    labels = {}
    for points in series.values():
        for x, label, *_ in points:
            labels[x] = label
    places = {x: place for place, x in enumerate(sorted(labels))}
    top = ceiling(max(most for points in series.values() for *_, most in points) or 1)

    def at_x(x):
        return LEFT + (WIDTH - LEFT - RIGHT) * (places[x] + 0.5) / len(places)

    def at_y(value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', text(WIDTH / 2, 22, title, extra='font-size="15"')]
    for part in range(6):
        value = top * part / 5
        parts += [line(LEFT, at_y(value), WIDTH - RIGHT, at_y(value), "#dddddd"),
                  text(LEFT - 8, at_y(value) + 4, f"{value:,.0f}" if top >= 10 else f"{value:.2g}", "end")]
    parts += [text(at_x(x), HEIGHT - BOTTOM + 18, label) for x, label in labels.items()]
    parts += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 40, x_name),
              text(18, (TOP + HEIGHT - BOTTOM) / 2, y_name, extra=f'transform="rotate(-90 18 {(TOP + HEIGHT - BOTTOM) / 2:.0f})"')]
    for number, (name, points) in enumerate(series.items()):
        parts += draw_one(name, points, COLOURS[number % len(COLOURS)], number, at_x, at_y)
    return "\n".join(parts + ["</svg>"]) + "\n"


def draw_one(name, points, colour, number, at_x, at_y):
    path = " ".join(f"{at_x(x):.1f},{at_y(median):.1f}" for x, _, median, _, _ in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for x, _, median, least, most in points:
        parts += [line(at_x(x), at_y(least), at_x(x), at_y(most), colour),
                  f'<circle cx="{at_x(x):.1f}" cy="{at_y(median):.1f}" r="3.5" fill="{colour}"/>']
    return parts + [text(LEFT + 10 + 180 * number, TOP - 10, name, "start", f'fill="{colour}"')]
