# Whole machines on the rigs: `make system`, or one file of it, `make system T=linux`. `make bench` counts instructions.
.PHONY: system bench

system: all $(BUILD)/trivet-check test-guests guests
	@tests/system/run_system $(T)

bench: all $(BUILD)/trivet-check test-guests guests
	@scripts/bench
