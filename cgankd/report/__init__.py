"""The report: what the records of runs say, as tables and figures on one page; without torch."""
