"""Which master is spoken to, and which host keys are known."""

from ipaddress import IPv4Address
from types import SimpleNamespace

import pytest

from rekindle.errors import CommandFailed, HostKeyChanged, InputError, RekindleError, Unreachable
from rekindle.inventory import Host, Inventory, Role, Ssh
from rekindle.journal.entries import Pinned
from rekindle.journal.fold import Folded
from rekindle.transport import Result
from rekindle.verbs import reach
from rekindle.verbs.reach import JournalPins, reachable_master

OFF = Unreachable("does not answer", where="m1")
REFUSED = CommandFailed("curl exited with 7", where="m1")
FORGED = HostKeyChanged("shows another key", where="m1")


class Masters:
    """A transport to masters, some of which are not fit."""

    def __init__(self, *problems: RekindleError | None) -> None:
        self._problems = {f"m{number}": problem for number, problem in enumerate(problems, 1)}
        self.inventory = Inventory(
            environment="dev",
            region=None,
            cluster_name="c",
            hosts=tuple(map(master, self._problems)),
            ssh=Ssh(user="u"),
        )

    def run(self, host: str, command: tuple[str, ...]) -> Result:
        asks_admin_router = command[0] == "curl" and command[-1].startswith("http://localhost")
        if (problem := self._problems[host]) and (asks_admin_router or isinstance(problem, Unreachable)):
            raise problem
        return Result(host=host, command="", exit_code=0, stdout="", stderr="")


class PinJournal:
    """A journal that remembers the key of m1, and how often it was folded."""

    def __init__(self) -> None:
        self.folds, self.appended = 0, list[Pinned]()

    def fold(self) -> Folded:
        self.folds += 1
        return Folded(pins={"m1": Pinned(host="m1", instance_id="i-1", host_key="old")})

    def append(self, entry: Pinned) -> None:
        self.appended.append(entry)


def master(name: str, instance_id: str | None = None) -> Host:
    return Host(
        name=name,
        private_ip=IPv4Address("10.0.0.1"),
        role=Role.MASTER,
        pool="p",
        zone="admin",
        az="z1",
        instance_id=instance_id,
    )


def chosen(masters: Masters) -> str:
    return reachable_master(masters.inventory, masters)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("problems", "name"),
    [
        ((None, None), "m1"),
        ((OFF, None), "m2"),
        ((REFUSED, None), "m2"),
        ((FORGED, REFUSED, None), "m3"),
    ],
)
def test_the_first_master_whose_admin_router_answers_is_chosen(
    problems: tuple[RekindleError | None, ...], name: str
) -> None:
    assert chosen(Masters(*problems)) == name


@pytest.mark.parametrize("first", [OFF, REFUSED, FORGED])
def test_when_none_is_fit_the_first_ones_error_is_raised(first: RekindleError) -> None:
    with pytest.raises(RekindleError) as caught:
        chosen(Masters(first, Unreachable("another", where="m2")))
    assert caught.value is first


def test_an_inventory_without_masters_is_said_to_have_none() -> None:
    with pytest.raises(InputError, match="it has no master"):
        chosen(Masters())


@pytest.mark.parametrize("changes", [True, False])
def test_pins_are_read_once_and_what_is_learnt_is_on_top(changes: bool) -> None:
    journal = PinJournal()
    pins = JournalPins(journal, changes)  # type: ignore[arg-type]
    assert [pins.get(master("m1", i)) for i in ("i-1", "i-2")] == ["old", None]
    pins.pin(master("m1", "i-2"), "new")
    assert [pins.get(master("m1", i)) for i in ("i-1", "i-2")] == [None, "new"]
    assert [pins.get(master("m2", "i-3"))] == [None]
    assert journal.folds == 1
    assert [entry.host_key for entry in journal.appended] == (["new"] if changes else [])


@pytest.mark.parametrize(
    ("instance_id", "region", "asked"), [("i-1", "us-east-1", True), (None, "us-east-1", False), ("i-1", None, False)]
)
def test_a_first_key_is_asked_for_where_there_is_a_console(
    monkeypatch: pytest.MonkeyPatch, instance_id: str | None, region: str | None, asked: bool
) -> None:
    given: dict[str, object] = {}
    monkeypatch.setenv("REKINDLE_SSH_KEY", "/keys/operator")
    monkeypatch.setattr(reach, "Transport", lambda *arguments, **more: given.update(more, key=arguments[2]))
    monkeypatch.setattr(reach.compute, "console_output", lambda client, instance: f"{client} {instance}")
    monkeypatch.setattr(reach.compute, "host_key", lambda console, where: f"{console}, {where}")
    operation = SimpleNamespace(
        inventory=Masters(None).inventory.model_copy(update={"region": region}),
        clients=SimpleNamespace(ec2=lambda region: f"ec2 of {region}"),
        journal=PinJournal(),
        changes=True,
    )
    reach.hosts(operation)  # type: ignore[arg-type]
    first_key = given["first_key"]
    assert callable(first_key)
    found = first_key(master("m9", instance_id))
    assert found == ("ec2 of us-east-1 i-1, m9 (i-1)" if asked else None)
    assert str(given["key"]) == "/keys/operator"
