"""Provisions, bootstraps, operates and rebuilds DC/OS data platforms on AWS."""
