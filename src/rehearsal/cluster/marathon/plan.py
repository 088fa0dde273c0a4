"""Deployment plans: from the apps there are to the apps there shall be, in the order of their dependencies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rehearsal.cluster.marathon.app import App, config_of
from rehearsal.cluster.settings import Json


class CyclicDependencies(Exception):
    """The apps depend on one another in a circle; names them."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """StopApplication, StartApplication, ScaleApplication or RestartApplication of one app."""

    action: str
    app: str

    def document(self) -> Json:
        """As the API shows it."""
        return {"action": self.action, "app": self.app}


Step = tuple[Action, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A deployment: what it starts from, what it leads to, and its steps."""

    id: str
    version: str
    original: dict[str, Json | None]
    target: dict[str, Json | None]
    steps: tuple[Step, ...] = field(default=())

    @property
    def affected(self) -> list[str]:
        """Ids of the apps it locks."""
        return sorted({action.app for step in self.steps for action in step} | set(self.target))


def steps(
    original: dict[str, Json | None], target: dict[str, Json | None], all_apps: dict[str, App], *, restart: bool = False
) -> tuple[Step, ...]:
    """Stops, then starts of nothing, then a layer of scalings and restarts for each level of dependency."""
    stops = [Action(action="StopApplication", app=name) for name, app in sorted(target.items()) if app is None]
    starts = [Action(action="StartApplication", app=name) for name, app in sorted(target.items())
              if app is not None and original.get(name) is None]  # fmt: skip
    changes = {
        name: kind for name, app in target.items()
        if app is not None and (kind := _change(original.get(name), app, restart)) is not None
    }  # fmt: skip
    layers = [
        tuple(Action(action=changes[name], app=name) for name in layer if name in changes)
        for layer in layered(all_apps)
    ]
    return tuple(step for step in (tuple(stops), tuple(starts), *layers) if step)


def _change(old: Json | None, new: Json, restart: bool) -> str | None:
    if old is None:
        return "ScaleApplication"
    if restart or config_of(old) != config_of(new):
        return "RestartApplication"
    return "ScaleApplication" if old["instances"] != new["instances"] else None


def layered(apps: dict[str, App]) -> list[list[str]]:
    """Ids in layers: each after all it depends on. A dependency may be a group."""
    waiting = {name: set(_expanded(app.dependencies, apps)) - {name} for name, app in apps.items()}
    layers: list[list[str]] = []
    while waiting:
        ready = sorted(name for name, needs in waiting.items() if not needs & waiting.keys())
        if not ready:
            raise CyclicDependencies(" → ".join(sorted(waiting)))
        layers.append(ready)
        for name in ready:
            del waiting[name]
    return layers


def _expanded(dependencies: Iterable[str], apps: dict[str, App]) -> list[str]:
    return [name for one in dependencies for name in apps if name == one or name.startswith(one.rstrip("/") + "/")]
