"""Random commands of the life cycle against ten small VMs: nothing is left of them, and all accounts agree."""

import os
import random
import re
import time

import pytest
from machine import HOST_SECTION, Machine, guest_files, make_medium, vm_section

SECONDS = 60
COMMANDS = 150
# VM: (program, command line, further lines of its section)
VMS = {
    "steady": ("worker", "span=5000", {}),
    "heavy": ("worker", "span=5000", {"sched": "credit weight=1024"}),
    "capped": ("worker", "span=5000", {"sched": "credit cap=10"}),
    "timer": ("rt_worker", "periods=1000000 period=20000", {"sched": "rt budget=1ms period=20ms"}),
    "short": ("hello", "", {"on_poweroff": "restart"}),
    "brief": ("poweroff", "", {}),
    "crashes": ("triple_fault", "", {"on_crash": "restart"}),
    "again": ("reboot", "", {}),
    "two": ("hostile", "ipi", {"vcpus": 2}),
    "deaf": ("cli_hlt", "", {}),
}
POLICIES = ("credit weight=128", "credit weight=512 cap=40", "rt budget=1ms period=20ms", "cyclic frame=20ms window=10ms+2ms", "pinned")


def random_command(dice):
    name = dice.choice(list(VMS))
    word = dice.choices(("create", "destroy", "pause", "unpause", "reset", "reboot", "shutdown", "vcpu-pin", "sched"),
                        (6, 4, 2, 3, 2, 1, 1, 2, 2))[0]
    more = {"vcpu-pin": f" 0 {dice.choice(('0', '1', '0-1'))}", "sched": f" {dice.choice(POLICIES)}"}
    return f"{word} {name}{more.get(word, '')}"


def destroy_all(machine):
    for name in VMS:
        machine.command(f"destroy {name}")
    deadline = time.monotonic() + 60
    while re.search(rf"^(?:{'|'.join(VMS)}) +\d+ +4 ", machine.command("list"), re.M):
        assert time.monotonic() < deadline, machine.tail()


def audited(machine):
    """Checks the accounts; gives the free memory [KiB]."""
    assert re.search(r"^audit: clean", machine.command("audit", 60), re.M), machine.tail()
    return int(re.search(r"^free memory: (\d+) KiB", machine.command("list"), re.M)[1])


@pytest.mark.parametrize("rig", ["bochs", "qemu"])
def test_random_lives_leave_nothing_behind(tmp_path, rig):
    """By VMX and by SVM."""
    seed = int(os.environ.get("STRESS_SEED", random.randrange(1 << 32)))
    print(f"STRESS_SEED={seed}")
    dice = random.Random(seed)
    text = HOST_SECTION + "".join(vm_section(name, guest, autostart="no", cmdline=line or "none", **more)
                                  for name, (guest, line, more) in VMS.items())
    files = guest_files(*{guest for guest, _, _ in VMS.values()})
    with Machine(make_medium(tmp_path, text, files), "--cpus", 2, rig=rig) as machine:
        machine.wait_up()
        # What is allocated once and for all at the first use is not lost.
        for name in VMS:
            machine.command(f"create {name}")
        destroy_all(machine)
        free = audited(machine)
        end = time.monotonic() + SECONDS
        for number in range(COMMANDS):
            machine.command(random_command(dice), 60)
            if time.monotonic() > end:
                break
        assert number > 20, f"only {number} commands in {SECONDS} s"
        audited(machine)
        destroy_all(machine)
        assert audited(machine) == free, machine.tail()
        machine.power_off()
