# Everything that CI runs, and the list of what there is.
.PHONY: test

# PARTS="check unit": only these. Set-up comes first, since on a fresh machine not even Python is there.
test:
	@scripts/setup
	+@MAKEFLAGS= /usr/bin/python3 scripts/run_tests $(PARTS)

# One line for each target; `make check` compares it with the targets that exist.
define HELP
Use:
  make run                          the demonstration, on the best rig found; installs what is missing
  make test [PARTS="check unit"]    set-up, then every test; ends with `N passed, M failed`
Images:
  make                              build/BOOTX64.EFI and build/trivet.elf (also: make all)
  make image CONF=FILE OUT=FILE     a disk image of a configuration and of the files that it names
  make iso CONF=FILE OUT=FILE       a GRUB/Multiboot2 image for legacy BIOS and UEFI
                                    both also: EXTRA="MORE.conf ..." for the shell's create
  make usb CONF=FILE DEV=/dev/sdX   writes the image to a stick, after asking; FORCE=1: also to a disk that is in use or built in
Tests, one by one:
  make check                        layers, rules of the code, headers, images, dependencies; both compilers
  make unit [TEST=NAME]             unit tests on this machine by gcc and clang, with ASan and UBSan; coverage
  make fuzz-bounded                 every fuzz target for a fixed number of runs
  make fuzz [FUZZ=NAME]             fuzz targets in turn without end; what they find goes to build/fuzz
  make system [T=NAME]              whole machines on the rigs; T: tests/system/test_NAME.py
  make bench                        instruction counts on Bochs, and on QEMU for devices, against the limits
Parts:
  make all                          the images alone, as `make`
  make clang                        the images by clang, in build/clang
  make guests                       the demonstration's files: Debian's kernel and a busybox initrd
  make test-guests                  the bare-metal guests of tests/guests
  make setup                        installs what is missing from Debian, fetches Bochs
  make clean                        takes away what was built
  make distclean                    takes away what was fetched as well
  make help                         this list
endef
export HELP

help:
	@printf '%s\n' "$$HELP"
