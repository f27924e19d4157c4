"""The exit recorder, and what survives a warm reset: by the user, and after a panic."""

import re

import pytest
from machine import HOST_SECTION, UP, Machine, guest_files, make_medium, plain, vm_section

RECORD = re.compile(r"\[ *(\d+\.\d+)\] ([^\[\n]*?) {2,}(?:(\S[^\n]*?) {2,})?rip ([0-9a-f]{16}) +(\d+|-)")
GUESTS = ("triple_fault", "hello", "busy_loop")
# Options of scripts/emu, and what the processor calls a guest's triple fault.
BACK_ENDS = {"vmx": ((), "triple fault"), "svm": (("--model", "ryzen"), "shutdown")}


def records(text):
    """(time, reason, subject, RIP, cost) of each line of a trace."""
    return [match.groups() for match in RECORD.finditer(text)]


@pytest.fixture(scope="module")
def medium(tmp_path_factory):
    sections = "".join(vm_section(name, name) for name in GUESTS)
    return make_medium(tmp_path_factory.mktemp("recorder"), HOST_SECTION + "panic_reboot = 1\n" + sections, guest_files(*GUESTS))


@pytest.fixture(scope="module", params=BACK_ENDS)
def machine(request, medium):
    options, triple_fault = BACK_ENDS[request.param]
    with Machine(medium, "--cpus", 2, *options, limit=600) as found:
        found.triple_fault = triple_fault
        found.wait_up()
        found.wait_stopped("triple_fault")
        found.wait_stopped("hello")
        yield found


def test_a_crash_shows_what_led_to_it(machine):
    text = plain(machine.text)
    dump = text[text.index("vm triple_fault vcpu 0: triple fault"):text.index("vm triple_fault: stopped")]
    found = records(dump)
    assert 2 <= len(found) <= 16
    assert [float(time) for time, *_ in found] == sorted(float(time) for time, *_ in found)
    assert found[-1][1] == machine.triple_fault and found[-1][4] == "-"
    assert any(reason == "I/O instruction" and re.fullmatch(r"out port 0x3f[89a-f], 1", subject) for _, reason, subject, _, _ in found)


def test_trace_shows_the_last_exits(machine):
    found = records(machine.command("trace triple_fault 0 3"))
    assert len(found) == 3
    assert found[-1][1] == machine.triple_fault
    assert all(100 < int(cost) < 100_000 for *_, cost in found[:-1])
    assert "N is a number from 1" in machine.command("trace triple_fault 0 1000")


def test_exits_have_costs(machine):
    rows = re.findall(r"^ *\d+ (\S.*?) {2,}(\d+) +\d+(?: +(\d+))?$", machine.command("exits triple_fault"), re.M)
    costs = {name: cost for name, _, cost in rows}
    assert 100 < int(costs["I/O instruction"]) < 100_000
    assert costs[machine.triple_fault] == ""


def last_boot(machine):
    machine.expect(UP, 250)
    return machine.command("dmesg --last-boot", 120)


# Before the tests below reset the machine this one has seen none.
def test_a_cold_boot_has_no_last_one(machine):
    assert "nothing is left of an earlier boot" in machine.command("dmesg --last-boot")
    assert re.search(r"log and exits +\d+ KiB at 0x[0-9a-f]+", machine.command("report"))


def test_log_and_exits_survive_a_reset(machine):
    machine.send("log debug\rlog info\rreboot-host\r")
    text = last_boot(machine)
    assert "damaged" not in text and "lost)" not in text
    assert re.search(r"info: trivet \S+: up, 2 CPUs", text)
    assert re.search(r"info: vm triple_fault: stopped \(crash: triple fault at rip 0x[0-9a-f]+\)", text)
    recorder = text[text.index("last exits of vm busy_loop vcpu 0:"):]
    assert len(records(recorder)) >= 2


def test_a_panic_is_read_after_the_reset(medium):
    with Machine(medium, "--cpus", 2, "--after-panic", 280, limit=400) as machine:
        machine.wait_up()
        machine.wait_stopped("triple_fault")
        machine.send("debug panic 1\r")
        machine.expect(r"trivet: panic: ")
        text = last_boot(machine)
    assert "trivet: panic: " in text
    assert re.search(r"CPU \d+: last exits of vm \S+ vcpu 0", text)


def test_qemu_keeps_it_too(medium):
    with Machine(medium, rig="qemu", limit=200) as machine:
        machine.wait_up()
        machine.expect(r"vm hello: stopped \(exit 1\)")
        machine.send("reboot-host\r")
        assert "vm hello: stopped (exit 1)" in last_boot(machine)
