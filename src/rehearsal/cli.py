"""`rehearsal`: the rehearsal region's verbs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from rehearsal import artifacts, installer, toolchain
from rehearsal.region import preconditions
from rehearsal.region.errors import RegionError
from rehearsal.region.handle import RegionHandle
from rehearsal.region.stage import REGIONS

app = typer.Typer(
    help="An AWS region on this machine: real hosts, packets and disks behind the AWS API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
RegionName = Annotated[str, typer.Argument(help=f"One of {', '.join(REGIONS)}.")]


def _progress(text: str) -> None:
    _err.print(text)


@app.command()
def up() -> None:
    """Start the region; it stays up until `rehearsal down`."""
    handle = RegionHandle()
    handle.up(_progress)
    _out.print(
        f"The rehearsal region is up (pid {handle.pid}). Run commands in it with `rehearsal exec -- COMMAND`.",
        soft_wrap=True,
    )


@app.command()
def down() -> None:
    """End the region and remove all that it left; harmless when none is up."""
    RegionHandle().down()
    _out.print("No rehearsal region is up.")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Say what is up in each region."""
    found = RegionHandle().status()
    if as_json:
        _out.print_json(json.dumps(found))
        return
    for region, facts in found.items():
        _out.print(
            f"{region}: {'up' if facts['up'] else 'lost'}, {facts['volumes']} volumes, {facts['snapshots']} snapshots"
        )
        _print_instances(facts["instances"])


def _print_instances(instances: dict[str, dict[str, str]]) -> None:
    table = Table("instance", "name", "state", "private", "public", box=None)
    for instance, facts in instances.items():
        table.add_row(instance, facts["name"], facts["state"], facts["private"] or "", facts["public"] or "")
    if instances:
        _out.print(table)


def _known(region: str) -> str:
    if region not in REGIONS:
        raise RegionError(f"{region}: the rehearsal region has {' and '.join(REGIONS)}")
    return region


@app.command("fail-region")
def fail_region(region: RegionName) -> None:
    """Lose a region: its hosts lose power, its API endpoints do not answer."""
    lost = RegionHandle().fail_region(_known(region))
    _out.print(f"{region} is lost, and {lost} hosts with it.")


@app.command("restore-region")
def restore_region(region: RegionName) -> None:
    """Bring a lost region's API back; its instances are stopped."""
    RegionHandle().restore_region(_known(region))
    _out.print(f"{region} answers again.")


@app.command("fail-host")
def fail_host(instance: Annotated[str, typer.Argument(help="The instance's id.")]) -> None:
    """Cut one host's power."""
    RegionHandle().fail_host(instance)
    _out.print(f"{instance} lost power.")


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(command: Annotated[list[str], typer.Argument(help="After `--`: the command and its arguments.")]) -> None:
    """Run a command on the region's Internet, with the AWS_* variables set."""
    raise typer.Exit(RegionHandle().run_in_internet(command, check=False).returncode)


@app.command()
def job(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the region up afterwards, to look around in.")] = False,
    report: Annotated[Path, typer.Option(help="The folder of the report.")] = Path("rehearsal-report"),
) -> None:
    """The main job: build, bootstrap, deploy, use, back up, lose the region, replay, report."""
    preconditions.require()
    downloads = toolchain.cache() / "downloads"
    _progress("Building what the Internet offers: the DC/OS installer, Kafka, the example services")
    artifacts.build(downloads)
    installer.build(downloads)
    handle = RegionHandle()
    handle.up(_progress)
    command = [sys.executable, "-m", "rehearsal.job.day", str(Path.cwd()), str(downloads), str(report.absolute())]
    try:
        code = handle.run_in_internet(command, check=False).returncode
    finally:
        if not keep:
            handle.down()
    raise typer.Exit(code)


def main() -> None:
    """Exit codes: 0 done, 1 error."""
    try:
        code = app(standalone_mode=False)
    except RegionError as error:
        _err.print(str(error), markup=False)
        code = 1
    except typer.Abort:
        code = 1
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _err.print(error.format_message(), markup=False)
        code = 1
    sys.exit(code or 0)
