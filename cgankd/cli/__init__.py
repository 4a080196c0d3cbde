"""The command `cgankd`. torch is imported only when something is built."""
