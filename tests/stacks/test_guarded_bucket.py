"""What Rekindle writes passes the policies of its buckets, and what would undo it does not: on the stage's own API."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.moto_api._internal.models import moto_api_backend
from werkzeug.serving import make_server

from components.buckets import PrivateBucketArgs, guard
from rehearsal.region import api
from rehearsal.region.behaviour import objects as strict
from rehearsal.region.outages import Outages
from rehearsal.region.rules import rules
from rehearsal.region.stage import OPERATOR_KEY
from rekindle.aws import objects
from rekindle.aws.clients import Clients
from rekindle.aws.objects import Content
from rekindle.errors import Refused

pytestmark = pytest.mark.integration

REGION, BUCKET = "us-west-2", "journal"
TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    strict.install()
    stage = api.Api(Outages(), rules(lambda source: None), lambda: None)
    server = make_server("127.0.0.1", 0, stage, threaded=True, request_handler=api._Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, OPERATOR_KEY)
        client = Clients().s3(REGION)
        client.create_bucket(
            Bucket=BUCKET,
            CreateBucketConfiguration={"LocationConstraint": REGION},
            ObjectLockEnabledForBucket=True,
        )
        args = PrivateBucketArgs(bucket=BUCKET, is_create_only=True, keeps_all=True)
        client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(guard(BUCKET, args)))
        yield client
    server.shutdown()
    server.server_close()
    moto_api_backend.reset()


def test_what_is_new_is_written_once(s3: Any) -> None:
    assert [objects.put_once(s3, BUCKET, "new", b"x", retain_until=TOMORROW) for _ in range(2)] == [True, False]
    assert objects.read(s3, BUCKET, "new") == b"x"
    body = bytes(3 * 1024**2)
    digest = hashlib.sha256(body).hexdigest()
    assert objects.upload(s3, BUCKET, "large", io.BytesIO(body), sha256=digest, size=len(body), content_type="a/b")
    assert objects.content(s3, BUCKET, "large") == Content(size=len(body), sha256=digest)


@pytest.mark.parametrize(
    "attack",
    [
        lambda s3, version: objects.put(s3, BUCKET, "kept", b"evil", "text/plain"),
        lambda s3, version: objects.copy(BUCKET, "kept", s3, BUCKET, "kept", content_type="text/plain"),
        lambda s3, version: objects.delete(s3, BUCKET, "kept"),
        lambda s3, version: s3.delete_object(Bucket=BUCKET, Key="kept", VersionId=version),
        lambda s3, version: s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "kept"}]}),
        lambda s3, version: s3.put_object_retention(
            Bucket=BUCKET,
            Key="kept",
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=1)},
            BypassGovernanceRetention=True,
        ),
        lambda s3, version: s3.put_bucket_lifecycle_configuration(
            Bucket=BUCKET,
            LifecycleConfiguration={
                "Rules": [{"ID": "a", "Prefix": "", "Status": "Enabled", "Expiration": {"Days": 1}}]
            },
        ),
    ],
)
def test_what_is_kept_stays_as_it_is(s3: Any, attack: Any) -> None:
    objects.put_once(s3, BUCKET, "kept", b"mine", retain_until=TOMORROW)
    version = s3.head_object(Bucket=BUCKET, Key="kept")["VersionId"]
    with pytest.raises((Refused, s3.exceptions.ClientError), match="AccessDenied"):
        attack(s3, version)
    assert objects.read(s3, BUCKET, "kept") == b"mine"
    (listed,) = objects.list_versions(s3, BUCKET, "kept")
    assert (listed.versions, listed.delete_markers) == (1, 0)
