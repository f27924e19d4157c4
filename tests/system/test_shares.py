"""The promises of the scheduler's policies, measured by guests in their own work and time."""

import re

import pytest
from machine import HOST_SECTION, PROCESSORS, Machine, guest_files, make_medium, vm_section
from workers import next_spans

HOGS = ("hog-1", "hog-2", "hog-3", "hog-4")


def off_by(share, wanted):
    """In percent of what was wanted."""
    return abs(share - wanted) * 100 / wanted


@pytest.fixture(scope="module")
def sharing(tmp_path_factory):
    """Three VMs that compute for ever on one CPU."""
    text = HOST_SECTION + "".join(vm_section(name, "worker", sched=f"credit weight={weight}", cmdline="span=2000")
                                  for name, weight in {"double": 512, "first": 256, "second": 256}.items())
    with Machine(make_medium(tmp_path_factory.mktemp("sharing"), text, guest_files("worker"))) as machine:
        machine.wait_up()
        yield machine


def test_credit_shares_a_cpu_by_weight(sharing):
    shares = next_spans(sharing, ("double", "first", "second"), 2)
    whole = sum(shares.values())
    assert whole > 98, f"all together have only {whole:.2f} % of the CPU: {shares}"
    assert off_by(shares["double"], whole / 2) < 2, shares
    assert off_by(shares["first"], whole / 4) < 2 and off_by(shares["second"], whole / 4) < 2, shares


def test_a_cap_is_kept_and_the_others_have_the_rest_by_weight(sharing):
    sharing.command("sched double credit weight=512 cap=30")
    shares = next_spans(sharing, ("double", "first", "second"), 2)
    assert off_by(shares["double"], 30) < 1, shares
    assert sum(shares.values()) > 98, f"the CPU was not used up: {shares}"
    assert off_by(shares["first"], shares["second"]) < 2, shares


def test_a_cap_is_kept_on_an_idle_cpu(sharing):
    for name in ("first", "second"):
        sharing.command(f"pause {name}")
    share = next_spans(sharing, ["double"], 2)["double"]
    for name in ("first", "second"):
        sharing.command(f"unpause {name}")
    assert off_by(share, 30) < 1


def test_a_budget_is_neither_exceeded_nor_kept_back(sharing):
    """An rt VM that never sleeps has its budget, and not more."""
    sharing.command("sched double rt budget=2ms period=10ms")
    shares = next_spans(sharing, ("double", "first", "second"), 2)
    assert off_by(shares["double"], 20) < 1, shares
    assert off_by(shares["first"], shares["second"]) < 2, shares
    sharing.power_off()


def test_rt_misses_no_period_beside_four_hogs(tmp_path):
    text = HOST_SECTION + vm_section("control", "rt_worker", sched="rt budget=2ms period=10ms", cmdline="periods=1000")
    text += "".join(vm_section(hog, "busy_loop") for hog in HOGS)
    with Machine(make_medium(tmp_path, text, guest_files("rt_worker", "busy_loop"))) as machine:
        machine.wait_up()
        found = machine.expect(r"rt_worker: 1000 periods, (\d+) missed, woken (\d+) us late at most, done after (\d+) us at most", 240)
        missed, late, done = map(int, found.groups())
        assert missed == 0, found[0]
        assert done < 10000, found[0]
        assert late < 1000, found[0]
        rows = machine.command("list")
        assert all(re.search(rf"^{hog} .* (running|runnable) ", rows, re.M) for hog in HOGS), rows


@pytest.fixture(scope="module", params=PROCESSORS)
def timetable(request, tmp_path_factory):
    """On the second of two CPUs, a VM with a window of each frame among VMs that would all like to run there."""
    neighbours = {"hog-1": "cli", "hog-2": "exits", "hog-3": "sleep", "hog-4": "cli"}
    text = HOST_SECTION + vm_section("watch", "frame_watch", cpus=1, sched="cyclic frame=20ms window=4ms+5ms",
                                     cmdline="frame=20000 windows=150")
    text += "".join(vm_section(name, "hostile", cpus=1, cmdline=way) for name, way in neighbours.items())
    text += vm_section("pure", "pure", cpus=1, sched="pinned", autostart="no")
    files = guest_files("frame_watch", "hostile", "pure")
    with Machine(make_medium(tmp_path_factory.mktemp("timetable"), text, files), "--cpus", 2, "--model", request.param) as machine:
        machine.wait_up()
        yield machine


def test_a_frame_starts_within_20_microseconds(timetable):
    """As the host sees it against its timetable, and as the VM sees it from window to window."""
    found = timetable.expect(r"frame_watch: 150 windows, begins spread over (\d+) us, the shortest lasted (\d+) us", 300)
    assert int(found[1]) <= 20, found[0]
    assert 4980 <= int(found[2]) <= 5020, found[0]
    late = re.search(r"windows begin at most (\d+) us late", timetable.command("sched watch"))
    assert late and int(late[1]) <= 20, timetable.tail()


def counted(machine, name):
    """(million instructions, exits) of a VM that runs tests/guests/pure.c."""
    row = re.search(r"^0*300000 ((?: [0-9a-f]{2}){8}) ", machine.command(f"mem {name} 0x300000 8"), re.M)
    exits = re.findall(r"^ *\d+ \S.*? {2,}(\d+) +\d+(?: +\d+)?$", machine.command(f"exits {name}"), re.M)
    assert row and exits, machine.tail()
    return int.from_bytes(bytes.fromhex(row[1].replace(" ", "")), "little"), sum(map(int, exits))


def test_a_pinned_vcpu_has_no_exit(timetable):
    for name in ("watch", *HOGS):
        timetable.command(f"destroy {name}")
        assert timetable.wait_stopped(name) == "destroyed"
    timetable.send("create pure\r")
    timetable.expect("pure: computing", 60)
    first, exits = counted(timetable, "pure")
    last = first
    for _ in range(200):
        last, exits_later = counted(timetable, "pure")
        if last - first >= 100:
            break
    assert last - first >= 100, f"{last - first} million instructions"
    assert exits_later == exits, f"{exits_later - exits} exits in {last - first} million instructions\n{timetable.command('exits pure')}"
