"""The SVM back end on both emulators that have one: hostile and exacting guests, several processors, Debian's kernel."""

import re

import pytest
from linux_guest import CMDLINE
from machine import BUILD, DETACH, GUEST_SHELL, HOST_SECTION, Machine, guest_files, make_medium, vm_section
from test_guests import CHECKS, ENDS, check_end, configuration, files
from test_smp import GUESTS as SMP_GUESTS
from test_smp import LINUX

RIGS = {"qemu": (), "bochs": ("--model", "ryzen")}
# Where AMD's processors, or these emulations of them, differ.
TABLES = ("page_tables_in_hole", "", ENDS["tables-hole"][2].replace("read", "write"))  # the walk is a write
# Words for guests that find a fault of the emulation: neither tells a #DB of DR7.GD, and QEMU takes any CR3 and any LSTAR.
WORDS = {"qemu": {"registers": "any-cr3 no-detect", "msrs": "any-lstar"}, "bochs": {"registers": "no-detect"}}


def boot(folder, rig, vms, *options):
    return Machine(make_medium(folder, configuration(vms), files(vms)), *RIGS[rig], *options, rig=rig)


@pytest.fixture(scope="module", params=RIGS)
def ends(request, tmp_path_factory):
    with boot(tmp_path_factory.mktemp("svm"), request.param, {**ENDS, "tables-hole": TABLES}) as machine:
        machine.wait_up()
        yield machine


def test_guests_end_as_they_should(ends):
    for name in ENDS:
        check_end(ends, {**ENDS, "tables-hole": TABLES}, name)


@pytest.mark.parametrize("rig", RIGS)
def test_guests_pass_their_checks(tmp_path, rig):
    """One of them never leaves by itself, with interrupts off."""
    vms = {name: (guest, WORDS[rig].get(name, line), end) for name, (guest, line, end) in CHECKS.items()}
    with boot(tmp_path, rig, vms, "--cpus", 2) as machine:
        machine.wait_up()
        for name in vms:
            if vms[name][2]:
                check_end(machine, vms, name)
        assert re.search(r"^busy +\d+ +16 +1 +(running|runnable)", machine.command("list"), re.M)
        assert re.search(r"rip +0000000000100[0-9a-f]{3}", machine.command("regs busy"))


def test_a_crash_is_explained(ends):
    ends.wait_stopped("triple-fault")
    text = "\n".join(ends.lines())
    for wanted in (r"last exit: 7f \(shutdown\)", r"rax [0-9a-f]{16}", r"CS +0008 base", r"intercepts [0-9a-f]+: .*\[CPUID\]",
                   r"nested tables [0-9a-f]+, ASID [1-9]"):
        assert re.search(wanted, text), wanted


def test_the_host_is_clean_after_them(ends):
    assert "audit: clean" in ends.command("audit", 120)
    assert "by SVM with NPT" in ends.command("report")


def test_processors_reach_each_other(tmp_path):
    """On QEMU there is no PAUSE filter, and vCPUs that spin would keep others from their CPU for whole slices."""
    text = HOST_SECTION + "".join(vm_section(name, name, "16M", vcpus=2) for name in SMP_GUESTS)
    with Machine(make_medium(tmp_path, text, guest_files(*SMP_GUESTS)), "--cpus", 2, rig="qemu") as machine:
        machine.wait_up()
        for name in SMP_GUESTS:
            assert machine.wait_stopped(name, 200) == "exit 1", machine.tail()
        assert "audit: clean" in machine.command("audit", 120)


def look_inside(machine, vcpus):
    """What the shell shows of a Linux guest."""
    for vcpu in range(vcpus):
        registers = machine.command(f"regs linux {vcpu}")
        assert re.search(r"rip +[0-9a-f]{16}", registers) and re.search(r"efer +0000000000000d01", registers), registers
        words = machine.command(f"vmcs linux {vcpu}")
        assert re.search(r"last exit: [0-9a-f]+ \(\S.*\)", words), words
        for wanted in ("[external interrupt]", "[PAUSE]", "[VMRUN]", "entry checks: all that are known here hold"):
            assert wanted in words, words
    rows = dict((name, int(count)) for name, count in re.findall(r"^ *\d+ (\S.*?) {2,}(\d+)", machine.command("exits linux"), re.M))
    assert rows.get("I/O instruction", 0) > 100 and rows.get("CPUID", 0) > 10 and rows.get("RDMSR or WRMSR", 0) > 10, rows
    walk = machine.command("ept linux 0x100000")
    assert re.search(r"level 4, .*\n.*level 3, [\s\S]*0x100000 is at 0x[0-9a-f]+, page of \d+ KiB, rwx, write-back", walk), walk
    assert "0xd0000000 is not mapped" in machine.command("ept linux 0xd0000000")
    assert re.search(r"^\[ *\d+\.\d+\] \S.* rip [0-9a-f]{16}", machine.command("trace linux 1"), re.M)
    assert re.search(r"I/O APIC|IO APIC", machine.command("irq linux"), re.I)


@pytest.mark.parametrize("rig", RIGS)
def test_linux_to_its_shell(tmp_path, rig):
    vcpus = 2
    guest_kernel = {f"guests/{name}": BUILD / "guests" / name for name in ("vmlinuz", "initrd.img")}
    image = make_medium(tmp_path, LINUX.format(vcpus=vcpus).replace("console=ttyS0", CMDLINE), guest_kernel)
    with Machine(image, "--cpus", vcpus, *RIGS[rig], rig=rig, limit=800) as machine:
        machine.wait_up()
        machine.expect(rf"\(linux\) trivet-guest: cpus {vcpus}\r", 600)
        machine.send("console linux\r")
        machine.expect("connected to linux")
        machine.send("\r")
        machine.expect(GUEST_SHELL, 120)
        machine.send("dmesg | grep -cE 'BUG: |Call Trace|cut here|unchecked MSR'; nproc; echo end-$((6 * 7))\r")
        machine.expect(rf"\n0\r+\n{vcpus}\r+\nend-42\r", 120)
        machine.send(DETACH)
        machine.expect("trivet> ")
        look_inside(machine, vcpus)
        assert "audit: clean" in machine.command("audit", 120)
