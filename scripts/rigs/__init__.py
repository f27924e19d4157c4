"""The machines that Trivet is booted on: what scripts/emu is made of."""
