"""The verbs of the command line, and how they end.

Exit codes: 0 done, 1 an error (of usage too), 2 changes are pending.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from rekindle import backup as backups
from rekindle import plan as plans
from rekindle import replay as replays
from rekindle import services
from rekindle.aws.clients import Clients
from rekindle.cli import show, system
from rekindle.environment import is_name
from rekindle.errors import InputError, RekindleError
from rekindle.journal.lock import LockId
from rekindle.operation import Operation, opened
from rekindle.parsing import read_text, shown
from rekindle.plan import Plan
from rekindle.progress import Progress
from rekindle.secrets import Secret
from rekindle.terminal import Terminal
from rekindle.verbs import reach, rotation, status, supplies, work
from rekindle.verbs.replaying import ReplayVerbs
from rekindle.verbs.work import Work

PENDING = 2
INTERRUPTED = 130  # what typer makes of Ctrl-C
DEBUG_VARIABLE = "REKINDLE_DEBUG"
JOURNAL_VARIABLE = "REKINDLE_JOURNAL"
LARGEST_PLAN = 256 << 20  # bytes
NAME_ANOTHER = "Name another file with --out, in a folder that is there and that you may write to."


class Pending(Exception):
    """Changes are pending: exit code 2, which a usage error may not have."""


app = typer.Typer(
    help="Provision, bootstrap and operate DC/OS data platforms, and rebuild them elsewhere when a region is lost.\n\n"
    "A day: pulumi up → bootstrap → plan → apply → backup. A bad day: replay. Run in the folder of Pulumi.yaml.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
secret_app = typer.Typer(help="Values that services need and nobody may read.", no_args_is_help=True)
app.add_typer(secret_app, name="secret")

out = Terminal(highlight=False)
err = Terminal(stderr=True, highlight=False)


def _environment(text: str) -> str:
    """The name of an environment, and nothing that a path or a command could take for another."""
    if not is_name(text):
        raise InputError(
            f"{shown(text)!a} is no name of an environment",
            next_step="Name one as its file stacks/Pulumi.<environment>.yaml is named.",
        )
    return text


Environment = Annotated[
    str, typer.Argument(help="The environment: a stack such as dev.", show_default=False, callback=_environment)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")]
TakeLock = Annotated[
    list[str] | None,
    typer.Option(
        "--take-lock",
        metavar="ENV/NUMBER",
        help="Take this lock, as `status` or a refusal names it: its holder will not come back.",
    ),
]
Inventory = Annotated[
    Path | None, typer.Option("--inventory", help="Hosts that Pulumi did not make: a file in the inventory's form.")
]


@app.command()
def bootstrap(
    environment: Environment,
    plan: Annotated[bool, typer.Option("--plan", help="Show what is left to do, and do nothing.")] = False,
    yes: Yes = False,
    take_lock: TakeLock = None,
    inventory: Inventory = None,
) -> None:
    """Turn an environment's bare hosts into a DC/OS cluster, over SSH; run again, it does only what is left."""
    with operation(environment, "bootstrap", changes=True, take_lock=take_lock, inventory=inventory) as op:
        with op.progress.phase("release and artifacts"):
            declared = supplies.declared(op)
        with reach.hosts(op) as transport:
            with op.progress.phase(f"facts of {len(op.inventory.hosts)} hosts"):
                left = work.on_hosts(op, declared, transport)
            _finish(op, left, only_plan=plan, yes=yes, phase="hosts to cluster")


@app.command("plan")
def plan_(
    environment: Environment,
    out_file: Annotated[Path | None, typer.Option("--out", help="The plan file that `apply` reads.")] = None,
    as_json: Json = False,
    inventory: Inventory = None,
) -> None:
    """Show what `apply` would change, and write the plan file that it reads; exit code 2 when there is something."""
    target = out_file or Path(f"{environment}.plan.json")
    _require_folder(target)
    with operation(environment, "plan", changes=False, inventory=inventory) as op, _services(op) as left:
        _write(target, left.plan.to_json())
        if as_json:
            out.print_json(left.plan.to_json())
        else:
            show.plan(out, left.plan)
            show.sentence(out, f"Written to {target}. Carry it out: rekindle apply {environment} {target}")
    if left.plan.steps:
        raise Pending


@app.command()
def apply(
    environment: Environment,
    plan_file: Annotated[
        Path | None,
        typer.Argument(help="What `plan` wrote; without it, plan and ask.", exists=True, dir_okay=False),
    ] = None,
    yes: Yes = False,
    take_lock: TakeLock = None,
    inventory: Inventory = None,
) -> None:
    """Make the cluster run exactly what packages/ declares, in the order of needs, behind health gates."""
    planned = _read_plan(plan_file) if plan_file else None
    if planned and planned.environment != environment:
        raise InputError(f"this plan is for {planned.environment}", where=str(plan_file))
    with (
        operation(environment, "apply", changes=True, take_lock=take_lock, inventory=inventory) as op,
        _services(op) as left,
    ):
        if planned:
            plans.check_fresh(planned, left.plan)
        _finish(op, left, only_plan=False, yes=yes or planned is not None, phase="services")


@app.command()
def drift(environment: Environment, as_json: Json = False, inventory: Inventory = None) -> None:
    """Compare services with what was last applied; nothing is written; exit code 2 when something differs."""
    with operation(environment, "drift", changes=False, inventory=inventory) as op:
        found = work.drifted(op)
        if as_json:
            out.print_json(found.to_json())
        else:
            show.plan(out, found)
    if found.steps:
        raise Pending


@app.command()
def backup(environment: Environment, as_json: Json = False, take_lock: TakeLock = None) -> None:
    """Take a restore point of all data volumes, copied to the recovery region; finishes what a killed one left."""
    with operation(environment, "backup", changes=True, take_lock=take_lock) as op:
        release = supplies.in_force(op)
        with (
            reach.hosts(op) as transport,
            reach.cluster(op, transport) as client,
            op.progress.phase("restore point"),
        ):
            point = backups.run(
                backups.Backup(
                    inventory=op.inventory,
                    journal=op.journal,
                    clients=op.clients,
                    hosts=transport,
                    mirror=op.mirror,
                    release=release.digest,
                    artifacts=release.artifacts,
                    groups=backups.groups_of(
                        supplies.of_release(op, release).packages,
                        op.inventory,
                        lambda spec: services.barrier(client, transport, op.inventory, spec),
                    ),
                    tell=op.progress.tell,
                )
            )
        op.journal.checkpoint()
    show.restore_point(out, point, as_json=as_json)


@app.command()
def replay(
    environment: Environment,
    to: Annotated[
        str,
        typer.Option(
            "--to", help="The recovery environment that stands by.", show_default=False, callback=_environment
        ),
    ],
    journal: Annotated[
        str, typer.Option("--journal", envvar=JOURNAL_VARIABLE, help="'s3://BUCKET?region=REGION&key=ARN', quoted.")
    ] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be done and lost, and do nothing.")] = False,
    accept_loss: Annotated[
        list[str] | None, typer.Option("--accept-loss", metavar="NAME", help="Go on without this; may be repeated.")
    ] = None,
    override_serving: Annotated[
        bool, typer.Option("--override-serving", help="Go on though the old environment may still serve.")
    ] = False,
    failed_since: Annotated[
        datetime | None, typer.Option("--failed-since", help="When the first probe failed, in UTC: RTO counts from it.")
    ] = None,
    restore_point: Annotated[
        str | None, typer.Option("--restore-point", metavar="ID", help="This one instead of the latest complete one.")
    ] = None,
    yes: Yes = False,
    take_lock: TakeLock = None,
) -> None:
    """Rebuild a lost environment as another one, from its journal; killed, run it again: it goes on."""
    request = replays.Request(
        environment=environment,
        recovery=to,
        journal=journal,
        folder=Path(f"replay-{environment}-to-{to}").absolute(),
        only_plan=plan,
        progress=Progress(err),
        choices=replays.Choices(
            accept_loss=frozenset(accept_loss or ()),
            override_serving=override_serving,
            failed_since=failed_since and failed_since.replace(tzinfo=UTC),
            restore_point=restore_point,
        ),
        take_lock=_locks(take_lock, environment, to),
        variables=dict(os.environ),
        clients=Clients(),
    )
    planned = replays.plan(request)
    if not plan:
        planned.require_possible()
    show.replay_plan(out, planned)
    if plan:
        raise typer.Exit(1) if planned.problems else Pending
    _ask(f"Replay {environment} as {to}?", yes=yes)
    show.replay_report(out, replays.run(request, ReplayVerbs()))


@app.command("status")
def status_(environment: Environment, as_json: Json = False, inventory: Inventory = None) -> None:
    """Say what an environment is: release, restore points, lock, what was begun and never ended."""
    with operation(environment, "status", changes=False, inventory=inventory) as op:
        show.status(out, status.of(op), as_json=as_json)


@secret_app.command("set")
def secret_set(
    environment: Environment,
    name: Annotated[str, typer.Argument(help="orders/token")],
    take_lock: TakeLock = None,
) -> None:
    """Keep a value, read from stdin, encrypted beside the journal."""
    value = typer.prompt("value", hide_input=True) if sys.stdin.isatty() else _value_on_stdin(name)
    if not value:
        raise InputError("the value on stdin is empty", where=name)
    with operation(environment, "secret set", changes=True, take_lock=take_lock) as op:
        version = op.secrets.set(name, Secret(value))
    show.sentence(out, f"{name} is kept, version {version}.")


@secret_app.command("rotate-key")
def secret_rotate_key(environment: Environment, take_lock: TakeLock = None) -> None:
    """Make a new data key and encrypt every secret under it; killed, run it again: it goes on."""
    with operation(environment, rotation.COMMAND, changes=True, take_lock=take_lock) as op:
        rotation.make_key(op)
    with operation(environment, rotation.COMMAND, changes=True) as op:
        done = rotation.move_under_it(op)
    out.print(
        f"{environment} is under version {done.version} of its key: {done.secrets} secrets encrypted anew, "
        f"{done.files} secret files on hosts named anew in the journal.\n"
        "Plans made before are stale. The old key still opens what was kept under it: if it leaked, set new values.",
        soft_wrap=True,
    )


@contextmanager
def operation(
    environment: str, reason: str, *, changes: bool, take_lock: TakeLock = None, inventory: Path | None = None
) -> Iterator[Operation]:
    """The operation that a verb works with, in the folder it was started in."""
    progress = Progress(err)
    with opened(
        Path.cwd(),
        environment,
        reason,
        progress,
        changes=changes,
        take_lock=_locks(take_lock, environment),
        inventory_file=inventory,
    ) as found:
        yield found


def _locks(named: list[str] | None, *environments: str) -> frozenset[LockId]:
    """The locks to take; InputError if one is of an environment that this command does not lock."""
    locks = frozenset(map(LockId.parse, named or ()))
    for lock in locks:
        if lock.environment not in environments:
            raise InputError(
                f"{lock} is no lock of {' or '.join(environments)}",
                where="--take-lock",
                next_step="Name the lock as the refusal of this command does.",
            )
    return locks


@contextmanager
def _services(op: Operation) -> Iterator[Work]:
    """What is left for the services, while the cluster is reached."""
    with op.progress.phase("release and artifacts"):
        declared = supplies.declared(op)
    with reach.hosts(op) as transport, work.on_cluster(op, declared, transport) as left:
        yield left


def _finish(op: Operation, left: Work, *, only_plan: bool, yes: bool, phase: str) -> None:
    """Shows the plan, asks, and carries it out."""
    if not left.plan.steps:
        show.sentence(out, show.summary(left.plan))
        return
    show.plan(out, left.plan)
    if only_plan:
        raise Pending
    _ask("Carry it out?", yes=yes)
    with op.progress.phase(phase):
        work.carry_out(op, left)
    show.sentence(out, f"{op.environment}: {len(left.plan.steps)} changes done.")


def _read_plan(path: Path) -> Plan:
    return Plan.from_json(read_text(path, limit=LARGEST_PLAN), where=str(path))


def _require_folder(target: Path) -> None:
    """Before a plan is made that could not be kept."""
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent}", where=str(target), next_step=NAME_ANOTHER)


def _write(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(target), next_step=NAME_ANOTHER) from error


def _value_on_stdin(name: str) -> str:
    try:
        return sys.stdin.buffer.read().decode().strip()
    except UnicodeDecodeError as error:
        raise InputError(
            "the value on stdin is not text in UTF-8", where=name, next_step="Encode it, in base64 for one."
        ) from error


def _ask(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nobody is there to say yes", next_step="Say --yes to do it without asking.")
    typer.confirm(question, abort=True)


def _ended(run: Callable[[], Any]) -> int:
    """The exit code of a run, with its error shown."""
    try:
        run()
    except Pending:
        return PENDING
    except RekindleError as error:
        show.error(err, error)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            err.print("interrupted; run the same command again, and it goes on from here")
        return 1 if ended.code else 0
    except Exception as defect:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        if refused := system.told(defect):
            show.error(err, refused)
            return 1
        err.print(f"error: {type(defect).__name__}: {defect}", markup=False)
        err.print(f"This is a defect of Rekindle. Set {DEBUG_VARIABLE}=1 and run it again to see where it is.")
    return 1


def main() -> None:
    """Runs the command line and exits."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # its errors reach people as ours
    sys.exit(_ended(app))
