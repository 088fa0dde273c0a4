"""Where a journal is, as an operator gives it at night: one URL from the runbook."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from rekindle.aws.clients import Clients
from rekindle.errors import InputError
from rekindle.journal.store import DirectoryStore, S3Store, Store
from rekindle.secrets import Envelope, KmsEnvelope, PassphraseEnvelope

FORM = "s3://<bucket>?region=<region>, or file:///<folder>"


@dataclass(frozen=True, kw_only=True)
class Location:
    """A journal's store, and what opens its keys."""

    store: Store
    envelope: Envelope


def located(url: str, clients: Clients, variables: Mapping[str, str]) -> Location:
    """The store of a URL; InputError says which forms there are."""
    parts = urlsplit(url)
    region = "".join(parse_qs(parts.query).get("region", ())[:1])
    if parts.scheme == "s3" and parts.netloc and region:
        # KMS names the key itself in what it wrapped: only reading is done through this
        envelope = KmsEnvelope(clients.kms(region), key_arn="")
        return Location(store=S3Store(clients.s3(region), parts.netloc), envelope=envelope)
    if parts.scheme == "file" and parts.path:
        return Location(store=DirectoryStore(Path(parts.path)), envelope=PassphraseEnvelope.from_environment(variables))
    raise InputError(
        f"{url or 'nothing'} is not the place of a journal",
        where="--journal",
        next_step=f"Give it as {FORM}; docs/runbook-recovery.md says where you noted it, or set REKINDLE_JOURNAL.",
    )
