"""VMs come and go: every way to end, restart, pause and destroy one, and nothing is left of any."""

import re
import subprocess

import pytest
from machine import BUILD, GUEST_SHELL, GUESTS, HOST_SECTION, SCRIPTS, Machine, guest_files, make_medium, vm_section

# How many lives, on the rig with VMX and on the one with SVM.
ROUNDS = {"bochs": 1000, "qemu": 100}
LINUX = ("[vm linux]\nmemory = 128M\nboot = linux\nkernel = guests/vmlinuz\nramdisk = guests/initrd.img\n"
         "cmdline = console=ttyS0 quiet\n")
LINUX_FILES = {f"guests/{name}": GUESTS / name for name in ("vmlinuz", "initrd.img")}


def free_memory(machine):
    return int(re.search(r"^free memory: (\d+) KiB", machine.command("list"), re.M)[1])


def stops(machine, name):
    return re.findall(rf"info: vm {name}: stopped \((.*)\)", "\n".join(machine.lines()))


def wait_line(machine, pattern, number, timeout=60):
    """Waits until lines with the pattern were logged that often."""
    while len(re.findall(pattern, "\n".join(machine.lines()))) < number:
        machine.expect(r"\n", timeout)


# ---- Linux ----


@pytest.fixture(scope="module")
def linux(tmp_path_factory):
    section = LINUX.replace("[vm linux]", "[vm linux]\nautostart = no")
    image = make_medium(tmp_path_factory.mktemp("linux"), HOST_SECTION + "autoexec = list; create linux\n" + section, LINUX_FILES)
    with Machine(image, "--cpus", 2, limit=900) as machine:
        machine.wait_up()
        machine.expect(r"trivet> list")
        machine.free = int(machine.expect(r"free memory: (\d+) KiB")[1])
        yield machine


def wait_init(machine, number):
    wait_line(machine, r"\(linux\) trivet-guest: init reached", number, 200)
    # Its modules for the power button are loaded before its shell.
    wait_line(machine, r"\(linux\) BusyBox .* built-in shell", number, 60)


def test_autoexec_runs_commands_after_the_start(linux):
    wait_line(linux, "vm linux: started", 1)
    assert linux.free > 0
    wait_init(linux, 1)


def test_a_paused_guest_stands_still_and_goes_on(linux):
    linux.command("pause linux")
    assert linux.vm_state("linux") == "paused"
    ran = re.search(r"^linux .* (\S+)$", linux.command("list"), re.M)[1]
    linux.command("help")
    assert re.search(r"^linux .* (\S+)$", linux.command("list"), re.M)[1] == ran
    linux.command("unpause linux")
    assert linux.vm_state("linux") in ("running", "runnable", "blocked")


def test_the_power_button_restarts_a_guest(linux):
    linux.command("reboot linux")
    wait_line(linux, r"vm linux: stopped \(reboot\)", 1)
    wait_line(linux, "vm linux: started", 2)
    wait_init(linux, 2)


def test_the_console_stays_attached_over_a_reset(linux):
    linux.send("console linux\r")
    linux.expect("connected to linux")
    linux.send("\r")
    linux.expect(GUEST_SHELL, 60)
    linux.send("reboot -f\r")
    wait_line(linux, r"vm linux: stopped \(reboot\)", 2)
    linux.expect(r"trivet-guest: init reached", 200)
    linux.expect("built-in shell", 60)
    linux.send("\r")
    linux.expect(GUEST_SHELL, 60)
    linux.send("\x1d")
    linux.expect("trivet> ")


def test_reset_needs_no_help_from_the_guest(linux):
    linux.command("reset linux")
    wait_line(linux, r"vm linux: stopped \(reboot\)", 3)
    wait_line(linux, "vm linux: started", 4)


def test_the_power_button_turns_a_guest_off(linux):
    wait_line(linux, r"\(linux\) BusyBox .* built-in shell", 3, 260)
    linux.command("shutdown linux")
    wait_line(linux, r"vm linux: stopped \(poweroff\)", 1)
    linux.wait_off("linux")
    assert linux.vm_state("linux") == "off (poweroff)"


def test_nothing_is_left_of_it(linux):
    assert free_memory(linux) == linux.free
    linux.command("create linux")
    linux.command("destroy linux")
    wait_line(linux, r"vm linux: stopped \(destroyed\)", 1)
    assert free_memory(linux) == linux.free
    assert linux.vm_state("linux") == "off (destroyed)"


# ---- small guests ----


@pytest.fixture(scope="module", params=ROUNDS)
def small(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    more = folder / "more.conf"
    more.write_text(vm_section("first", "hello", on_poweroff="preserve") + vm_section("second", "busy_loop"))
    configuration = HOST_SECTION + "".join([
        vm_section("busy", "busy_loop", autostart="no"),
        vm_section("large", "hello", memory="64G", autostart="no"),
        vm_section("crash", "triple_fault", autostart="no", on_crash="restart"),
        vm_section("reboot", "reboot", autostart="no"),
        vm_section("keyboard", "reboot_keyboard", autostart="no", on_reboot="preserve"),
        vm_section("poweroff", "poweroff", autostart="no", on_poweroff="preserve"),
    ])
    guests = guest_files("hello", "busy_loop", "triple_fault", "reboot", "reboot_keyboard", "poweroff")
    make_medium(folder, configuration, guests)
    image = folder / "small.img"
    subprocess.run([SCRIPTS / "mkimage", "--files", BUILD, "--extra", more, folder / "trivet.conf", image], check=True,
                   stdout=subprocess.DEVNULL)
    with Machine(image, "--cpus", 2, rig=request.param, limit=900) as machine:
        machine.wait_up()
        machine.free = free_memory(machine)
        machine.rounds = ROUNDS[request.param]
        yield machine


def test_many_lives_leave_nothing_behind(small):
    for _ in range(small.rounds):
        small.send("create busy\r")
        small.expect("vm busy: started")
        small.send("destroy busy\r")
        small.expect(r"vm busy: stopped \(destroyed\)")
    assert free_memory(small) == small.free
    assert small.vm_state("busy") == "off (destroyed)"


def test_ids_are_not_used_again(small):
    small.command("create busy")
    assert int(re.search(r"^busy +(\d+) ", small.command("list"), re.M)[1]) > small.rounds
    assert "exists" in small.command("create busy")
    small.command("destroy busy")


def test_too_little_memory_is_told_and_nothing_is_left(small):
    said = small.command("create large")
    assert re.search(r"vm large: not created: needs 65536 MiB of memory and \d+ KiB for tables and vCPUs, \d+ MiB are free "
                     r"\(\d+ MiB missing\)", said), said
    small.wait_off("busy")
    assert free_memory(small) == small.free


def test_a_guest_that_crashes_for_ever_is_slowed(small):
    small.command("create crash")
    wait_line(small, "vm crash: started", 4, 60)
    delays = re.findall(r"vm crash: lived \d+ ms only: starts again in (\d+) ms", "\n".join(small.lines()))
    assert delays[:2] == ["100", "200"], delays
    small.command("destroy crash")
    wait_line(small, r"vm crash: stopped \(destroyed\)", 1)
    assert free_memory(small) == small.free


def test_each_way_to_end_has_its_consequence(small):
    for name, end in (("keyboard", "reboot"), ("poweroff", "poweroff")):
        small.command(f"create {name}")
        assert small.wait_stopped(name) == end
        assert small.vm_state(name) == end
        assert re.search(r"rip +[0-9a-f]{16}", small.command(f"regs {name}"))
    small.command("create reboot")
    wait_line(small, "vm reboot: started", 3)
    assert set(stops(small, "reboot")) == {"reboot"}
    for name in ("keyboard", "poweroff", "reboot"):
        small.command(f"destroy {name}")
        wait_line(small, rf"vm {name}: stopped \(destroyed\)", 1)
    assert free_memory(small) == small.free


def test_another_file_of_the_medium_describes_vms(small):
    small.send("create mo\t\r")
    wait_line(small, "vm second: started", 1)
    assert small.wait_stopped("first") == "exit 1"
    assert small.vm_state("first") == "exit 1"
    small.command("destroy first; destroy second")
    wait_line(small, r"vm second: stopped \(destroyed\)", 1)
    wait_line(small, r"vm first: stopped \(destroyed\)", 1)
    assert not re.search("^(first|second) ", small.command("list"), re.M)
    assert free_memory(small) == small.free


def test_what_cannot_be_created_is_told(small):
    assert "neither a VM of trivet.conf nor a configuration file" in small.command("create nobody")
    for command in ("destroy", "pause", "unpause", "reboot", "shutdown", "reset"):
        assert "no such VM" in small.command(f"{command} nobody")


# ---- the machine's end ----


def test_the_machine_goes_off_with_the_last_vm(tmp_path):
    """A VM that starts again has not stopped; the machine waits for the one that ends for good."""
    configuration = HOST_SECTION + "when_all_stopped = poweroff\n" + vm_section("again", "reboot") + vm_section("once", "hello")
    with Machine(make_medium(tmp_path, configuration, guest_files("reboot", "hello")), limit=120) as machine:
        machine.wait_up()
        assert machine.wait_stopped("once") == "exit 1"
        wait_line(machine, "vm again: started", 3)
        machine.send("destroy again\r")
        machine.expect("all VMs have stopped: power-off")
        assert machine.wait_end() == 0, machine.tail()
