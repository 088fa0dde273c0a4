"""Namespaces, routes and nftables rules derived from what the EC2 API says."""
