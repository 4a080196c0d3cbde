"""The report: what the records of runs say, as tables and figures on one page; without torch."""

from cgankd.report.page import build
from cgankd.report.records import RunRecords, read
from cgankd.report.summary import summarise

__all__ = ["RunRecords", "build", "read", "summarise"]
