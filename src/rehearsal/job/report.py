"""What a rehearsal showed: a page for people and a JSON file for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

WIDTH = 960
ROW = 22
LABEL = 250
ZONE_COLOURS = {"public": "#e7f0fb", "private": "#edf7ed", "admin": "#fdf3e1"}


@dataclass(frozen=True)
class Span:
    """One phase of the job, in seconds since the job began."""

    name: str
    start: float
    seconds: float


@dataclass(frozen=True)
class Mark:
    """One moment worth a line across the timeline."""

    name: str
    at: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """The figures of one rehearsal; durations in seconds, orders as counts."""

    environment: str
    recovery_environment: str
    started: str
    phases: tuple[Span, ...]
    marks: tuple[Mark, ...] = ()
    rto_seconds: float
    replay_seconds: float
    rpo_seconds: float
    orders_acknowledged: int
    orders_before_barrier: int
    orders_restored_before_barrier: int
    orders_restored: int
    orders_lost: int
    inventories: tuple[dict[str, Any], ...] = field(default=())
    modelled: dict[str, str] = field(default_factory=dict)

    @property
    def kept_its_promise(self) -> bool:
        """Whether every order acknowledged before the barrier was read back."""
        return self.orders_restored_before_barrier == self.orders_before_barrier > 0


def write(report: Report, directory: Path) -> Path:
    """Writes `index.html` and `rehearsal-report.json`; the page's path."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "rehearsal-report.json").write_text(json.dumps(document(report), indent=2) + "\n")
    page = directory / "index.html"
    page.write_text(render(report))
    return page


def document(report: Report) -> dict[str, Any]:
    """The report as JSON values; a phase is its name and its seconds."""
    values = asdict(report)
    values.pop("inventories")
    values["phases"] = [
        {"name": p.name, "start": round(p.start, 2), "seconds": round(p.seconds, 2)} for p in report.phases
    ]
    values["kept_its_promise"] = report.kept_its_promise
    return values


def render(report: Report) -> str:
    """The page, whole: style and pictures are inside it."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(files("rehearsal.job").joinpath("report.html.j2").read_text())
    return template.render(
        report=report,
        timeline=Markup(timeline(report.phases, report.marks)),  # noqa: S704 - names are escaped below
        topologies=[(i["environment"], Markup(topology(i))) for i in report.inventories],  # noqa: S704
        finished=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def timeline(phases: Sequence[Span], marks: Sequence[Mark]) -> str:
    """An SVG with a bar for each phase, a scale of seconds and a line for each mark."""
    end = max([p.start + p.seconds for p in phases] + [m.at for m in marks] + [1.0])
    scale = (WIDTH - LABEL - 60) / end
    height = ROW * (len(phases) + 2) + 14 * len(marks)
    parts = [_svg_open(WIDTH, height, "Timeline of the rehearsal")]
    for row, phase in enumerate(phases):
        parts.append(_bar(phase, row * ROW + 4, scale))
    floor = ROW * len(phases) + 6
    parts += [_tick(second, floor, scale) for second in _ticks(end)]
    for row, mark in enumerate(marks):
        parts.append(_mark_line(mark, floor, floor + ROW + 14 * row + 8, scale))
    return "".join([*parts, "</svg>"])


def topology(inventory: dict[str, Any]) -> str:
    """An SVG with a box for each zone and az, its hosts and the volumes of the az."""
    zones = [z for z in ("public", "admin", "private") if any(h["zone"] == z for h in inventory["hosts"])]
    azs = sorted({h["az"] for h in inventory["hosts"]})
    column = (WIDTH - 100) // max(len(azs), 1)
    parts, y = [], 26
    for zone in zones:
        cells = [[h for h in inventory["hosts"] if h["zone"] == zone and h["az"] == az] for az in azs]
        tall = 16 + 34 * max(len(cell) for cell in cells)
        parts.append(f'<text x="4" y="{y + 20}" class="zone">{escape(zone)}</text>')
        for index, cell in enumerate(cells):
            parts.append(_cell(cell, zone, 90 + index * column, y, column - 10, tall))
        y += tall + 10
    for index, az in enumerate(azs):
        parts.append(f'<text x="{94 + index * column}" y="16" class="az">{escape(az)}</text>')
        for line, volume in enumerate(v for v in inventory["volumes"] if v["az"] == az):
            label = f"⛁ {volume['name']} {volume['size_gib']} GiB {volume['volume_id']}"
            parts.append(
                f'<text x="{94 + index * column}" y="{y + 14 + 16 * line}" class="volume">{escape(label)}</text>'
            )
    return "".join([_svg_open(WIDTH, y + 50, f"Topology of {inventory['environment']}"), *parts, "</svg>"])


def _svg_open(width: int, height: int, title: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'


def _bar(phase: Span, y: int, scale: float) -> str:
    x, width = LABEL + phase.start * scale, max(phase.seconds * scale, 2)
    return (
        f'<text x="{LABEL - 8}" y="{y + 13}" class="label">{escape(phase.name)}</text>'
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 6}" rx="3" class="bar"/>'
        f'<text x="{x + width + 5:.1f}" y="{y + 13}" class="seconds">{phase.seconds:.1f} s</text>'
    )


def _ticks(end: float) -> list[int]:
    step = next(s for s in (5, 10, 30, 60, 120, 300, 600, 3600) if end / s <= 10 or s == 3600)
    return list(range(0, int(end) + 1, step))


def _tick(second: int, y: int, scale: float) -> str:
    x = LABEL + second * scale
    line = f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{y}" class="grid"/>'
    return f'{line}<text x="{x:.1f}" y="{y + 12}" class="tick">{second} s</text>'


def _mark_line(mark: Mark, floor: int, y: int, scale: float) -> str:
    x = LABEL + mark.at * scale
    return (
        f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{y}" class="mark"/>'
        f'<text x="{x - 4:.1f}" y="{y + 4}" class="markname">{escape(mark.name)} ({mark.at:.0f} s)</text>'
    )


def _cell(hosts: list[dict[str, Any]], zone: str, x: int, y: int, width: int, height: int) -> str:
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{ZONE_COLOURS[zone]}" class="cell"/>'
    ]
    for row, host in enumerate(hosts):
        top = y + 8 + 34 * row
        parts.append(f'<rect x="{x + 8}" y="{top}" width="{width - 16}" height="28" rx="4" class="host"/>')
        parts.append(f'<text x="{x + 16}" y="{top + 12}" class="hostname">{escape(host["name"])}</text>')
        address = f"{host['private_ip']}" + (f" · {host['public_ip']}" if host.get("public_ip") else "")
        parts.append(f'<text x="{x + 16}" y="{top + 24}" class="address">{escape(address)}</text>')
    return "".join(parts)
