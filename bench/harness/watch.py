"""What happens while a load runs: which processes use how much of the cores, and what servers count."""

import os
import time
from pathlib import Path

from .generator import WARM_UP

TICKS = os.sysconf("SC_CLK_TCK")
# Away from both ends of what the generator measures: it needs a moment to begin.
MARGIN = 0.5


def processes():
    """Each process that runs: its parent, its own CPU time, and that of children of its that have ended; in seconds."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                # The second field is the program's name in parentheses, and may itself hold blanks and parentheses.
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            own, ended = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
            found[int(entry)] = (int(fields[1]), own / TICKS, ended / TICKS)
    return found


def family(root, found):
    """A process and all that came of it."""
    members = {root}
    while more := {pid for pid, (parent, _, _) in found.items() if parent in members} - members:
        members |= more
    return members


def used(roots):
    """CPU seconds of processes with all that came of them, also of what has ended since."""
    found = processes()
    total = 0
    for root in roots:
        members = family(root, found) & found.keys()
        total += sum(found[pid][1] for pid in members) + sum(found[pid][2] for pid in members)
    return total


def machine():
    """CPU seconds of everybody."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    # user, nice, system, idle, iowait, irq, softirq, steal
    return sum(int(ticks) for place, ticks in enumerate(fields) if place not in (3, 4)) / TICKS


def move(roots, cores):
    """Lets processes, with all of their threads and children, run on these cores only."""
    found = processes()
    for pid in set().union(*(family(root, found) for root in roots)):
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), cores)
        except OSError:
            # It has ended meanwhile.
            continue


def watch(groups, count, seconds):
    """While a load runs that was begun just now: cores that each group used, those that others used, and what was counted a second.

    `groups` names processes, `count()` tells what servers have counted so far."""

    def look():
        return time.monotonic(), {name: used(roots) for name, roots in groups.items()}, machine(), count()

    time.sleep(WARM_UP + MARGIN)
    began, before, all_before, counted_before = look()
    time.sleep(max(seconds - 2 * MARGIN, seconds / 2))
    ended, after, all_after, counted_after = look()
    elapsed = ended - began
    cores = {name: (after[name] - before[name]) / elapsed for name in groups}
    cores["others"] = max(0, (all_after - all_before) / elapsed - sum(cores.values()))
    return {"cores": cores, "counted": {name: (counted_after[name] - value) / elapsed for name, value in counted_before.items()}}
