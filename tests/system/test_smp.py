"""VMs with several vCPUs: messages, starts and clocks between bare-metal guests' processors, and Debian's kernel on 2 and 4."""

import re

import pytest
from machine import BUILD, DETACH, GUEST_SHELL, TEST_GUESTS, Machine, make_medium

GUESTS = ("smp_messages", "smp_life")
# The second and the third virtualize no local APIC, or not all of it; the fourth is AMD's.
MODELS = ("corei7_skylake_x", "corei7_haswell_4770", "corei7_sandy_bridge_2600k", "ryzen")
# CPUs of the machine, vCPUs of each VM.
SHAPES = [(2, 2), (2, 4), (1, 2)]
LINUX = """[host]
version = 1
console = serial:com1,115200

[vm linux]
memory = 256M
vcpus = {vcpus}
boot = linux
kernel = guests/vmlinuz
ramdisk = guests/initrd.img
cmdline = console=ttyS0
"""


def guest_configuration(vcpus):
    return "[host]\nversion = 1\nconsole = serial:com1,115200\n" + "".join(
        f"[vm {name}]\nmemory = 16M\nvcpus = {vcpus}\nboot = multiboot\nkernel = guests/{name}.elf\ntestdev = yes\non_crash = preserve\n"
        for name in GUESTS)


def guest_files():
    return {f"guests/{name}.elf": TEST_GUESTS / f"{name}.elf" for name in GUESTS}


def run_guests(folder, cpus, vcpus, *options):
    image = make_medium(folder, guest_configuration(vcpus), guest_files())
    with Machine(image, "--cpus", cpus, *options) as machine:
        machine.wait_up()
        for name in GUESTS:
            assert machine.wait_stopped(name, 300) == "exit 1", machine.tail()


@pytest.mark.parametrize("cpus,vcpus", SHAPES)
def test_processors_reach_each_other(tmp_path, cpus, vcpus):
    run_guests(tmp_path, cpus, vcpus)


@pytest.mark.parametrize("model", MODELS[1:])
def test_processors_reach_each_other_by_software(tmp_path, model):
    run_guests(tmp_path, 2, 2, "--model", model)


class Linux:
    """Debian's kernel at its shell, with this test on its console."""

    def __init__(self, machine, vcpus):
        self.machine = machine
        self.vcpus = vcpus

    def __call__(self, line, timeout=120):
        """Types a command; gives the lines that it printed."""
        mark = len(self.machine.text)
        self.machine.send(f"{line}; echo end-$((6 * 7))-{mark}\r")
        self.machine.expect(rf"end-42-{mark}\r", timeout)
        self.machine.expect(GUEST_SHELL, timeout)
        return [text.strip() for text in self.machine.text[mark:].split("\n")[1:]]


@pytest.fixture(scope="module", params=[2, 4])
def linux(request, tmp_path_factory):
    """Two CPUs: as many vCPUs, and more vCPUs than CPUs."""
    image = make_medium(tmp_path_factory.mktemp("smp"), LINUX.format(vcpus=request.param),
                        {"guests/vmlinuz": BUILD / "guests/vmlinuz", "guests/initrd.img": BUILD / "guests/initrd.img"})
    with Machine(image, "--cpus", 2, limit=900) as machine:
        machine.wait_up()
        machine.expect(rf"\(linux\) trivet-guest: cpus {request.param}", 400)
        machine.send("console linux\r")
        machine.expect("connected to linux")
        machine.send("\r")
        machine.expect(GUEST_SHELL, 60)
        yield Linux(machine, request.param)


def test_linux_counts_its_processors(linux):
    assert str(linux.vcpus) in linux("nproc")
    topology = linux("cat /sys/devices/system/cpu/cpu*/topology/core_id")
    assert {str(core) for core in range(linux.vcpus)} <= set(topology), topology
    packages = linux("cat /sys/devices/system/cpu/cpu*/topology/physical_package_id")
    assert packages.count("0") == linux.vcpus, packages


def test_work_runs_on_each_processor(linux):
    for cpu in range(linux.vcpus):
        # Field 39 of stat is the processor that ran the process last.
        answer = linux(f"taskset -c {cpu} sh -c 'for i in $(seq 2000); do :; done; cut -d\" \" -f39 /proc/self/stat'")
        assert str(cpu) in answer, answer


def test_interrupts_reach_each_processor(linux):
    rows = linux("cat /proc/interrupts")
    columns = {row.split()[0]: row.split()[1:1 + linux.vcpus] for row in rows if row.split() and row.split()[0].endswith(":")}
    for name in ("LOC:", "CAL:"):
        assert all(int(count) > 0 for count in columns[name]), rows
    assert sum(int(count) for count in columns["RES:"]) > 0, rows


def test_clocks_agree(linux):
    assert "tsc" in linux("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
    assert "0" in linux("dmesg | grep -ciE 'unstable|tsc.*warp|not synchronized|TSC ADJUST'")


def test_processors_go_offline_and_come_back(linux):
    last = linux.vcpus - 1
    for _ in range(3):
        linux(f"echo 0 > /sys/devices/system/cpu/cpu{last}/online")
        assert str(linux.vcpus - 1) in linux("nproc")
        linux(f"echo 1 > /sys/devices/system/cpu/cpu{last}/online")
        assert str(linux.vcpus) in linux("nproc")
    answer = linux(f"taskset -c {last} sh -c 'cut -d\" \" -f39 /proc/self/stat'")
    assert str(last) in answer, answer


def test_linux_finds_no_fault(linux):
    faults = "dmesg | grep -E -A9 'BUG: |WARNING: CPU|Call Trace|Firmware Bug|cut here|stall|lockup'"
    assert "0" in linux(f"{faults} | grep -c ."), linux(faults)


def test_the_host_shows_the_vcpus_and_the_guest_powers_off(linux):
    machine = linux.machine
    machine.send(DETACH)
    machine.expect("trivet> ")
    rows = re.findall(r"^ *linux +(\d+) ", machine.command("vcpu-list linux"), re.M)
    assert rows == [str(index) for index in range(linux.vcpus)], machine.tail()
    machine.send("console linux\r")
    machine.expect("connected to linux")
    machine.send("poweroff -f\r")
    assert machine.wait_stopped("linux", 120) == "poweroff", machine.tail()
