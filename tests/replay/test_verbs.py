"""What a replay asks of the other verbs arrives there: which packages, what stays suspended, whose data is known."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from rekindle.replay import Apply
from rekindle.verbs import reach, replaying, supplies, work
from rekindle.verbs.replaying import ReplayVerbs

OPERATION: Any = SimpleNamespace(name="operation", inventory="inventory")
SUPPLIES: Any = SimpleNamespace(
    name="supplies",
    packages=[
        SimpleNamespace(name="kafka", spec=SimpleNamespace(backup=SimpleNamespace(barrier="of kafka"))),
        SimpleNamespace(name="logs", spec=SimpleNamespace(backup=SimpleNamespace(barrier=None))),
        SimpleNamespace(name="edge", spec=SimpleNamespace(backup=None)),
    ],
)


@pytest.fixture
def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Plans that were carried out, in order, each as what it was made from; none after its tunnel was closed."""
    made: list[tuple[Any, ...]] = []
    reached: list[str] = []

    @contextmanager
    def hosts(operation: Any) -> Iterator[str]:
        reached.append("hosts")
        yield "transport"
        reached.remove("hosts")

    @contextmanager
    def cluster(operation: Any, transport: Any) -> Iterator[str]:
        yield "client"

    @contextmanager
    def on_cluster(operation: Any, declared: Any, transport: Any, **how: Any) -> Iterator[tuple[Any, ...]]:
        reached.append("cluster")
        yield ("services", declared, transport, how)
        reached.remove("cluster")

    def on_hosts(*what: Any) -> tuple[Any, ...]:
        return ("hosts", *what[1:])

    def carry_out(operation: Any, left: tuple[Any, ...]) -> None:
        assert operation is OPERATION
        assert reached == (["hosts"] if left[0] == "hosts" else ["hosts", "cluster"])
        made.append(left)

    def barrier(client: Any, transport: Any, inventory: Any, spec: Any) -> Mapping[str, Any]:
        return {"offsets": (client, transport, inventory, spec)}

    monkeypatch.setattr(reach, "hosts", hosts)
    monkeypatch.setattr(reach, "cluster", cluster)
    monkeypatch.setattr(work, "on_cluster", on_cluster)
    monkeypatch.setattr(work, "on_hosts", on_hosts)
    monkeypatch.setattr(work, "carry_out", carry_out)
    monkeypatch.setattr(replaying.services, "barrier", barrier)
    monkeypatch.setattr(supplies, "in_force", lambda operation: "release")
    monkeypatch.setattr(supplies, "of_release", lambda operation, release: (operation, release) and SUPPLIES)
    return made


def test_hosts_become_a_cluster_from_the_release(carried_out: list[tuple[Any, ...]]) -> None:
    ReplayVerbs().bootstrap(OPERATION)
    assert carried_out == [("hosts", SUPPLIES, "transport")]


@pytest.mark.parametrize("packages", [frozenset({"kafka"}), None])
@pytest.mark.parametrize("suspend", [True, False])
def test_services_are_applied_as_it_is_asked(
    carried_out: list[tuple[Any, ...]], packages: frozenset[str] | None, suspend: bool
) -> None:
    known = frozenset({"/kafka-1"})
    ReplayVerbs().apply(OPERATION, Apply(packages=packages, suspend_outbound=suspend, known=known))
    wanted = work.Wanted(packages=packages, suspend_outbound=suspend, known=known)
    assert carried_out == [("services", SUPPLIES, "transport", {"command": "replay", "wanted": wanted})]


def test_each_package_that_has_a_barrier_is_asked_for_it(carried_out: list[tuple[Any, ...]]) -> None:
    said = ReplayVerbs().barriers(OPERATION)
    assert said == {"kafka": {"offsets": ("client", "transport", "inventory", "of kafka")}}
