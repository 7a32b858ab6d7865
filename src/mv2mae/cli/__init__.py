"""The command line: `mv2mae VERB`, or `python -m mv2mae.cli VERB`."""

from mv2mae.cli.main import VERBS, main

__all__ = ["VERBS", "main"]
