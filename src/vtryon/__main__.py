"""``python -m vtryon`` is ``vtryon``."""

from vtryon.cli import main

main()
