"""Four Linux guests on two CPUs, one of them with two vCPUs: all at once, each to its shell and to its end."""

import re

from machine import DETACH, GUEST_SHELL, GUESTS, HOST_SECTION, Machine, make_medium

VCPUS = {"one": 1, "two": 1, "three": 1, "pair": 2}
SECTION = ("[vm {}]\nmemory = 128M\nvcpus = {}\nboot = linux\nkernel = guests/vmlinuz\nramdisk = guests/initrd.img\n"
           "cmdline = console=ttyS0 quiet\n")
FILES = {f"guests/{name}": GUESTS / name for name in ("vmlinuz", "initrd.img")}


def at_shell(machine, name, commands):
    """Attaches to a guest's shell and types; gives what it said to each line."""
    machine.send(f"console {name}\r")
    machine.expect(f"connected to {name}")
    machine.send("\r")
    machine.expect(GUEST_SHELL, 60)
    said = []
    for line in commands:
        mark = len(machine.text)
        machine.send(f"{line}\r")
        machine.expect(GUEST_SHELL, 60)
        said.append(machine.text[mark:])
    return said


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
            said = at_shell(machine, name, [f"echo $((6 * 7))-{name}", "grep -c ^processor /proc/cpuinfo"])
            assert f"42-{name}" in said[0], said
            assert re.search(rf"^{count}\r", said[1], re.M), said
            machine.send("poweroff -f\r")
            machine.expect(rf"vm {name}: stopped \(poweroff\)", 60)
            if name != list(VCPUS)[-1]:
                machine.send(DETACH)
        assert machine.wait_end(60) == 0, machine.tail()
