"""`python -m cgankd`, and the command: signals are listened to before anything else is imported."""

from cgankd import signals


def main() -> None:
    """Runs the command."""
    signals.install()
    from cgankd import cli

    cli.main()


if __name__ == "__main__":
    main()
