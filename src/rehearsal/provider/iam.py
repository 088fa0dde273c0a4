"""IAM roles, their policies and instance profiles. IAM has no region."""

from rehearsal.provider.aws import Aws
from rehearsal.provider.network import same_document
from rehearsal.provider.resource import Resource, tag_list, tag_map
from rehearsal.provider.values import Properties


class Role(Resource):
    kind = "aws:iam/role:Role"
    handles = frozenset({"name", "assumeRolePolicy", "description", "tags"})
    needs = frozenset({"name"})
    replaces = frozenset({"name"})

    def create(self, aws: Aws, want: Properties) -> str:
        aws.iam.create_role(
            RoleName=want["name"],
            AssumeRolePolicyDocument=want["assumeRolePolicy"],
            Description=want.get("description", ""),
            Tags=tag_list(want.get("tags")),
        )
        return str(want["name"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        aws.iam.update_assume_role_policy(RoleName=id, PolicyDocument=new["assumeRolePolicy"])
        aws.iam.update_role(RoleName=id, Description=new.get("description", ""))
        if gone := sorted(set(old.get("tags", {})) - set(new.get("tags", {}))):
            aws.iam.untag_role(RoleName=id, TagKeys=gone)
        aws.iam.tag_role(RoleName=id, Tags=tag_list(new.get("tags")))

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        role = aws.iam.get_role(RoleName=id)["Role"]
        return {
            "name": role["RoleName"],
            "assumeRolePolicy": same_document(known.get("assumeRolePolicy"), role["AssumeRolePolicyDocument"]),
            "description": role.get("Description"),
            "tags": tag_map(role.get("Tags")),
            "arn": role["Arn"],
            "uniqueId": role["RoleId"],
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.iam.delete_role(RoleName=id)


class RolePolicy(Resource):
    """A policy inside a role; its id is `<role>:<policy>`."""

    kind = "aws:iam/rolePolicy:RolePolicy"
    handles = frozenset({"name", "role", "policy"})
    needs = frozenset({"name"})
    replaces = frozenset({"name", "role"})
    is_known = True

    def create(self, aws: Aws, want: Properties) -> str:
        aws.iam.put_role_policy(RoleName=want["role"], PolicyName=want["name"], PolicyDocument=want["policy"])
        return f"{want['role']}:{want['name']}"

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        self.create(aws, new)

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        role, _, name = id.partition(":")
        found = aws.iam.get_role_policy(RoleName=role, PolicyName=name)
        policy = same_document(known.get("policy"), found["PolicyDocument"])
        return {"role": role, "name": name, "policy": policy}

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        role, _, name = id.partition(":")
        aws.iam.delete_role_policy(RoleName=role, PolicyName=name)


class InstanceProfile(Resource):
    kind = "aws:iam/instanceProfile:InstanceProfile"
    handles = frozenset({"name", "role", "tags"})
    needs = frozenset({"name", "role"})
    replaces = frozenset({"name"})

    def create(self, aws: Aws, want: Properties) -> str:
        aws.iam.create_instance_profile(InstanceProfileName=want["name"], Tags=tag_list(want.get("tags")))
        return str(want["name"])

    def settle(self, aws: Aws, id: str, want: Properties) -> None:
        aws.iam.add_role_to_instance_profile(InstanceProfileName=id, RoleName=want["role"])

    def update(self, aws: Aws, id: str, old: Properties, new: Properties) -> None:
        if old.get("role") != new["role"]:
            aws.iam.remove_role_from_instance_profile(InstanceProfileName=id, RoleName=old["role"])
            aws.iam.add_role_to_instance_profile(InstanceProfileName=id, RoleName=new["role"])
        if gone := sorted(set(old.get("tags", {})) - set(new.get("tags", {}))):
            aws.iam.untag_instance_profile(InstanceProfileName=id, TagKeys=gone)
        aws.iam.tag_instance_profile(InstanceProfileName=id, Tags=tag_list(new.get("tags")))

    def observe(self, aws: Aws, id: str, known: Properties) -> Properties:
        profile = aws.iam.get_instance_profile(InstanceProfileName=id)["InstanceProfile"]
        roles = profile.get("Roles") or [{}]
        return {
            "name": id,
            "role": roles[0].get("RoleName"),
            "tags": tag_map(profile.get("Tags")),
            "arn": profile["Arn"],
        }

    def delete(self, aws: Aws, id: str, state: Properties) -> None:
        aws.iam.remove_role_from_instance_profile(InstanceProfileName=id, RoleName=state["role"])
        aws.iam.delete_instance_profile(InstanceProfileName=id)
