"""dcos-net: names and virtual addresses on every node; and Mesos-DNS on masters."""
