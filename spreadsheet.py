"""CSV files that are safe to open in a spreadsheet: text that it would run as a formula is marked and read back exactly."""

import re

# Text that a spreadsheet would run as a formula: =, @ or the like at its start, or + and - before more than a plain word
# or number, perhaps behind apostrophes that were added before.
FORMULA = re.compile(r"'*\s*(?:[=@＝＠]|[+\-＋－].*[^\w.\- ])|'*[\t\r\n]", re.DOTALL)


def escaped(table):
    """The table with an apostrophe before every text, also in the header, that a spreadsheet would run as a formula."""

    def escape(cell):
        return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell

    texts = table.select_dtypes(exclude=["number", "bool"])
    return table.assign(**{name: texts[name].map(escape) for name in texts}).rename(columns=escape)


def unescaped(table):
    """What `escaped` was given."""

    def unescape(cell):
        return cell[1:] if isinstance(cell, str) and cell.startswith("'") and FORMULA.match(cell) else cell

    texts = table.select_dtypes(exclude=["number", "bool"])
    return table.assign(**{name: texts[name].map(unescape) for name in texts}).rename(columns=unescape)
