"""Which regions are lost, and what their loss means for a request."""

from __future__ import annotations

import threading

from rehearsal.region.request import Call
from rehearsal.region.stage import GLOBAL_CONTROL_PLANE_REGION, REGIONS

_GLOBAL_SERVICES = frozenset({"iam", "route53", "cloudfront", "organizations"})


class Outages:
    """The regions that are down now."""

    def __init__(self) -> None:
        self._down: set[str] = set()
        self._lock = threading.Lock()

    def fail(self, region: str) -> None:
        with self._lock:
            self._down.add(region)

    def restore(self, region: str) -> None:
        with self._lock:
            self._down.discard(region)

    def is_down(self, region: str) -> bool:
        return region in self._down

    @property
    def up(self) -> list[str]:
        return [region for region in REGIONS if region not in self._down]

    def swallow(self, call: Call, bucket_region: str | None) -> bool:
        """Whether nobody is there to answer this request.

        IAM and Route 53 read and serve everywhere, and write through us-east-1 only; so do the
        creation and deletion of buckets (AWS Fault Isolation Boundaries, appendix A and B).
        """
        if call.service in _GLOBAL_SERVICES:
            return call.is_write and self.is_down(GLOBAL_CONTROL_PLANE_REGION)
        if call.service == "s3":
            if _is_bucket_control(call) and self.is_down(GLOBAL_CONTROL_PLANE_REGION):
                return True
            return self.is_down(bucket_region or call.region)
        return self.is_down(call.region)


def _is_bucket_control(call: Call) -> bool:
    return call.method in {"PUT", "DELETE"} and call.bucket is not None and call.key is None and not call.query
