"""The report: what the records of runs say, as tables and figures on one page; without torch."""

from cgankd.report.card import card
from cgankd.report.page import build
from cgankd.report.records import RunRecords, is_finished, read
from cgankd.report.ship import Kind, best_student, kinds, untimed
from cgankd.report.summary import summarise

__all__ = [
    "Kind",
    "RunRecords",
    "best_student",
    "build",
    "card",
    "is_finished",
    "kinds",
    "read",
    "summarise",
    "untimed",
]
