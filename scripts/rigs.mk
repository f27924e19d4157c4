# Set-up, images and the machines they boot on.
#   make image CONF=path/trivet.conf OUT=disk.img
#   make iso   CONF=path/trivet.conf OUT=disk.iso
#   make usb   CONF=path/trivet.conf DEV=/dev/sdX [FORCE=1]
# FILES names one more folder in which the configurations' files are looked for; EXTRA="a.conf b.conf" stores these configurations
# and their files too, for the shell's create.
CONF ?= examples/demo.conf
FILES ?= $(BUILD)
BOOT_FILES = --files '$(FILES)' $(foreach conf,$(EXTRA),--extra '$(conf)')

.PHONY: setup run guests image iso usb

setup:
	@scripts/setup

run:
	@scripts/run

guests:
	@scripts/guest_files

# The examples' files are fetched and built; those of another configuration are the user's.
ifeq ($(CONF),examples/demo.conf)
image iso usb: guests
endif
ifneq ($(filter-out examples/demo.conf,$(filter examples/%,$(CONF) $(EXTRA))),)
image iso usb: guests test-guests
endif

image: OUT ?= $(BUILD)/trivet.img
image: all $(BUILD)/trivet-check
	@scripts/mkimage $(BOOT_FILES) '$(CONF)' '$(OUT)'

iso: OUT ?= $(BUILD)/trivet.iso
iso: all $(BUILD)/trivet-check
	@scripts/mkiso $(BOOT_FILES) '$(CONF)' '$(OUT)'

usb: all $(BUILD)/trivet-check
	@test -n '$(DEV)' || { echo 'usb: name the stick: make usb DEV=/dev/sdX' >&2; exit 2; }
	@scripts/mkimage $(BOOT_FILES) '$(CONF)' '$(BUILD)/usb.img'
	@scripts/write_usb $(if $(filter-out 0 no,$(FORCE)),--force) '$(BUILD)/usb.img' '$(DEV)'
