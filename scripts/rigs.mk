# Set-up, images and the machines they boot on.
#   make image CONF=path/trivet.conf OUT=disk.img
#   make iso   CONF=path/trivet.conf OUT=disk.iso
#   make usb   CONF=path/trivet.conf DEV=/dev/sdX
# FILES names one more folder in which the configuration's files are looked for.
CONF ?= examples/demo.conf
FILES ?= $(BUILD)

.PHONY: setup run guests image iso usb

setup:
	@scripts/setup

run:
	@scripts/run

guests:
	@scripts/guest_files

# The demonstration's files are fetched; those of another configuration are the user's.
ifeq ($(CONF),examples/demo.conf)
image iso usb: guests
endif

image: OUT ?= $(BUILD)/trivet.img
image: all $(BUILD)/trivet-check
	@scripts/mkimage --files '$(FILES)' '$(CONF)' '$(OUT)'

iso: OUT ?= $(BUILD)/trivet.iso
iso: all $(BUILD)/trivet-check
	@scripts/mkiso --files '$(FILES)' '$(CONF)' '$(OUT)'

usb: all $(BUILD)/trivet-check
	@test -n '$(DEV)' || { echo 'usb: name the stick: make usb DEV=/dev/sdX' >&2; exit 2; }
	@scripts/mkimage --files '$(FILES)' '$(CONF)' '$(BUILD)/usb.img'
	@scripts/write_usb '$(BUILD)/usb.img' '$(DEV)'
