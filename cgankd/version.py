"""The version, which records and files name."""

VERSION = "0.1.0"
