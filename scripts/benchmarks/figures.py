"""Figures, how they are read from a console, and how they are shown. What is missing is an error, never left out."""

import re
from dataclasses import dataclass


class Missing(AssertionError):
    """Something could not be measured."""


@dataclass
class Figure:
    """One row: what was measured, and the limit it has to keep (None: it is only told)."""

    name: str
    value: float
    limit: float = None
    unit: str = "instructions"
    note: str = ""

    def kept(self):
        return self.limit is None or self.value <= self.limit


def find(pattern, text, what):
    """The one match of a regular expression in what a machine said."""
    match = re.search(pattern, text, re.M)
    if match is None:
        raise Missing(f"{what} was not told: nothing fits {pattern!r} in\n{text[-3000:]}")
    return match


def series(text, names):
    """{name: (least, mean)} of the lines `bench NAME least mean`; exactly these names, each once."""
    rows = re.findall(r"\bbench (\S+) (\d+) (\d+)$", text, re.M)
    told = [name for name, _, _ in rows]
    if sorted(told) != sorted(names):
        lost = ", ".join(sorted(set(names) - set(told)))
        more = ", ".join(sorted(set(told) - set(names)) + sorted({name for name in told if told.count(name) > 1}))
        raise Missing(f"the guest did not tell: {lost or 'nothing more'}; not expected: {more or 'nothing'}\n{text[-3000:]}")
    return {name: (int(least), int(mean)) for name, least, mean in rows}


def table(figures):
    """Lines of a table in Markdown."""
    yield "| figure | measured | limit | unit | |"
    yield "| --- | ---: | ---: | --- | --- |"
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:,.0f}"
        verdict = "" if figure.limit is None else ("kept" if figure.kept() else "**missed**")
        yield f"| {figure.name} | {figure.value:,.0f} | {limit} | {figure.unit} | {'; '.join(w for w in (verdict, figure.note) if w)} |"
