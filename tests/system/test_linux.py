"""The demonstration: Debian's kernel as a guest, reached through the console, by both loaders."""

import datetime
import re
import subprocess
import time

import pytest
from machine import BUILD, DETACH, GUEST_SHELL, SCRIPTS, TOP, Machine

CONFIGURATION = TOP / "examples/demo.conf"
RIGS = {"bochs": ("mkimage", "img"), "bochs-bios": ("mkiso", "iso")}


@pytest.fixture(scope="module", params=RIGS)
def machine(request, tmp_path_factory):
    """Trivet with its Linux guest started, on one rig."""
    script, ending = RIGS[request.param]
    image = tmp_path_factory.mktemp("linux") / f"demo.{ending}"
    subprocess.run([SCRIPTS / script, "--files", BUILD, CONFIGURATION, image], check=True, stdout=subprocess.DEVNULL)
    with Machine(image, rig=request.param) as started:
        started.wait_up()
        yield started


def guest(machine, line, timeout=60):
    """Types a command at the guest's shell; gives what it printed."""
    mark = len(machine.text)
    machine.send(f"{line}; echo end-$((6 * 7))-{mark}\r")
    machine.expect(rf"end-42-{mark}\r", timeout)
    machine.expect(GUEST_SHELL, timeout)
    return machine.text[mark:]


def test_a_guest_starts_and_its_output_comes_in_lines(machine):
    machine.expect(r"vm linux: started", 60)
    machine.expect(r"\(linux\) trivet-guest: init reached", 300)
    machine.expect(r"\(linux\) trivet-guest: cpus 1", 60)


def test_the_console_reaches_the_guests_shell(machine):
    machine.send("console linux\r")
    machine.expect(r"connected to linux; Ctrl-\] comes back")
    machine.send("\r")
    machine.expect(GUEST_SHELL, 60)
    assert re.search(r"\nLinux \S+ \d+\.\d+\S* .*x86_64", guest(machine, "uname -a"))


def test_the_guest_sees_its_memory(machine):
    total = int(re.search(r"MemTotal: +(\d+) kB", guest(machine, "grep MemTotal /proc/meminfo"))[1])
    assert 256 * 1024 * 0.75 < total <= 256 * 1024


def test_the_guest_has_the_true_time(machine):
    """The rig's clock starts at the real time and, on Bochs, goes on at another speed."""
    shown = re.search(r"\n(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", guest(machine, "date -u '+%Y-%m-%d %H:%M:%S'"))[1]
    seen = datetime.datetime.strptime(shown, "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    assert abs((datetime.datetime.now(datetime.timezone.utc) - seen).total_seconds()) < 15 * 60


def test_the_guest_finds_a_whole_pc(machine):
    faults = guest(machine, "dmesg | grep -cE 'BUG: |Call Trace|Firmware Bug|cut here'")
    assert "0" in faults.split(), guest(machine, "dmesg | grep -E -A9 'BUG: |Call Trace|Firmware Bug|cut here'")
    assert "tsc" in guest(machine, "cat /sys/devices/system/clocksource/clocksource0/current_clocksource").split()
    interrupts = guest(machine, "cat /proc/interrupts")
    assert re.search(r"LOC: +[1-9]", interrupts), interrupts
    assert re.search(r"IO-APIC +4-edge +ttyS0", interrupts), interrupts


def test_every_byte_but_one_reaches_the_guest(machine):
    machine.send("sleep 1000\r")
    machine.expect("sleep 1000")
    time.sleep(1.5)  # until the shell has handed the terminal over
    machine.send("\x03")
    machine.expect(GUEST_SHELL, 60)
    assert "42" in guest(machine, "echo $((6 * 7))").split()


def test_much_typing_does_no_harm(machine):
    """Every key interrupts the host while the guest runs, in user mode and in its kernel."""
    for number in range(15):
        machine.send(f"echo {'x' * 60} | cat | wc -c; echo done-$((6 * 7))-{number}\r")
        machine.expect(rf"\n61\r\n+done-42-{number}\r", 60)
        machine.expect(GUEST_SHELL, 60)


def test_the_shell_comes_back_and_answers(machine):
    machine.send(DETACH)
    machine.expect("trivet> ")
    row = re.search(r"^linux +\d+ +256 +1 +(\S+)", machine.command("list"), re.M)
    assert row and row[1] in ("running", "blocked", "runnable")
    information = machine.command("info linux")
    assert "kernel: guests/vmlinuz, ramdisk: guests/initrd.img" in information
    assert re.search(r"\d+ exits", information)


def test_exits_are_counted_and_name_no_nested_fault_storm(machine):
    rows = dict((name, int(count)) for name, count in re.findall(r"^ *\d+ (\S.*?) {2,}(\d+)", machine.command("exits linux"), re.M))
    assert rows.get("I/O instruction", 0) > 100 and rows.get("CPUID", 0) > 10, rows


def test_the_guests_insides_can_be_looked_at(machine):
    registers = machine.command("regs linux")
    assert re.search(r"rip +[0-9a-f]{16}", registers) and re.search(r"cr3 +[0-9a-f]{16}", registers), registers
    vmcs = machine.command("vmcs linux")
    assert "unrestricted guest" in vmcs, vmcs
    zero_page = machine.command("mem linux 0x100000 32")
    assert re.search(r"^0000000000100000 ( [0-9a-f]{2}){16}", zero_page, re.M), zero_page
    assert "no RAM there" in machine.command("mem linux 0xd0000000 16")
    walk = machine.command("ept linux 0x100000")
    assert re.search(r"level 4, .*\n.*level 3, [\s\S]*0x100000 is at 0x[0-9a-f]+, page of \d+ KiB, rwx, write-back", walk), walk
    assert "0xd0000000 is not mapped" in machine.command("ept linux 0xd0000000")
    assert re.search(r"I/O APIC|IO APIC", machine.command("irq linux"), re.I)


def test_wrong_use_is_told(machine):
    assert re.search(r"nobody", machine.command("info nobody"))
    for line in ("mem linux", "mem linux zz", "frobnicate", "regs linux 9"):
        assert len(machine.command(line).splitlines()) >= 2, line


def test_the_host_tells_about_itself(machine):
    assert re.search(r"^ *0 +0 +online +on ", machine.command("cpu"), re.M)
    assert re.search(r"VMX", machine.command("report"))
    assert "vm linux: started" in machine.command("dmesg")
    assert re.search(r"8086:1237", machine.command("pci"))
    helped = machine.command("help")
    for name in ("list", "info", "console", "exits", "regs", "mem", "ept", "vmcs", "irq", "cpu", "report", "pci", "dmesg", "log",
                 "poweroff", "reboot-host"):
        assert re.search(rf"\b{name}\b", helped), name


def test_tab_completes_and_history_repeats(machine):
    machine.send("inf\t")
    machine.expect("info ")
    machine.send("li\t")
    machine.expect("linux")
    machine.send("\r")
    machine.expect("kernel: guests/vmlinuz")
    machine.send("\x1b[A\r")
    machine.expect("kernel: guests/vmlinuz")


def test_the_guest_powers_off(machine):
    machine.send("console linux\r")
    machine.expect("connected to linux")
    machine.send("\r")
    machine.expect(GUEST_SHELL, 60)
    machine.send("poweroff -f\r")
    assert machine.wait_stopped("linux", 60) == "poweroff"
    assert re.search(r"^linux .*poweroff", machine.command("list"), re.M)


def test_the_host_powers_off(machine):
    machine.send("poweroff\r")
    assert machine.wait_end() == 0, machine.tail()
