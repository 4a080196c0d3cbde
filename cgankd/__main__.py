"""`python -m cgankd`."""

from cgankd.cli.commands import main

if __name__ == "__main__":
    main()
