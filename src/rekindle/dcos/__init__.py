"""The cluster's HTTP APIs, through Admin Router; alone imports httpx (besides the mirror).

Speaks to DC/OS 1.13 to 2.2, open and enterprise, as their published APIs say.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rekindle.dcos.cosmos import Cosmos, Installed, Repository
from rekindle.dcos.errors import ApiError, LoginFailed
from rekindle.dcos.health import Ensemble, Health, Unit, Version
from rekindle.dcos.marathon import AppStatus, Marathon
from rekindle.dcos.mesos import Agent, Mesos
from rekindle.dcos.session import Credentials, Session

__all__ = [
    "Agent",
    "ApiError",
    "AppStatus",
    "Client",
    "Cosmos",
    "Credentials",
    "Ensemble",
    "Health",
    "Installed",
    "LoginFailed",
    "Marathon",
    "Mesos",
    "Repository",
    "Session",
    "Unit",
    "Version",
    "connected",
]


@dataclass(frozen=True)
class Client:
    """One cluster's APIs over one session."""

    marathon: Marathon
    cosmos: Cosmos
    mesos: Mesos
    health: Health

    @classmethod
    def over(cls, session: Session) -> "Client":
        return cls(Marathon(session), Cosmos(session), Mesos(session), Health(session))


@contextmanager
def connected(base_url: str, credentials: Credentials | None) -> Iterator[Client]:
    """A client of the Admin Router at `base_url`, usually a tunnel's local end; logs in when first asked."""
    session = Session(base_url, credentials)
    try:
        yield Client.over(session)
    finally:
        session.close()
