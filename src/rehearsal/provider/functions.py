"""The lookups (`pulumi_aws.…get_…`) that the program makes."""

from collections.abc import Callable
from typing import Any, Final

from rehearsal.provider.aws import Aws
from rehearsal.provider.values import Properties


class NotOne(Exception):
    """A lookup that must find exactly one found none, or several."""


def get_ami(aws: Aws, arguments: Properties) -> Properties:
    """The one image of these owners that passes the filters; `mostRecent` allows several."""
    images = aws.ec2.describe_images(
        Owners=arguments.get("owners", []),
        Filters=[{"Name": item["name"], "Values": item["values"]} for item in arguments.get("filters", [])],
    )["Images"]
    if not images or (len(images) > 1 and not arguments.get("mostRecent")):
        raise NotOne(f"{len(images)} images in {aws.region} pass {arguments}")
    image = max(images, key=lambda item: str(item.get("CreationDate", "")))
    return {
        "id": image["ImageId"],
        "imageId": image["ImageId"],
        "name": image.get("Name"),
        "ownerId": image.get("OwnerId"),
        "rootDeviceName": image.get("RootDeviceName"),
        "region": aws.region,
    }


def get_caller_identity(aws: Aws, arguments: Properties) -> Properties:
    """Whose credentials these are."""
    who: dict[str, Any] = aws.client("sts").get_caller_identity()
    return {"id": who["Account"], "accountId": who["Account"], "arn": who["Arn"], "userId": who["UserId"]}


TABLE: Final[dict[str, Callable[[Aws, Properties], Properties]]] = {
    "aws:ec2/getAmi:getAmi": get_ami,
    "aws:index/getCallerIdentity:getCallerIdentity": get_caller_identity,
}
