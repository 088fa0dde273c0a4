"""A replay that is refused, cut, sabotaged, repeated or turned back, by what is left afterwards."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from disaster import (
    AWAY,
    BARRIER,
    NAME,
    SILENT,
    VOLUMES,
    Cluster,
    Cuts,
    Disaster,
    Killed,
    Stack,
    Verbs,
    Way,
    disaster,
    point_of,
)
from moto import mock_aws

from rekindle import replay
from rekindle.aws.clients import Clients
from rekindle.environment import load
from rekindle.errors import GateFailed, InputError, Refused, Superseded
from rekindle.journal.entries import RestorePoint, SupersededBy
from rekindle.journal.lock import LockId
from rekindle.journal.release import Artifact, Release
from rekindle.replay import opening
from rekindle.replay.ledger import Ledger
from rekindle.replay.situation import Answer

EVERYTHING = {"edge": True, "kafka": True, "mailer": True, "orders": True}
SUSPENDED = EVERYTHING | {"mailer": False}
RESTORED = frozenset(f"/{name}" for name in VOLUMES)
SERVING = Answer(is_serving=True, said="answered 200")


def test_a_plan_changes_nothing_and_leaves_nothing(world: Disaster) -> None:
    planned = world.plan("fresh")
    assert not planned.problems
    assert planned.restores == world.copies
    assert world.cuts.made == []
    assert set(world.asked) == {NAME, "us-east-1"}  # of the lost one
    assert not (world.folder / "fresh").exists()


def test_the_plan_of_every_day_works_beside_what_an_earlier_replay_left(world: Disaster) -> None:
    left = world.folder / "night" / "release"
    left.mkdir(parents=True)
    (left / ".rekindle-release").write_text("another release")
    assert not world.plan("night").problems
    assert [p.name for p in left.iterdir()] == [".rekindle-release"]
    with pytest.raises(InputError, match="something else than this release"):
        world.run("night")


def test_a_plan_counts_with_the_settings_that_the_operator_mended(world: Disaster) -> None:
    grow(world, 8)
    with pytest.raises(Refused, match="kafka-1: has 8 GiB in the restore point, dev-dr declares 4 GiB"):
        world.run("night")  # which unpacks the release, where its settings can be mended
    settings = world.folder / "night" / "release" / "stacks" / "Pulumi.dev-dr.yaml"
    settings.write_text(settings.read_text().replace("size_gib: 4", "size_gib: 8"))
    assert not world.plan("night").problems
    assert world.plan("elsewhere").problems


def test_an_environment_that_was_never_built_is_not_replayed_onto(world: Disaster) -> None:
    world.stacks = {}
    with pytest.raises(Refused, match="dev-dr: its stack does not stand by"):
        world.run()
    assert world.reading("dev").fold().superseded is None


def test_an_environment_that_runs_something_is_not_built_onto(world: Disaster) -> None:
    world.stacks["dev-dr"] = Stack(hosts=1)
    with pytest.raises(Refused, match="master-1"):
        world.run()
    assert world.reading("dev").fold().superseded is None


def test_what_may_still_serve_is_not_replayed(world: Disaster) -> None:
    untold = Answer(is_serving=False, is_known=False, said="answered 503")
    table: list[tuple[Answer, dict[str, Any], list[str]]] = [
        (SERVING, {}, ["public name"]),
        (untold, {}, ["public name"]),
        (SERVING, {"override_serving": True}, []),
        (SILENT, {}, []),
    ]
    for answer, choices, problems in table:
        world.answer = answer
        assert [p.name for p in world.plan(**choices).problems] == problems, answer


def settings_of(project: Path, environment: str, **changes: Any) -> None:
    file = project / "stacks" / f"Pulumi.{environment}.yaml"
    document = yaml.safe_load(file.read_text())
    document["config"]["rekindle:environment"].update(changes)
    file.write_text(yaml.safe_dump(document))


@pytest.mark.parametrize(
    ("alter", "refused"),
    [
        (lambda p: settings_of(p, "dev-dr", recovers=None), "dev-dr: stands by for nobody, not for dev"),
        (lambda p: settings_of(p, "dev", public_name="shop.example.test"), "its public name is orders.example.test"),
        (lambda p: settings_of(p, "dev", version=9), "dev: its settings cannot be read from the release"),
        (lambda p: (p / "stacks" / "Pulumi.dev.yaml").unlink(), None),
    ],
)
def test_only_the_one_that_stands_by_for_it_takes_its_place(
    clients: Clients, tmp_path: Path, alter: Callable[[Path], None], refused: str | None
) -> None:
    with mock_aws(), disaster(tmp_path, clients, alter) as world:
        if refused is None:  # dev-dr recovers what is no environment
            with pytest.raises(InputError, match="recovers dev, which is no environment"):
                world.run()
        else:
            with pytest.raises(Refused, match=refused):
                world.run()
        assert world.reading("dev").fold().superseded is None


def test_what_is_missing_is_named_first_and_accepted_it_is_neither_restored_nor_promised(world: Disaster) -> None:
    world.clients.ec2(AWAY).delete_snapshot(SnapshotId=world.copies["kafka-2"])
    with pytest.raises(Refused, match="kafka-2: its snapshot"):
        world.run()
    assert world.reading("dev").fold().superseded is None

    world.name_answers = False  # so that it goes on in a second run, which nobody tells again what was accepted
    with pytest.raises(GateFailed):
        world.run(accept_loss=frozenset({"kafka-2"}))
    world.name_answers, world.clusters["dev-dr"].offsets = True, {}
    report = world.run()
    cluster = world.clusters["dev-dr"]
    assert set(cluster.known) == {RESTORED - {"/kafka-2"}}
    assert cluster.barriers_asked == 0
    assert report.accepted_losses == ("kafka-2",)


def behind(world: Disaster) -> None:
    world.clusters["dev-dr"] = Cluster(offsets={"0": 6})


def of_another_snapshot(world: Disaster) -> None:
    world.volumes_from = lambda name, snapshot: world.copies["kafka-1"]


def empty(world: Disaster) -> None:
    world.volumes_from = lambda name, snapshot: None if name == "kafka-3" else snapshot


def doubled(world: Disaster) -> None:
    world.volume("kafka-2", None)


def unanswered(world: Disaster) -> None:
    world.name_answers = False


@pytest.mark.parametrize(
    ("sabotage", "said", "services", "leads"),
    [
        (of_another_snapshot, "kafka-2 was made from snap-.*, not from snap-", {}, "dev"),
        (empty, "kafka-3 was made from nothing", {}, "dev"),
        (doubled, "kafka-2 in us-west-2a", {}, "dev"),
        (behind, "kafka: 0 is 6, and was 7", SUSPENDED, "dev"),
        (unanswered, "does not answer", SUSPENDED, "dev-dr"),
    ],
)
def test_a_check_that_fails_stops_all_that_must_come_after_it(
    world: Disaster, sabotage: Callable[[Disaster], None], said: str, services: dict[str, bool], leads: str
) -> None:
    sabotage(world)
    with pytest.raises(GateFailed, match=said):
        world.run()
    assert world.clusters["dev-dr"].services == services
    assert world.name_leads_to[-1] == leads
    assert replay.last(world.reading("dev-dr")) is None


def test_mended_the_replay_goes_on_from_the_check(world: Disaster) -> None:
    behind(world)
    with pytest.raises(GateFailed):
        world.run()
    world.clusters["dev-dr"].offsets, before = {"0": 8}, len(world.clusters["dev-dr"].known)
    world.run()
    assert len(world.clusters["dev-dr"].known) == before + 1  # only what was suspended
    assert world.stacks["dev-dr"].creations == 1
    assert world.clusters["dev-dr"].services == EVERYTHING


@pytest.mark.parametrize("what", ["PutObject journal dev", "pulumi up dev-dr", "switch to dev-dr"])
def test_what_landed_before_the_command_was_killed_is_not_done_twice(world: Disaster, what: str) -> None:
    world.cuts = Cuts(at=what, way=Way.AFTER)  # tests/hostile/cuts.py does it to every change
    with pytest.raises(Killed):
        world.run()
    world.cuts = Cuts()
    report = world.run()
    marks = [e.epoch for e in world.reading("dev").entries() if isinstance(e, SupersededBy)]
    assert (marks, report.epoch) == ([1], 1)
    assert world.stacks["dev-dr"].creations == 1
    assert world.name_leads_to == ["dev", "dev-dr"]
    assert (world.clusters["dev-dr"].services, world.violations) == (EVERYTHING, [])


def test_a_cut_replay_goes_on_in_another_folder_which_gets_its_settings(world: Disaster) -> None:
    world.cuts = Cuts(at=24)
    with pytest.raises(Killed):
        world.run()
    assert world.stacks["dev-dr"].hosts
    world.cuts = Cuts()
    report = world.run("another")
    kept = load(world.folder / "another" / "release", "dev-dr")
    assert (kept.standby, kept.restore) == (False, world.copies)
    assert report.folder == str(world.folder / "another" / "release")
    assert world.stacks["dev-dr"].creations == 1


def test_hosts_that_are_gone_since_are_built_again(world: Disaster) -> None:
    behind(world)
    with pytest.raises(GateFailed):
        world.run(failed_since=BARRIER.replace(hour=4))
    began = Ledger.read(world.reading("dev-dr")).begun
    assert began
    assert began.failed_since
    world.destroy("dev-dr")
    report = world.run()
    assert (world.stacks["dev-dr"].creations, world.stacks["dev-dr"].hosts) == (2, 1)
    assert world.clusters["dev-dr"].services == EVERYTHING
    assert (report.started, report.failed_since) == (began.started.isoformat(), began.failed_since.isoformat())


def test_an_older_restore_point_is_taken_where_it_is_asked_for(world: Disaster) -> None:
    with world.writing("dev") as (journal, _):
        older = point_of(world, "rp-0").model_copy(update={"started": BARRIER.replace(hour=1)})
        journal.append(older, point_of(world, "rp-1"))
    assert world.plan().restore_point == "rp-1"
    assert world.run(restore_point="rp-0").restore_point == "rp-0"
    assert world.run("another").restore_point == "rp-0"


def test_going_back_is_the_same_command_and_a_second_loss_has_the_next_epoch(world: Disaster) -> None:
    world.run()
    world.stacks["dev"] = Stack()
    back = world.run("back", lost="dev-dr", to="dev", accept_loss=frozenset({"restore-point"}))
    assert (back.environment, back.epoch, world.name_leads_to[-1]) == ("dev-dr", 1, "dev")
    world.reading("dev").fold().require_in_force("dev")  # its hosts are new
    with pytest.raises(Superseded, match="dev, epoch 1"):
        world.reading("dev-dr").fold().require_in_force("dev-dr")

    world.destroy("dev-dr")
    again = world.run("again")
    assert (again.epoch, world.name_leads_to) == (2, ["dev", "dev-dr", "dev", "dev-dr"])
    with pytest.raises(Superseded, match="dev-dr, epoch 2"):
        world.reading("dev").fold().require_in_force("dev")
    world.reading("dev-dr").fold().require_in_force("dev-dr")
    assert world.clusters["dev-dr"].services == EVERYTHING


def test_without_a_restore_point_all_that_is_missing_is_named_too(world: Disaster) -> None:
    with world.writing("dev") as (journal, _):
        journal.append(point_of(world).model_copy(update={"status": "failed"}))
    with pytest.raises(Refused, match="restore-point: there is no complete restore point"):
        world.run()
    report = world.run(accept_loss=frozenset({"restore-point"}))
    assert (report.restore_point, report.barrier_at, report.rpo_seconds) == (None, None, None)
    assert set(world.clusters["dev-dr"].known) == {frozenset()}
    assert world.clusters["dev-dr"].barriers_asked == 0


def grow(world: Disaster, gib: int) -> RestorePoint:
    """The newest restore point holds larger volumes."""
    point = point_of(world, "rp-2")
    grown = tuple(v.model_copy(update={"size_gib": gib}) for v in point.volumes)
    point = point.model_copy(update={"volumes": grown, "started": BARRIER.replace(hour=5)})
    with world.writing("dev") as (journal, _):
        journal.append(point)
    return point


def test_a_name_that_is_none_is_answered_with_the_nearest(world: Disaster) -> None:
    with pytest.raises(InputError, match=r"holds no journal of dve; did you mean dev\?"):
        world.plan(lost="dve")
    with pytest.raises(InputError, match=r"there is no environment dev-rd; did you mean dev-dr\?"):
        world.plan(to="dev-rd")
    with world.writing("qa"):
        pass
    with pytest.raises(InputError, match="its journal has no release"):
        world.plan(lost="qa")


def test_the_last_release_is_replayed_unless_another_is_chosen_and_what_it_fetches_is_looked_for(
    world: Disaster,
) -> None:
    jre = Artifact(name="jre.tgz", url="https://example.test/jre.tgz", sha256="0" * 64, size=1)
    newer = Release.of(world.folder / "project", artifacts=[jre])
    with world.writing("dev") as (journal, _):
        world.releases("dev").save(newer)
        journal.append(newer.entry("apply"))
    planned = world.plan()
    assert (planned.release, [p.name for p in planned.problems]) == (newer.digest, ["jre.tgz"])
    older = world.plan(release=world.release)
    assert (older.release, older.problems) == (world.release, ())


def test_the_locks_that_a_person_saw_are_taken_on_both(world: Disaster, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    for name, argument in (("locked", "take"), ("opened_on", "take_lock")):
        monkeypatch.setattr(opening, name, told(getattr(opening, name), argument, taken))
    seen = frozenset({LockId("dev", 1), LockId("dev-dr", 1)})
    request = replace(world.request("night", lost="dev", to="dev-dr"), take_lock=seen)
    replay.run(request, Verbs(world))
    assert taken == [seen, seen]


def told(function: Callable[..., Any], argument: str, taken: list[Any]) -> Callable[..., Any]:
    """The same, which first keeps what it is given."""

    def called(*arguments: Any, **named: Any) -> Any:
        taken.append(named[argument])
        return function(*arguments, **named)

    return called
