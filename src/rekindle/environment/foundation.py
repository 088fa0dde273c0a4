"""The settings of the foundation: `rekindle:foundation` in stacks/Pulumi.foundation.yaml."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from rekindle import parsing
from rekindle.environment.settings import REGION_KEY, Name, section
from rekindle.parsing import Frozen, nearest

FOUNDATION_KEY = "rekindle:foundation"
SWITCH_METRIC = "TakenOver"  # 1: this environment has taken over; 0: it has not, or no longer
SWITCH_DIMENSION = "Environment"
DnsName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]


class PublicName(Frozen):
    """A public name: the environment that serves it, and the one that takes over."""

    primary: Name
    secondary: Name


class Foundation(Frozen):
    """What must outlive every environment is made from these values."""

    version: Literal[1]
    region: str  # the recovery side
    bucket_prefix: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,30}$")]  # unique in all of S3
    dns_zone: DnsName
    environments: tuple[Name, ...] = Field(min_length=1)  # those whose hosts get IAM roles
    names: dict[DnsName, PublicName] = Field(default_factory=dict)
    switch: Literal["alarm", "bucket"] = "alarm"  # what moves the names: docs/adr/0012-failover-records.md

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, public in self.names.items():
            if not name.endswith("." + self.dns_zone):
                raise ValueError(f"names.{name} is not in the zone {self.dns_zone}")
            if public.primary == public.secondary:
                raise ValueError(f"names.{name}: {public.primary} cannot take over from itself")
            for environment in (public.primary, public.secondary):
                if environment not in self.environments:
                    known = nearest(environment, self.environments)
                    raise ValueError(f"names.{name}: unknown environment {environment}; {known}")
        return self


def parse_foundation(config: Mapping[str, Any], *, where: str) -> Foundation:
    """The settings in a stack's config values."""
    settings = {"region": config.get(REGION_KEY), **section(config, FOUNDATION_KEY, where=where)}
    return parsing.parse(Foundation, settings, where=where)


def own_name(environment: str, dns_zone: str) -> str:
    """ "dev.example.test": the name of an environment's public load balancer, whoever is in force."""
    return f"{environment}.{dns_zone}"


def switch_key(environment: str) -> str:
    """The object in the switch bucket whose presence moves the public names to this recovery environment."""
    return f"{environment}/active"


def switch_alarm(namespace: str, environment: str) -> str:
    """The alarm in the switch's namespace that says whether this recovery environment has taken over."""
    return f"{namespace}/{environment}"
