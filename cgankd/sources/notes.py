"""What a reader says about the data: once, and not for each stage that reads them."""

from functools import cache

from cgankd import console


@cache
def say(text: str) -> None:
    """A note."""
    console.say(text)


@cache
def warn(text: str) -> None:
    """Something the user should know."""
    console.warn(text)
