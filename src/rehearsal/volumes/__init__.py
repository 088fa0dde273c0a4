"""EBS volumes and snapshots as sparse files on loop devices."""
