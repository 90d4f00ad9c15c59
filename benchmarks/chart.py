"""Draws the ratios as bars, each with its goal: an SVG that reads well on light and dark pages."""

from xml.sax.saxutils import escape

from benchmarks.table_rows import Row

WIDTH, LABEL_WIDTH, VALUE_WIDTH = 960, 250, 70
ROW_HEIGHT, BAR_HEIGHT, HEAD_HEIGHT, GROUP_HEIGHT, FOOT_HEIGHT = 24, 14, 58, 30, 34
MAX_RATIO = 4.0
"""Longer bars end here, with their number beside them."""
SCALE = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / MAX_RATIO
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 } .group { font-weight: 600 }
  .quiet { fill: #59636e; font-size: 12px } .axis { stroke: #d1d9e0 } .even { stroke: #59636e }
  .reached { fill: #1a7f5a } .missed { fill: #c2571a } .free { fill: #8c959f }
  .goal { stroke: #1f2328; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .axis { stroke: #3d444d } .even { stroke: #9198a1 }
    .reached { fill: #3fb68b } .missed { fill: #e8823a } .free { fill: #656c76 }
    .goal { stroke: #f0f6fc }
  }
"""


def chart(rows: list[Row]) -> str:
    """Return the chart as SVG."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.title} ({row.model} {row.form})", []).append(row)
    height = HEAD_HEIGHT + len(groups) * GROUP_HEIGHT + len(rows) * ROW_HEIGHT + FOOT_HEIGHT
    parts = [_head(height), *_axis(height)]
    y = HEAD_HEIGHT
    for title, members in groups.items():
        parts.append(_text(12, y + 20, title, "group"))
        y += GROUP_HEIGHT
        for row in members:
            parts += _bar(row, y)
            y += ROW_HEIGHT
    parts.append(
        _text(12, height - 12, "A mark is the goal. Green: reached; orange: not; grey: no goal.", "quiet")
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(height: int) -> str:
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    title = "How many times as fast as its peers promptd is"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">\n'
        f"<style>{STYLE}</style>\n" + _text(12, 26, title, "title")
    )


def _axis(height: int) -> list[str]:
    parts = []
    for ratio in range(int(MAX_RATIO) + 1):
        x = LABEL_WIDTH + ratio * SCALE
        kind, label = ("even", "as fast") if ratio == 1 else ("axis", f"{ratio}")
        parts.append(_line(kind, x, HEAD_HEIGHT - 8, height - FOOT_HEIGHT))
        parts.append(_text(x, HEAD_HEIGHT - 14, label, "quiet", "middle"))
    return parts


def _bar(row: Row, y: float) -> list[str]:
    """Draw one peer; where less is better, the bar shows how many times less."""
    times, goal = row.ratio, row.goal
    if row.is_small_better:
        times, goal = 1 / times, None if goal is None else 1 / goal
    kind = "free" if goal is None else "reached" if row.is_reached else "missed"
    length, top = min(times, MAX_RATIO) * SCALE, y + (ROW_HEIGHT - BAR_HEIGHT) / 2
    end = LABEL_WIDTH + max(length, (goal or 0) * SCALE)
    size = f'width="{length:.1f}" height="{BAR_HEIGHT}" rx="2"'
    parts = [
        _text(LABEL_WIDTH - 10, y + 16, f"against {row.peer}", "label", "end"),
        f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{top:.1f}" {size}/>',
        _text(end + 8, y + 16, f"{times:.2f}", "label"),
    ]
    if goal is not None:
        parts.append(_line("goal", LABEL_WIDTH + goal * SCALE, top - 3, top + BAR_HEIGHT + 3))
    return parts


def _line(kind: str, x: float, top: float, bottom: float) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
