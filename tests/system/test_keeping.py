"""Keeping running: the watchdog, panics that stay and panics that restart the machine, machine checks, the audit."""

import re
import socket
import time

import pytest
from machine import TEST_GUESTS, Machine, make_medium, plain

HOST = """\
[host]
version = 1
console = serial:com1,115200
"""
GUESTS = {f"guests/{name}.elf": TEST_GUESTS / f"{name}.elf" for name in ("busy_loop", "hello", "uart_flood")}
PANIC = r"trivet: panic: "


def guest(name, kernel="busy_loop", memory=8, **keys):
    lines = [f"[vm {name}]", f"memory = {memory}M", "boot = multiboot", f"kernel = guests/{kernel}.elf",
             *[f"{key} = {value}" for key, value in keys.items()]]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("keeping")


@pytest.fixture(scope="module")
def image(folder):
    """A VM on each of two CPUs, neither of which ever sleeps; panics stay."""
    return make_medium(folder, HOST + guest("first", cpus=0) + guest("second", cpus=1), GUESTS, name="stays")


@pytest.fixture(scope="module")
def restarting(folder):
    return make_medium(folder, HOST + "panic_reboot = 2\n" + guest("first", cpus=0) + guest("second", cpus=1), GUESTS, name="restarts")


def wait_for_guests(machine, *names):
    """Waits until all of them run, in any order."""
    machine.wait_up()
    waiting = set(names)
    while waiting:
        waiting.discard(machine.expect(rf"\((\w+)\) busy_loop: looping")[1])


def the_panic(machine):
    """The dump, from its first line on."""
    text = plain(machine.text)
    return text[text.index("trivet: panic:"):]


def test_the_audit_is_clean_while_several_vms_run_and_after_they_came_and_went(folder):
    text = HOST + "".join(guest(f"g{i}", memory=8 + 2 * i) for i in range(3)) + guest("twins", vcpus=2) + \
        guest("late", "hello", autostart="no", testdev="yes", on_poweroff="destroy")
    with Machine(make_medium(folder, text, GUESTS, name="audit"), "--cpus", 2) as machine:
        wait_for_guests(machine, "g0", "g1", "g2", "twins")
        said = machine.command("audit")
        assert re.search(r"^audit: clean$", said, re.M) and "fault:" not in said, said
        used = re.search(r"^guests +(\d+) KiB in use, \1 KiB given out$", said, re.M)
        assert used and int(used[1]) == (8 + 10 + 12 + 8) * 1024 - 4 * 128, said
        assert re.search(r"^guests +4 VMs, 5 vCPUs", said, re.M), said
        machine.command("create late")
        assert machine.wait_stopped("late") == "exit 1"
        machine.command("destroy g1")
        machine.wait_stopped("g1")
        machine.command("destroy twins")
        machine.wait_stopped("twins")
        deadline = time.monotonic() + 30
        while not re.search(r"^guests +2 VMs, 2 vCPUs", said, re.M) and time.monotonic() < deadline:
            said = machine.command("audit")
        assert re.search(r"^audit: clean$", said, re.M), said
        used = re.search(r"^guests +(\d+) KiB in use, \1 KiB given out$", said, re.M)
        assert used and int(used[1]) == (8 + 12) * 1024 - 2 * 128, said


@pytest.mark.parametrize("cpu", [0, 1])
def test_a_cpu_that_hangs_is_found_and_shows_its_stack(image, cpu):
    with Machine(image, "--cpus", 2, "--after-panic", 20) as machine:
        wait_for_guests(machine, "first", "second")
        assert re.search(r"watchdog +yes", machine.command("report"))
        machine.send(f"debug hang {cpu}\r")
        machine.expect(rf"{PANIC}CPU {cpu} hangs in the hypervisor, rip 0x[0-9a-f]+ <hang\+", 200)
        machine.expect(r"last exits of vm second")
        assert machine.wait_end(60) == 1
        said = the_panic(machine)
    assert re.search(rf"CPU {cpu} \(APIC id {cpu}\), doing: ", said), said
    assert re.search(r"at   0x[0-9a-f]+ <hang\+[\s\S]*from 0x[0-9a-f]+ <watchdog_look\+[\s\S]*from 0x[0-9a-f]+ <scheduler_loop\+", said), said
    assert said.count(PANIC) == 1 and "restarts in" not in said


def test_a_cpu_that_works_is_not_disturbed_by_the_watchdog(image):
    with Machine(image, "--cpus", 2) as machine:
        wait_for_guests(machine, "first", "second")
        before = machine.command("exits second")
        time.sleep(15)
        after = machine.command("exits second")
        assert PANIC not in machine.text
    nmis = [int(found[1]) if found else 0 for found in (re.search(r"exception or NMI +(\d+)", text) for text in (before, after))]
    assert nmis[1] == nmis[0], before + after


@pytest.mark.parametrize("rig", ["bochs", "qemu"])
def test_a_panic_on_one_cpu_stops_the_other_and_stays(image, rig):
    """Under VMX and under SVM: an NMI takes the other out of its guest, which has interrupts off."""
    with Machine(image, "--cpus", 2, "--after-panic", 15, rig=rig) as machine:
        wait_for_guests(machine, "first", "second")
        machine.send("debug panic 1\r")
        machine.expect(PANIC + "provoked on CPU 1")
        machine.expect(r"last exits of vm second")
        machine.send("list\r")
        assert machine.wait_end(60) == 1
        said = the_panic(machine)
    assert re.search(r"CPU 0: last exits of vm first", said) and re.search(r"<obey\+", said), said
    assert "restarts in" not in said and "trivet>" not in said and "Name" not in said


def test_a_panic_restarts_the_machine_again_and_again(restarting):
    with Machine(restarting, "--cpus", 2, "--after-panic", 300) as machine:
        for command in ("debug panic 1", "debug panic 1; debug panic 0", "debug panic"):
            wait_for_guests(machine, "first", "second")
            mark = len(machine.text)
            machine.send(command + "\r")
            machine.expect(r"the machine restarts in 2 seconds")
            assert plain(machine.text[mark:]).count(PANIC) == 1
        machine.wait_up()


def test_many_chatty_guests_and_somebody_who_types_lose_nothing(folder):
    names = [f"chat{i}" for i in range(4)]
    text = HOST + "".join(guest(name, "uart_flood", testdev="yes", autostart="no") for name in names)
    with Machine(make_medium(folder, text, GUESTS, name="chatty"), "--cpus", 2) as machine:
        machine.wait_up()
        machine.expect("trivet> ")
        machine.send("; ".join(f"create {name}" for name in names) + "\r")
        for _ in range(5):
            assert re.search(r"^chat3 ", machine.command("list", 120), re.M)
        for name in names:
            assert machine.wait_stopped(name) == "exit 1"
        lines = machine.lines()
    for name in names:
        shown = [line for line in lines if line.startswith(f"({name}) flood ")]
        wanted = [f"({name}) flood {i:02} 0123456789 abcdefghijklmnopqrstuvwxyz" for i in range(60)] + [f"({name}) flood done"]
        assert shown == wanted, (name, shown)
        assert sum(len(line) - len(name) - 3 for line in lines
                   if re.fullmatch(rf"\({name}\) [a-z]{{50,}}", line)) == 1000, name


@pytest.fixture(scope="module")
def bare(folder):
    return make_medium(folder, HOST + "panic_reboot = 1\n", name="bare")


def test_without_virtualization(bare):
    with Machine(bare, "--cpus", 4, "--after-panic", 300, rig="qemu") as machine:
        for cpu in (3, 0):
            assert machine.wait_up()[0] == 4
            machine.expect("trivet> ")
            machine.send(f"debug hang {cpu}\r")
            machine.expect(rf"{PANIC}CPU {cpu} hangs in the hypervisor", 60)
            machine.expect(r"the machine restarts in 1 seconds")
        assert machine.wait_up()[0] == 4
        assert re.search(r"audit: clean", machine.command("audit"))
        machine.send("poweroff\r")
        assert machine.wait_end() in (0, 1)


def test_one_cpu_says_that_nobody_looks_after_it(bare):
    with Machine(bare, rig="qemu") as machine:
        machine.wait_up()
        assert re.search(r"watchdog +no: nobody notices", machine.command("report"))
        assert re.search(r"debug \S+: expected hang or panic", machine.command("debug sleep"))


def test_a_machine_check_of_the_host_is_told_in_words(bare, tmp_path):
    """QEMU's monitor injects it; the processor's context is lost, so that the machine must not go on."""
    path = tmp_path / "monitor"
    with Machine(bare, "--after-panic", 60, "--extra", f"-monitor unix:{path},server=on,wait=off", rig="qemu") as machine:
        machine.wait_up()
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(path))
            monitor.sendall(b"mce 0 2 0xbe00000000000090 0x4 0x12345000 0x86\n")
            machine.expect(PANIC + "machine check")
            machine.expect(r"bank 2: memory controller, not corrected, CPU state lost, status 0xbe00000000000090 address 0x12345000 misc 0x86")
        machine.expect(r"the machine restarts in 1 seconds")
        machine.wait_up()
