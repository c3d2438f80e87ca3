"""``python -m headspan``."""

from headspan.cli import main

main()
