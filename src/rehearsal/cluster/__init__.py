"""A compact DC/OS 2.1 (open): one module or package for each component, on one asyncio process for each node."""
