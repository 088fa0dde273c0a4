"""`python -m rehearsal.provider`: started by the Pulumi engine."""

from rehearsal.provider.server import main

main()
