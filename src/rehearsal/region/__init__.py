"""The region: the API server (moto behind one middleware as strict as AWS), its life, and the loop
that makes what the API says true.

`rehearsal.region.handle.RegionHandle` starts, ends and fails one from outside.
"""
