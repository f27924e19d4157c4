"""Guests' interrupts, carried out by the CPU where it can and by software where it cannot; with a user who types meanwhile."""

import pytest
from machine import TEST_GUESTS, Machine, make_medium

GUESTS = ("typed", "interrupts", "timekeeping", "fpu_state")
CONFIGURATION = "[host]\nversion = 1\nconsole = serial:com1,115200\n" + "".join(
    f"[vm {name}]\nmemory = 16M\nboot = multiboot\nkernel = guests/{name}.elf\ntestdev = yes\ncmdline = 1\n" for name in GUESTS)
# The second and the third virtualize no local APIC, or not all of it; the fourth is AMD's.
MODELS = ("corei7_skylake_x", "corei7_haswell_4770", "corei7_sandy_bridge_2600k", "ryzen")
ROUNDS = 60


@pytest.mark.parametrize("model", MODELS)
def test_interrupts_come_in_time_and_what_is_typed_in_order(tmp_path, model):
    image = make_medium(tmp_path, CONFIGURATION, {f"guests/{name}.elf": TEST_GUESTS / f"{name}.elf" for name in GUESTS})
    with Machine(image, "--model", model) as machine:
        machine.wait_up()
        machine.expect("typed: ready", 60)
        for name in GUESTS[1:]:
            assert machine.wait_stopped(name, 120) == "exit 1", machine.tail()
        # From here no other line holds the serial port, whose receiver is 16 bytes deep.
        machine.send("console typed\r")
        machine.expect("connected to typed")
        for _ in range(ROUNDS):
            machine.send("abcdefghijklmnopqrstuvwxyz")
        machine.send("Q")
        machine.expect(rf"typed: {26 * ROUNDS} bytes", 120)
        assert machine.wait_stopped("typed", 120) == "exit 1", machine.tail()
