"""`python -m receivables` is the command line `receivables`."""

from receivables.cli import main

main()
