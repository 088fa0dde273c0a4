"""The release that a project declares, and what it fetches: mirrored, and within reach of the hosts."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rekindle import environment, packages, services
from rekindle.environment import Environment
from rekindle.environment.settings import Installer
from rekindle.errors import InputError
from rekindle.journal.release import Artifact, Release
from rekindle.journal.sources import name_of
from rekindle.operation import Operation
from rekindle.packages import Package

PARALLEL = 8
SAMPLE_DIGEST = "0" * 64  # in the stacks' values as they are shipped


@dataclass(frozen=True, kw_only=True)
class Supplies:
    """A release, parsed, and the URLs that hosts get its artifacts from."""

    release: Release
    settings: Environment
    packages: tuple[Package, ...]
    links: Mapping[str, str]  # artifact name to URL
    installer: Artifact

    @property
    def installer_url(self) -> str:
        return self.links[self.installer.name]


def declared(operation: Operation) -> Supplies:
    """What the project's folder declares now; everything it fetches is mirrored by digest."""
    settings = environment.load(operation.project, operation.environment)
    _require_pinned(settings.dcos.installer, operation.environment)
    found = packages.load(operation.project / "packages", operation.environment, settings.values)
    artifacts = _mirrored(operation, settings, found)
    release = Release.of(operation.project, artifacts=artifacts)
    if operation.changes:  # what only looks has perhaps no key that is kept
        operation.releases.save(release)
    return _supplies(operation, release, settings, found)


def of_release(operation: Operation, release: Release) -> Supplies:
    """What a release declared, from its bundle unpacked in the project's folder; fetches only from the mirror."""
    settings = environment.load(operation.project, operation.environment)
    found = packages.load(operation.project / "packages", operation.environment, settings.values)
    return _supplies(operation, release, settings, found)


def in_force(operation: Operation) -> Release:
    """The release that was last applied; InputError if nothing ever was."""
    digest = operation.journal.fold().release
    if digest is None:
        raise InputError(
            "nothing was ever applied, so there is no release in force",
            where=operation.environment,
            next_step=f"Run `rekindle apply {operation.environment}` first.",
        )
    return operation.releases.load(digest)


def loaded(operation: Operation) -> tuple[Package, ...]:
    """The packages in the project's folder; nothing is fetched."""
    settings = environment.load(operation.project, operation.environment)
    return packages.load(operation.project / "packages", operation.environment, settings.values)


def _supplies(operation: Operation, release: Release, settings: Environment, found: tuple[Package, ...]) -> Supplies:
    return Supplies(
        release=release,
        settings=settings,
        packages=found,
        links=_within_reach(operation, release.artifacts),
        installer=_named(release.artifacts, name_of(settings.dcos.installer.url)),
    )


def _mirrored(operation: Operation, settings: Environment, found: Sequence[Package]) -> list[Artifact]:
    wanted = [(s.url, s.sha256) for s in services.fetched(found, operation.inventory)]
    wanted.append((settings.dcos.installer.url, settings.dcos.installer.sha256))
    with ThreadPoolExecutor(PARALLEL) as pool:
        fetched = list(pool.map(lambda item: operation.mirror.ensure(*item), dict.fromkeys(wanted)))
    made = [operation.mirror.put(g.name, g.body, g.content_type) for g in services.generated(found)]
    return [*fetched, *made]


def _within_reach(operation: Operation, artifacts: Iterable[Artifact]) -> dict[str, str]:
    """Copies into the bucket of the hosts' own region, which is all that they can read."""
    bucket, region = operation.stores.artifacts_bucket, operation.inventory.region or operation.stores.region

    def link(artifact: Artifact) -> tuple[str, str]:
        operation.mirror.replicate(artifact, bucket, region)
        return artifact.name, operation.mirror.url_for(artifact, bucket, region)

    with ThreadPoolExecutor(PARALLEL) as pool:
        return dict(pool.map(link, artifacts))


def _named(artifacts: Iterable[Artifact], name: str) -> Artifact:
    for artifact in artifacts:
        if artifact.name == name:
            return artifact
    raise InputError(f"the release has no artifact {name}", where="dcos.installer.url")


def _require_pinned(installer: Installer, environment: str) -> None:
    """InputError for the sample's digest: root runs the installer, so somebody must vouch for it."""
    if installer.sha256 == SAMPLE_DIGEST:
        raise InputError(
            "is still the sample's: nobody has said which installer is the right one",
            where=f"stacks/Pulumi.{environment}.yaml: dcos.installer.sha256",
            next_step=f"Fetch {installer.url}, see that it is what its maker published, and put there what "
            "`sha256sum` says of it.",
        )
