"""Public names that move by the data plane: docs/adr/0012-failover-records.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import route53

from rekindle.environment import PublicName, own_name, switch_key

TTL_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class NamesArgs:
    """What the names are made from."""

    dns_zone: str
    names: Mapping[str, PublicName]
    switch_host: pulumi.Input[str]  # where the health checks look for the object


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
        secondaries = dict.fromkeys(public.secondary for public in args.names.values())
        self._checks = {environment: self._check(environment) for environment in secondaries}
        for fqdn, public in args.names.items():
            self._records(fqdn, public)
        self.register_outputs({"dns_zone_id": self.dns_zone_id})

    def _check(self, environment: str) -> pulumi.Output[str]:
        """Healthy while the recovery environment has not taken over, and while its region does not answer."""
        return route53.HealthCheck(
            f"{self._name}-{environment}",
            type="HTTP",
            fqdn=self._args.switch_host,
            port=80,
            resource_path=f"/{switch_key(environment)}",
            request_interval=10,
            failure_threshold=1,
            invert_healthcheck=True,
            tags={"Name": f"{environment} has not taken over"},
            opts=self._child,
        ).id

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
