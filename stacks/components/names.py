"""Public names that move by the data plane: docs/adr/0012-failover-records.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import route53

from components.switch import Switch
from rekindle.environment import PublicName, own_name

TTL_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class NamesArgs:
    """What the names are made from."""

    dns_zone: str
    names: Mapping[str, PublicName]
    switch: Switch  # what the health checks look at


def secondaries(names: Mapping[str, PublicName]) -> tuple[str, ...]:
    """The environments that can take over, each once, in the order of the names."""
    return tuple(dict.fromkeys(public.secondary for public in names.values()))


class Names(pulumi.ComponentResource):
    """The zone, and for each public name a primary and a secondary that takes over by itself."""

    dns_zone_id: pulumi.Output[str]
    name_servers: pulumi.Output[Sequence[str]]

    def __init__(self, name: str, args: NamesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("rekindle:names:Names", name, None, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        zone = route53.Zone(
            args.dns_zone,
            name=args.dns_zone,
            comment="Public names of the environments",
            tags={"Name": args.dns_zone},
            opts=pulumi.ResourceOptions(parent=self, protect=True),
        )
        self.dns_zone_id = zone.zone_id
        self.name_servers = zone.name_servers
        self._checks = {environment: self._check(environment) for environment in secondaries(args.names)}
        for fqdn, public in args.names.items():
            self._records(fqdn, public)
        self.register_outputs({"dns_zone_id": self.dns_zone_id})

    def _check(self, environment: str) -> pulumi.Output[str]:
        """Healthy while the recovery environment has not taken over. Protected: a new one knows of no takeover."""
        settings = self._args.switch.check(environment)
        settings.tags = {"Name": f"{environment} has not taken over"}
        opts = pulumi.ResourceOptions(parent=self, protect=True)
        return route53.HealthCheck(f"{self._name}-{environment}", settings, opts).id

    def _records(self, fqdn: str, public: PublicName) -> None:
        self._record(fqdn, "PRIMARY", public.primary, self._checks[public.secondary])
        self._record(fqdn, "SECONDARY", public.secondary, None)

    def _record(self, fqdn: str, kind: str, environment: str, check: pulumi.Output[str] | None) -> None:
        route53.Record(
            f"{fqdn}-{kind.lower()}",
            zone_id=self.dns_zone_id,
            name=fqdn,
            type="CNAME",
            ttl=TTL_SECONDS,
            records=[own_name(environment, self._args.dns_zone)],
            failover_routing_policies=[{"type": kind}],
            set_identifier=f"{fqdn}-{kind.lower()}",
            health_check_id=check,
            opts=self._child,
        )
