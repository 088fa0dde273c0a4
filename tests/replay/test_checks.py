"""What is asked of volumes before a service starts on them, as tables."""

import pytest

from rekindle.aws.compute import VolumeFacts
from rekindle.errors import GateFailed
from rekindle.replay.checks import require_single


def volume(volume_id: str, name: str = "kafka-1", az: str = "us-west-2a", state: str = "available") -> VolumeFacts:
    return VolumeFacts(
        volume_id=volume_id,
        state=state,
        az=az,
        size_gib=4,
        snapshot_id=None,
        attached_to=None,
        device=None,
        tags={"Name": name},
    )


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ([], ()),
        ([volume("vol-2")], ("kafka-1 in us-west-2a", "vol-1", "vol-2")),
        ([volume("vol-2", state="in-use"), volume("vol-3")], ("vol-1", "vol-2", "vol-3")),
        ([volume("vol-2", name="kafka-2")], ()),
        ([volume("vol-2", az="us-west-2b")], ()),  # no agent of the other zone sees it
        ([volume("vol-2", state="deleting"), volume("vol-3", state="deleted")], ()),
    ],
)
def test_a_volume_is_alone_of_its_name_in_its_zone(others: list[VolumeFacts], named: tuple[str, ...]) -> None:
    found = [volume("vol-1"), *others]
    if not named:
        require_single(found)
        return
    with pytest.raises(GateFailed) as failed:
        require_single(found)
    assert all(name in str(failed.value) for name in named)
