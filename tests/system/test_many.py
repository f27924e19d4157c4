"""Four Linux guests on two CPUs, one of them with two vCPUs: all at once, each to its shell and to its end."""

import re

from machine import DETACH, GUEST_SHELL, GUESTS, HOST_SECTION, Machine, make_medium

VCPUS = {"one": 1, "two": 1, "three": 1, "pair": 2}
SECTION = ("[vm {}]\nmemory = 128M\nvcpus = {}\nboot = linux\nkernel = guests/vmlinuz\nramdisk = guests/initrd.img\n"
           "cmdline = console=ttyS0 quiet\n")
FILES = {f"guests/{name}": GUESTS / name for name in ("vmlinuz", "initrd.img")}


def test_four_linux_guests_at_once(tmp_path):
    text = HOST_SECTION + "when_all_stopped = poweroff\n" + "".join(SECTION.format(name, count) for name, count in VCPUS.items())
    with Machine(make_medium(tmp_path, text, FILES), "--cpus", 2, limit=700) as machine:
        machine.wait_up()
        for _ in VCPUS:
            machine.expect(r"trivet-guest: date|stopped \(", 500)
            assert "stopped" not in machine.child.match[0], machine.tail()
        rows = machine.command("list")
        for name, count in VCPUS.items():
            assert re.search(rf"^{name} +\d+ +128 +{count} ", rows, re.M), rows
        for name, count in VCPUS.items():
            machine.send(f"console {name}\r")
            machine.expect(f"connected to {name}")
            machine.send("\r")
            machine.expect(GUEST_SHELL, 60)
            machine.send("echo $((6 * 7))-$(grep -c ^processor /proc/cpuinfo)-processors\r")
            machine.expect(rf"42-{count}-processors\r", 60)
            machine.expect(GUEST_SHELL, 60)
            machine.send("poweroff -f\r")
            machine.expect(rf"vm {name}: stopped \(poweroff\)", 60)
            if name != list(VCPUS)[-1]:
                machine.send(DETACH)
        assert machine.wait_end(60) == 0, machine.tail()
