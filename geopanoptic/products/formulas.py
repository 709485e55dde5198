"""Text in CSV files that a spreadsheet would run as a formula: it gets an apostrophe, which the spreadsheet hides."""

from __future__ import annotations

_FORMULA = r"('*[=+@\t\r-])"
"""How formulas begin. Text with apostrophes before that gets one more, so that its own come back."""

MARK = (f"^{_FORMULA}", r"'\1")
"""Pattern and replacement, to Python and Arrow alike: text as it is written."""

UNMARK = (f"^'{_FORMULA}", r"\1")
"""Pattern and replacement: text as it was before ``MARK``."""
