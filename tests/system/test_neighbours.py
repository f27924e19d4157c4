"""VMs that mean ill: what they do costs their neighbour nothing, and the shell answers meanwhile."""

import re
import time

import pytest
from machine import HOST_SECTION, PROCESSORS, Machine, guest_files, make_medium, vm_section
from workers import next_spans, spans

# VM: its program's command line, and further lines of its section.
HOSTILE = {
    "cli": ("cli", {}),
    "flood": ("flood", {}),
    "ipi": ("ipi", {"vcpus": 2}),
    "crash": ("crash", {"on_crash": "restart"}),
    "exits": ("exits", {}),
    "sleep": ("sleep", {}),
}
SPANS = 2
PATIENCE = 20  # seconds of a slow machine that runs the emulator, for one command


@pytest.fixture(scope="module", params=PROCESSORS)
def street(request, tmp_path_factory):
    """On one CPU: a victim, and beside it one neighbour at a time. The fair share is what a harmless one leaves it."""
    text = HOST_SECTION + vm_section("victim", "worker", cmdline="span=1000")
    text += vm_section("harmless", "worker", autostart="no", cmdline="wait=1000000000")
    text += "".join(vm_section(name, "hostile", autostart="no", cmdline=line, **more) for name, (line, more) in HOSTILE.items())
    with Machine(make_medium(tmp_path_factory.mktemp("street"), text, guest_files("worker", "hostile")), "--model", request.param) as machine:
        machine.wait_up()
        machine.fair = share_beside(machine, "harmless")
        yield machine


def share_beside(machine, neighbour, meanwhile=lambda: None):
    machine.send(f"create {neighbour}\r")
    machine.expect(rf"vm {neighbour}: started", PATIENCE)
    meanwhile()
    share = next_spans(machine, ["victim"], SPANS)["victim"]
    machine.send(f"destroy {neighbour}\r")
    machine.expect(rf"vm {neighbour}: stopped \(destroyed\)", PATIENCE)
    return share


def test_a_harmless_neighbour_takes_half(street):
    assert abs(street.fair - 50) < 1, street.fair


@pytest.mark.parametrize("neighbour", HOSTILE)
def test_a_victim_keeps_its_share_and_the_shell_answers(street, neighbour):
    answers = []

    def ask():
        begin, before = time.monotonic(), len(spans(street, "victim"))
        row = re.search(rf"^{neighbour} .*", street.command("list", PATIENCE), re.M)
        answers.append((row, time.monotonic() - begin, len(spans(street, "victim")) - before))

    share = share_beside(street, neighbour, ask)
    row, seconds, told = answers[0]
    assert row and seconds < PATIENCE and told <= 2, f"the shell took {seconds:.1f} s, {told} spans\n{street.tail()}"
    crashes = len(re.findall(rf"vm {neighbour}: stopped \(crash: triple fault", street.text))
    others = len(re.findall(rf"vm {neighbour}: stopped \((?!crash: triple fault|destroyed)", street.text))
    assert others == 0 and (crashes > 1) == (neighbour == "crash"), street.tail()
    assert share > street.fair * 0.97, f"the victim has {share:.2f} % of the CPU, its fair share is {street.fair:.2f} %"


def test_all_is_well_afterwards(street):
    assert not re.search(rf"^(?:{'|'.join(HOSTILE)}) .*(?:running|runnable|blocked)", street.command("list"), re.M)
    street.command("destroy victim")
    street.power_off()
