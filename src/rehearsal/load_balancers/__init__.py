"""HAProxy configured from the ELB API."""
