"""genconf/config.yaml: typed settings in the form that the real generator accepts.

Keys and rules: the generator of DC/OS 1.13 to 2.2 (dcos/dcos, gen/calc.py). It accepts unknown
keys silently, so none is written that it does not know; it aborts on null and on fractions.
"""

from typing import Any

import yaml

from rekindle.errors import InputError
from rekindle.inventory import Inventory, Role
from rekindle.roles.settings import DcosSettings

CALCULATED = ("num_masters", "fault_domain_enabled", "dcos_version", "provider")  # setting them is an error
MASTER_COUNTS = (1, 3, 5, 7, 9)

# REX-Ray 0.11 (libstorage's integration keys). Rekindle alone creates and removes volumes: a volume that
# is missing in the agent's availability zone must be an error, never a new, empty one.
REXRAY: dict[str, Any] = {
    "rexray": {"loglevel": "info", "service": "ebs"},  # credentials come from the instance profile
    "libstorage": {
        "server": {"tasks": {"logTimeout": "5m"}},
        "integration": {
            "volume": {
                "operations": {
                    "create": {"disable": True, "implicit": False},
                    "remove": {"disable": True},
                    "mount": {"preempt": False},
                    "unmount": {"ignoreusedcount": True},
                }
            }
        },
    },
}


def bootstrap_url(inventory: Inventory) -> str:
    """Where hosts fetch DC/OS from: the bootstrap host, by its address."""
    hosts = inventory.with_role(Role.BOOTSTRAP)
    if len(hosts) != 1:
        raise InputError(f"one bootstrap host is needed, {len(hosts)} are there", where=_where(inventory))
    return f"http://{hosts[0].private_ip}"


def config(settings: DcosSettings, inventory: Inventory, public_key: str) -> dict[str, Any]:
    """All keys of config.yaml; InputError for a set of masters or a further key that the generator would refuse."""
    masters = [str(host.private_ip) for host in inventory.with_role(Role.MASTER)]
    if len(masters) not in MASTER_COUNTS:
        raise InputError(f"1, 3, 5, 7 or 9 masters are needed, {len(masters)} are there", where=_where(inventory))
    own = {
        "bootstrap_url": bootstrap_url(inventory),
        "cluster_name": inventory.cluster_name,
        "exhibitor_storage_backend": "static",
        "master_discovery": "static",
        "master_list": masters,
        "resolvers": [str(address) for address in settings.resolvers],
        "superuser_service_account_uid": settings.superuser,
        "superuser_service_account_public_key": public_key,
        "telemetry_enabled": settings.telemetry,
        **({} if inventory.region is None else {"rexray_config": REXRAY}),
    }
    _check_further(settings, own)
    return {**own, **settings.config}


def config_yaml(settings: DcosSettings, inventory: Inventory, public_key: str) -> str:
    """config.yaml, in block style, in a stable order."""
    document = config(settings, inventory, public_key)
    return yaml.dump(document, Dumper=_Dumper, sort_keys=True, default_flow_style=False, width=1000)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines, such as keys, as they are."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def _check_further(settings: DcosSettings, own: dict[str, Any]) -> None:
    for key, value in settings.config.items():
        if key in own:
            raise InputError(f"{key} is set by Rekindle", where="dcos.config", next_step="Remove it from dcos.config.")
        if key in CALCULATED:
            raise InputError(f"{key} is calculated by the generator", where="dcos.config", next_step="Remove it.")
        if value is None or isinstance(value, float):
            raise InputError(f"{key}: the generator aborts on {value!r}", where="dcos.config")


def _where(inventory: Inventory) -> str:
    return f"inventory of {inventory.environment}"
