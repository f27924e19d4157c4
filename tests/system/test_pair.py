"""Two Linux guests at once: on one CPU they take turns, and each has its own console."""

import re

import pytest
from machine import DETACH, GUEST_SHELL, GUESTS, Machine, make_medium

SECTION = "[vm {}]\nmemory = 128M\nboot = linux\nkernel = guests/vmlinuz\nramdisk = guests/initrd.img\ncmdline = console=ttyS0 quiet\n"
CONFIGURATION = "[host]\nversion = 1\nconsole = serial:com1,115200\n" + SECTION.format("one") + SECTION.format("two")
FILES = {f"guests/{name}": GUESTS / name for name in ("vmlinuz", "initrd.img")}


@pytest.mark.parametrize("cpus", [1, 2])
def test_two_linux_guests_reach_their_shells_and_power_off(tmp_path, cpus):
    with Machine(make_medium(tmp_path, CONFIGURATION, FILES), "--cpus", cpus, limit=500) as machine:
        machine.wait_up()
        for _ in range(2):
            machine.expect(r"trivet-guest: date|stopped \(", 400)
            assert "stopped" not in machine.child.match[0], machine.tail()
        assert len(re.findall(r"^(?:one|two) +\d+ +128 +1 ", machine.command("list"), re.M)) == 2
        for name in ("one", "two"):
            machine.send(f"console {name}\r")
            machine.expect(f"connected to {name}")
            machine.send("\r")
            machine.expect(GUEST_SHELL, 60)
            machine.send(f"echo $((6 * 7))-{name}\r")
            machine.expect(rf"42-{name}\r", 60)
            machine.expect(GUEST_SHELL, 60)
            machine.send("poweroff -f\r")
            assert machine.wait_stopped(name, 60) == "poweroff"
            machine.send(DETACH)
        assert {machine.wait_off(name) for name in ("one", "two")} == {"off (poweroff)"}
