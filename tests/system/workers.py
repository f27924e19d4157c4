"""What tests/guests/worker.c says, read from a machine's console."""

import re

LINE = re.compile(r"\((\S+)\) worker: span (\d+): (\d+) units in (\d+) us, (\d+) of 10000")


def spans(machine, name):
    """The shares of a CPU [percent] that VM `name` has told so far, oldest first."""
    found = map(LINE.fullmatch, machine.lines())
    return [int(match[5]) / 100 for match in found if match and match[1] == name]


def wait_spans(machine, name, count, timeout=120):
    """Waits until VM `name` has told `count` spans since it began to run; gives all of them."""
    while len(spans(machine, name)) < count:
        machine.expect(rf"\({re.escape(name)}\) worker: [^\n]*\n", timeout)
    return spans(machine, name)


def next_spans(machine, names, count, timeout=120):
    """The means of the `count` spans of each VM which begin after now: {name: percent}."""
    # The span that goes on now belongs to the time before.
    before = {name: len(spans(machine, name)) + 1 for name in names}
    return {name: sum(wait_spans(machine, name, begin + count, timeout)[begin:begin + count]) / count
            for name, begin in before.items()}
