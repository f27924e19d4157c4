#!/usr/bin/python3
"""Writes the seeds of fuzz_acpi: one small table for each parser, and a small machine."""
import pathlib
import struct
import sys

BASE = 0x1000


def table(signature, body):
    data = bytearray(struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), 1, 0, b"TRIVET", b"FUZZSEED", 1, b"SEED", 1) + body)
    data[9] = -sum(data) & 0xFF
    return bytes(data)


def madt():
    return table(b"APIC", struct.pack("<II", 0xFEE00000, 1) + struct.pack("<BBBBI", 0, 8, 0, 0, 1)
                 + struct.pack("<BBHIII", 9, 16, 0, 300, 1, 1) + struct.pack("<BBBBII", 1, 12, 2, 0, 0xFEC00000, 0)
                 + struct.pack("<BBBBIH", 2, 10, 0, 9, 9, 0xD) + struct.pack("<BBBHB", 4, 6, 0xFF, 5, 1)
                 + struct.pack("<BBHQ", 5, 12, 0, 0xFEE00000))


def fadt(dsdt):
    body = bytearray(240)
    struct.pack_into("<I", body, 4, dsdt)
    struct.pack_into("<I", body, 12, 0xB2)
    struct.pack_into("<II", body, 20, 0x600, 0)
    struct.pack_into("<I", body, 28, 0x604)
    struct.pack_into("<I", body, 40, 0x608)
    body[52:56] = b"\x04\x02\x00\x04"
    struct.pack_into("<I", body, 76, 0x500)
    struct.pack_into("<BBBBQ", body, 80, 1, 8, 0, 1, 0xCF9)
    return table(b"FACP", bytes(body))


def mcfg():
    return table(b"MCFG", bytes(8) + struct.pack("<QHBBI", 0xB0000000, 0, 0, 255, 0))


def hpet():
    return table(b"HPET", struct.pack("<IBBBBQBHB", 0x8086A201, 0, 64, 0, 0, 0xFED00000, 0, 100, 0))


def dmar():
    scope = struct.pack("<BBHBBBB", 1, 8, 0, 0, 0, 2, 0)
    return table(b"DMAR", struct.pack("<BB10x", 38, 1)
                 + struct.pack("<HHBBHQ", 0, 24, 0, 0, 0, 0xFED90000) + scope
                 + struct.pack("<HHHHQQ", 1, 32, 0, 0, 0x7A000000, 0x7A0FFFFF) + scope
                 + struct.pack("<HHBBH", 2, 8, 1, 0, 0) + struct.pack("<HHIQI", 3, 20, 0, 0xFED90000, 1)
                 + struct.pack("<HH3xB", 4, 12, 1) + b"\\_S\0")


def dsdt():
    return table(b"DSDT", b"\x08\\_S5_\x12\x06\x02\x0a\x05\x00")


def machine():
    contents, offset = [], 128
    addresses = {}
    for name, data in (("dsdt", dsdt()), ("madt", madt()), ("mcfg", mcfg()), ("hpet", hpet()), ("dmar", dmar())):
        addresses[name] = BASE + offset
        padded = data + bytes(-len(data) % 16)
        contents.append(padded)
        offset += len(padded)
    facp = fadt(addresses["dsdt"])
    addresses["facp"] = BASE + offset
    contents.append(facp)
    names = ("facp", "madt", "mcfg", "hpet", "dmar")
    root = table(b"XSDT", b"".join(struct.pack("<Q", addresses[name]) for name in names))
    assert len(root) <= 128 - 36 - 12
    rsdp = bytearray(struct.pack("<8sB6sBIIQB3x", b"RSD PTR ", 0, b"TRIVET", 2, 0, 36, BASE + 48, 0))
    rsdp[8] = -sum(rsdp[:20]) & 0xFF
    rsdp[32] = -sum(rsdp) & 0xFF
    return (bytes(rsdp) + bytes(12) + root).ljust(128, b"\0") + b"".join(contents)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus" / "fuzz_acpi")
    folder.mkdir(parents=True, exist_ok=True)
    seeds = (machine(), madt(), fadt(0), mcfg(), hpet(), dmar(), dsdt())
    for choice, seed in enumerate(seeds):
        name = ("machine", "madt", "fadt", "mcfg", "hpet", "dmar", "dsdt")[choice]
        (folder / name).write_bytes(bytes([choice]) + seed)


main()
