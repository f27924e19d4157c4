"""A Linux guest's console and shell, for tests that give it devices of the machine."""

from machine import DETACH, GUEST_SHELL, plain

# QEMU's time goes on while the machine that runs QEMU is busy with something else, and ticks of the 8254 are lost then. Linux
# counts them for an instant at boot, and panics when it misses some.
CMDLINE = "console=ttyS0 quiet no_timer_check"


def enter(machine, name):
    """Goes to the console of a Linux guest that is up."""
    machine.send(f"console {name}\r")
    machine.expect(rf"connected to {name}; Ctrl-\] comes back")
    machine.send("\r")
    machine.expect(GUEST_SHELL, 60)


def leave(machine):
    machine.send(DETACH)
    machine.expect("trivet> ")


def guest(machine, line, timeout=120):
    """Types a command at the guest's shell; gives what it printed."""
    mark = len(machine.text)
    machine.send(f"{line}; echo end-$((6 * 7))-{mark}\r")
    machine.expect(rf"end-42-{mark}\r", timeout)
    machine.expect(GUEST_SHELL, timeout)
    return plain(machine.text[mark:])
