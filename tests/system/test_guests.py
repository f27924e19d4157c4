"""Hostile and exacting guests, all in one boot each: every VM ends for its stated reason, and the host answers."""

import re

import pytest
from machine import TEST_GUESTS, Machine, make_medium

PASS = r"exit 1"
RIP = r" at rip 0x[0-9a-f]+"
UNSUPPORTED = r"crash: unsupported instruction \((?:[0-9a-f]{2} ){7}[0-9a-f]{2}\) on device memory" + RIP

# VM: (guest, command line, how it ends)
ENDS = {
    "hello": ("hello", "", PASS),
    "exit-code": ("exit_code", "", r"exit 43"),
    "triple-fault": ("triple_fault", "", r"crash: triple fault" + RIP),
    "jump-hole": ("jump_hole", "", r"crash: access to unmapped guest-physical address 0xd0000000 \(execute\)" + RIP),
    "tables-hole": ("page_tables_in_hole", "", r"crash: access to unmapped guest-physical address 0xd0000000 \(read\)" + RIP),
    "beyond-ram": ("write_beyond_ram", "", r"crash: access to unmapped guest-physical address 0xb0000000 \(write\)" + RIP),
    "mmio-sse": ("mmio_unsupported", "sse", UNSUPPORTED),
    "mmio-fxsave": ("mmio_unsupported", "fxsave", UNSUPPORTED),
    "mmio-cx16": ("mmio_unsupported", "cmpxchg16b", UNSUPPORTED),
    "mmio-push": ("mmio_unsupported", "push", UNSUPPORTED),
    "cli-hlt": ("cli_hlt", "", r"crash: HLT with interrupts off" + RIP + r".*"),
    "poweroff": ("poweroff", "", r"poweroff"),
    "reboot": ("reboot", "", r"reboot"),
    "reboot-i8042": ("reboot_keyboard", "", r"reboot"),
    "vmx": ("vmx_instructions", "", PASS),
    "vmcall": ("vmcall", "", PASS),
}
CHECKS = {
    "ports": ("port_sweep", "", PASS),
    "msrs": ("msr_sweep", "", PASS),
    "registers": ("cr_dr_games", "", PASS),
    "interrupts": ("interrupts", "", PASS),
    "clocks": ("timekeeping", "", PASS),
    "cpuid": ("cpuid_check", "", PASS),
    "mmio": ("mmio_forms", "", PASS),
    "devices": ("device_sweep", "", PASS),
    "faults-a": ("fault_storm", "", PASS),
    "faults-b": ("fault_storm", "", PASS),
    "fpu-a": ("fpu_state", "1", PASS),
    "fpu-b": ("fpu_state", "2", PASS),
    "flood": ("uart_flood", "", PASS),
    "memory": ("memory_pattern", "", PASS),
    "boot-info": ("multiboot_info", 'first second=2 "third word"', PASS),
    "busy": ("busy_loop", "", None),
}
MODULE = b"trivet module\n" * 1000


def configuration(vms):
    text = "[host]\nversion = 1\nconsole = serial:com1,115200\n"
    for number, (name, (guest, line, _)) in enumerate(vms.items()):
        # Both classes of ELF in turn.
        kernel = f"guests/{guest}.{'elf' if number % 2 == 0 else 'elf32'}"
        # Kept when they have stopped, whatever the reason, so that they can be looked at.
        text += f"[vm {name}]\nmemory = 16M\nboot = multiboot\nkernel = {kernel}\ntestdev = yes\n"
        text += "on_poweroff = preserve\non_reboot = preserve\n"
        text += f"cmdline = {line}\n" if line else ""
        text += "ramdisk = guests/module.txt\n" if guest == "multiboot_info" else ""
    return text


def files(vms):
    found = {"guests/module.txt": MODULE}
    for guest, _, _ in vms.values():
        for ending in ("elf", "elf32"):
            found[f"guests/{guest}.{ending}"] = TEST_GUESTS / f"{guest}.{ending}"
    return found


def boot(folder, vms, *options):
    return Machine(make_medium(folder, configuration(vms), files(vms)), *options)


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    with boot(tmp_path_factory.mktemp("ends"), ENDS) as machine:
        machine.wait_up()
        yield machine


@pytest.fixture(scope="module")
def checks(tmp_path_factory):
    """Two CPUs, so that VMs run at the same time."""
    with boot(tmp_path_factory.mktemp("checks"), CHECKS, "--cpus", 2) as machine:
        machine.wait_up()
        yield machine


def check_end(machine, vms, name):
    reason = machine.wait_stopped(name, 240)
    said = "\n".join(line for line in machine.lines() if line.startswith(f"({name})"))
    assert re.fullmatch(vms[name][2], reason), f"stopped ({reason}), expected {vms[name][2]}\n{said or machine.tail()}"


@pytest.mark.parametrize("name", ENDS)
def test_a_vm_ends_as_it_should(ends, name):
    check_end(ends, ENDS, name)


def test_a_crash_is_explained(ends):
    """The full dump: what happened, the guest's state, the controls in words."""
    ends.wait_stopped("triple-fault")
    text = "\n".join(ends.lines())
    for wanted in (r"vm triple-fault vcpu 0: triple fault at rip", r"last exit: 2 \(triple fault\), qualification",
                   r"rax [0-9a-f]{16}", r"CS +0008 base", r"secondary +[0-9a-f]+: .*\[EPT\]"):
        assert re.search(wanted, text), wanted


def test_the_host_answers_after_hostile_guests(ends):
    rows = ends.command("list")
    for name in ENDS:
        assert re.search(rf"^{re.escape(name)} +\d+ +16 ", rows, re.M), rows
    assert "vmx" in ends.command("info vmx")
    ends.send("poweroff\r")
    assert ends.wait_end() == 0, ends.tail()


@pytest.mark.parametrize("name", [name for name, row in CHECKS.items() if row[2]])
def test_a_guest_passes_its_checks(checks, name):
    check_end(checks, CHECKS, name)


def test_a_guest_cannot_speak_for_the_host(checks):
    """The flood's forged lines carry its name, and its control sequences are gone."""
    checks.wait_stopped("flood", 240)
    forged = [line for line in checks.lines() if "forged" in line]
    assert len(forged) == 3 and all(line.startswith("(flood) ") for line in forged), forged
    assert "\x1b[2J" not in checks.text[checks.text.index("(flood)"):]


def test_a_guest_that_never_leaves_does_not_hold_the_host(checks):
    assert re.search(r"^busy +\d+ +16 +1 +(running|runnable)", checks.command("list"), re.M)
    assert re.search(r"rip +0000000000100[0-9a-f]{3}", checks.command("regs busy"))
    processors = checks.command("cpu")
    assert len(re.findall(r"^ *\d+ +\d+ +online +on ", processors, re.M)) == 2, processors
