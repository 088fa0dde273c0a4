"""Where a journal is and which key opens it, as an operator gives it at night: one URL from the runbook."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from rekindle.aws.clients import Clients
from rekindle.errors import InputError
from rekindle.journal.store import DirectoryStore, S3Store, Store
from rekindle.secrets import Envelope, KmsEnvelope, PassphraseEnvelope

FORM = "s3://BUCKET?region=REGION&key=ARN, or file:///FOLDER"
KEY_ARN = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")


@dataclass(frozen=True, kw_only=True)
class Location:
    """A journal's store, and what opens its keys."""

    store: Store
    envelope: Envelope


def located(url: str, clients: Clients, variables: Mapping[str, str]) -> Location:
    """The store of a URL; InputError says which forms there are."""
    parts = _parts(url)
    given = parse_qs(parts.query)
    region, key = ("".join(given.pop(name, [])) for name in ("region", "key"))
    if parts.scheme == "s3" and parts.netloc and region and KEY_ARN.fullmatch(key) and not given:
        envelope = KmsEnvelope(clients.kms(region), key)  # this one, whatever the store says: others may write there
        return Location(store=S3Store(clients.s3(region), parts.netloc), envelope=envelope)
    if parts.scheme == "file" and parts.path and not parts.query:
        return Location(store=DirectoryStore(Path(parts.path)), envelope=PassphraseEnvelope.from_environment(variables))
    raise InputError(
        f"{url or 'nothing'} is not the place of a journal",
        where="--journal",
        next_step=f"Give it as {FORM}, from the runbook's table, or set REKINDLE_JOURNAL. Quote it: & ends a command. "
        "The ARN is `stores.kms_key_arn` in `pulumi stack output inventory`.",
    )


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise InputError(f"{url} is no URL: {error}", where="--journal", next_step=f"Give it as {FORM}.") from error
