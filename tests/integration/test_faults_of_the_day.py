"""Faults that only the whole stage can show, in the order of an operator's day.

The tests are one story and run in their order, on one region and one build of dev and dev-dr.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pytest
from operators_day import Done, World

from rehearsal.region.handle import RegionHandle

pytestmark = pytest.mark.integration

PLAN = "dev.plan.json"
AGENT = "private-agent-3"
KAFKA = {"/kafka-1", "/kafka-2", "/kafka-3"}
NOTHING = "dev: nothing to change."
ORDERS = 300

WRONG = (
    ("packages/kafka/options.json.j2", '"heap":', '"heep":', ("kafka.heep", "did you mean heap")),
    ("packages/orders/package.yaml", "needs:", "neds:", ("neds", "did you mean needs")),
    ("stacks/Pulumi.dev.yaml", "cluster_name:", "cluster_nam:", ("cluster_nam", "did you mean cluster_name")),
    ("stacks/Pulumi.dev.yaml", "10.20.0.0/16", "10.10.128.0/17", ("10.10.128.0/17", "overlaps")),
)


@pytest.fixture(scope="module")
def world(own_region: RegionHandle, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Everything is built, nothing is bootstrapped, and a secret is planted."""
    world = World.settled(own_region, tmp_path_factory.mktemp("operator"))
    world.build()
    kept = world.rekindle("secret", "set", "dev", "orders/token", stdin=world.token)
    assert kept.code == 0, kept.said
    return world


def test_a_second_command_is_told_who_holds_the_lock_and_a_bootstrap_is_killed(world: World) -> None:
    with world.killed("bootstrap", "dev", "--yes", once=lambda said: "create gate:serving" in said):
        second = world.rekindle("secret", "set", "dev", "orders/token", stdin=world.token)
    assert second.code == 1
    assert_says(second, "lock of dev", "@", "`bootstrap`", "process", "--take-lock")


def test_after_the_kill_one_host_does_not_answer_and_the_others_are_installed(world: World) -> None:
    with world.without_ssh(world.host(AGENT)):
        done = world.rekindle("bootstrap", "dev", "--yes")
    assert done.code == 1, done.said
    assert "lease ends" not in done.said, "the lock of the killed command is taken over at once"
    assert_says(done, "error: ", AGENT)
    others = {h["name"] for h in world.dev["hosts"] if h["role"].endswith("agent")} - {AGENT}
    left = world.rekindle("bootstrap", "dev", "--plan")
    assert left.code == 2, left.said
    assert AGENT in left.said
    assert not [name for name in others if name in left.said], left.said


def test_the_next_bootstrap_does_what_is_left_and_then_nothing(world: World) -> None:
    rest = world.rekindle("bootstrap", "dev", "--yes")
    assert rest.code == 0, rest.said
    assert AGENT in rest.said
    again = world.rekindle("bootstrap", "dev", "--yes")
    assert (again.code, NOTHING in again.said) == (0, True), again.said


def test_a_plan_says_that_changes_are_pending_and_goes_stale(world: World) -> None:
    planned = world.rekindle("plan", "dev", "--out", PLAN)
    assert planned.code == 2, planned.said
    assert_says(planned, "+ package:/kafka-1", "+ app:/orders", "+ app:/edge", PLAN)
    assert json.loads((world.operator.folder / PLAN).read_text())["steps"]
    with nothing_changes(world), world.edited("packages/orders/values.yaml", "mem: 128", "mem: 160"):
        assert_refused(world.rekindle("apply", "dev", PLAN), "dev: what is declared changed", "rekindle plan dev")


def test_what_is_declared_wrongly_is_named_before_anything_is_sent(world: World) -> None:
    with nothing_changes(world):
        for file, old, new, words in WRONG:
            with world.edited(file, old, new):
                assert_refused(world.rekindle("apply", "dev", "--yes"), file, *words)


def test_an_apply_killed_among_installations_goes_on_and_installs_nothing_twice(world: World) -> None:
    with world.killed("apply", "dev", PLAN, "--yes", once=lambda said: bool(KAFKA & world.apps().keys())):
        pass
    before = made(world)
    done = world.rekindle("apply", "dev", "--yes")
    assert done.code == 0, done.said
    after = made(world)
    assert after.keys() == {*KAFKA, "/orders", "/edge"}
    assert {app: after[app] for app in before} == before
    again = world.rekindle("apply", "dev", "--yes")
    assert (again.code, NOTHING in again.said) == (0, True), again.said


def test_what_somebody_changed_by_hand_is_named(world: World) -> None:
    world.marathon("PUT", "/v2/apps//edge", json={"mem": 144})
    found = world.rekindle("drift", "dev")
    assert found.code == 2, found.said
    assert_says(found, "app:/edge", "mem: 144", "1 to update")
    mended = world.rekindle("apply", "dev", "--yes")
    assert mended.code == 0, mended.said
    clean = world.rekindle("drift", "dev")
    assert (clean.code, NOTHING in clean.said) == (0, True), clean.said


def test_the_secret_is_on_the_agents_alone(world: World) -> None:
    agents = [h for h in world.dev["hosts"] if h["role"] == "private_agent"]
    for agent in agents:
        file = world.file_on(agent, "/var/lib/rekindle/secrets/orders/token")
        assert file.read_text() == world.token
        assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, 0)


def test_orders_are_saved_and_a_replay_is_refused_while_the_old_name_takes_them(world: World) -> None:
    with world.customer(ORDERS):
        saved = world.rekindle("backup", "dev", "--json")
        assert saved.code == 0, saved.said
        with nothing_changes(world):
            assert_refused(replay(world), "public name", "still takes requests", "--override-serving")
    assert world.inventory("dev-dr")["hosts"] == []


def test_a_replay_onto_an_environment_that_runs_something_is_refused(world: World) -> None:
    with nothing_changes(world):
        assert_refused(replay(world, "dev", "dev"), "dev: runs something already", "master-1")


def test_a_replay_of_what_never_ran_or_never_was_is_refused(world: World) -> None:
    with nothing_changes(world):
        assert_refused(replay(world, "dev-dr", "dev"), "no journal of dev-dr")
        assert_refused(replay(world, "dve", "dev-dr"), "no journal of dve", "did you mean dev?")


def test_after_the_loss_a_missing_artifact_is_named_before_any_change(world: World) -> None:
    world.operator.handle.fail_region("us-east-1")
    with a_missing_artifact(world, "orders.tgz"):
        planned = replay(world, options=("--plan",))
        assert planned.code == 1, planned.said
        assert_says(planned, "Forbids it", "orders.tgz: is not in the mirror")
        assert_refused(replay(world), "orders.tgz", "--accept-loss orders.tgz")
    whole = replay(world, options=("--plan",))
    assert whole.code == 2, whole.said


def test_a_replay_killed_among_installations_goes_on_and_every_promised_order_is_back(world: World) -> None:
    with world.killed(*replay_line(world), once=lambda said: "create install:dcos" in said, where=empty(world)):
        pass
    done = replay(world)
    assert done.code == 0, done.said
    assert_says(done, "it began before, and goes on", "dev-dr serves in place of dev")
    barrier = datetime.fromisoformat(world.status("dev-dr")["replayed"]["barrier_at"]).timestamp()
    promised = {order for order, at in world.acknowledged().items() if at <= barrier}
    assert len(promised) >= ORDERS
    assert promised <= world.read_back()
    assert_refused(world.rekindle("apply", "dev", "--yes"), "dev", "superseded", "dev-dr")


def test_in_the_end_the_secret_was_in_nothing_that_was_said_or_kept(world: World) -> None:
    world.operator.handle.restore_region("us-east-1")  # its buckets answer again
    assert_kept_secret(world)


def replay_line(world: World, environment: str = "dev", to: str = "dev-dr") -> tuple[str, ...]:
    stores = world.dev["stores"]
    journal = f"s3://{stores['journal_bucket']}?region={stores['region']}&key={stores['kms_key_arn']}"
    return ("replay", environment, "--to", to, "--journal", journal, "--yes")


def replay(world: World, environment: str = "dev", to: str = "dev-dr", options: tuple[str, ...] = ()) -> Done:
    return world.rekindle(*replay_line(world, environment, to), *options, where=empty(world))


def empty(world: World) -> Path:
    """Where a replay begins: no checkout, only what the journal gives."""
    folder = world.operator.home / "empty"
    folder.mkdir(exist_ok=True)
    return folder


def made(world: World) -> dict[str, str]:
    """When each app was last configured, by id."""
    return {app_id: app["versionInfo"]["lastConfigChangeAt"] for app_id, app in world.apps().items()}


@contextmanager
def nothing_changes(world: World) -> Iterator[None]:
    """Journal and cluster are after the block as they were before."""
    before = world.journaled(), made(world)
    yield
    assert (world.journaled(), made(world)) == before


@contextmanager
def a_missing_artifact(world: World, name: str) -> Iterator[None]:
    """The mirror lacks a file until the block ends."""
    bucket = world.dev["stores"]["mirror_bucket"]
    with world.operator.handle.inside_internet():
        s3 = world.operator.client("s3")
        key = f"sha256/{sha256((world.operator.downloads / name).read_bytes()).hexdigest()}"
        body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        s3.delete_object(Bucket=bucket, Key=key)
    try:
        yield
    finally:
        with world.operator.handle.inside_internet():
            s3.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")


def assert_says(done: Done, *words: str) -> None:
    assert [word for word in words if word not in done.said] == [], done.said


def assert_refused(done: Done, *words: str) -> None:
    """Exit code 1, one error that names these."""
    assert done.code == 1, done.said
    assert_says(done, "error: ", *words)


def assert_kept_secret(world: World) -> None:
    """The planted token is in no output, in no object of any bucket, and in no file of the operator's home."""
    assert [done.said for done in world.transcript if world.token in done.said] == []
    token = world.token.encode()
    assert [name for name, body in world.objects() if token in body] == []
    home = (path for path in world.operator.home.rglob("*") if path.is_file())
    assert [path for path in home if token in path.read_bytes()] == []
