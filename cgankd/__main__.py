"""`python -m cgankd`."""

from cgankd.cli import main

if __name__ == "__main__":
    main()
