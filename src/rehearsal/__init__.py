"""The rehearsal region: the real job on one Linux machine, without an AWS account."""
