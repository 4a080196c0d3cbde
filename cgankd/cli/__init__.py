"""The command `cgankd`. torch is imported only when something is built."""

from cgankd.cli.commands import main

__all__ = ["main"]
