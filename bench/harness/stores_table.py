"""Turns what `bench/stores` measured into tables, and holds it against the goals."""

from .table import MOST_DISTURBANCE, MOST_ERRORS, rounded

SHARE, REPLICAS, FLAT = 0.60, 1.6, 0.20
# Used by so much of all cores, and the machine is full.
FULL = 0.92

WAYS = {
    "store": "directly",
    "alone": "directly, a transaction each",
    "scripts": "directly, the scripts only",
}
# In the order of the columns.
COUNTED = ["transactions", "round trips", "scripts"]


def verdict(met):
    return "met" if met else "**missed**"


def markdown(head, rows):
    """A table; the first two columns are words."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" if place < 2 else "--:" for place in range(len(head))) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def busy(figures):
    """Who used how much of the cores."""
    return ", ".join(f"{name} {cores:.2f}" for name, cores in figures["cores"].items() if name != "others")


def cost(figures, names=None):
    """CPU microseconds for a pair: of the named, or of the driver or server and its stores."""
    chosen = names or [name for name in figures["cores"] if name not in ("generator", "others")]
    return sum(figures["cores"].get(name, 0) for name in chosen) * 1e6 / figures["rps"]


def counted(values, per=1):
    """Transactions, round trips and scripts for each."""
    return " / ".join(rounded(values[name] / per) if name in values else "–" for name in COUNTED)


def speed_table(ceiling, all_figures):
    """A row for each way, the ceiling first."""
    def row(store, way, figures):
        servers = [name for name in figures["cores"] if name not in ("driver", "server", "generator", "others")]
        theirs = " + ".join(f"{name} {rounded(cost(figures, [name]))}" for name in servers) or "–"
        return [store, way, rounded(figures["rps"]), f"{rounded(figures['p50_ms'])} / {rounded(figures['p99_ms'])}",
                rounded(cost(figures, ["driver", "server"])), theirs, counted(figures["counted"], figures["rps"])]

    rows = [row("none", "the ceiling", ceiling)] if ceiling else []
    for combination, figures in all_figures:
        rows += [row(combination.title, WAYS[way], found) for way, found in figures["ways"].items()]
        rows.append(row(combination.title, "through HTTP", figures["http"]))
    head = ["store", "driven", "pairs /s", "p50 / p99 ms", "own CPU µs", "store's CPU µs", "transactions / round trips / scripts"]
    return markdown(head, rows)


def alone_table(all_figures):
    """What one request costs by itself."""
    rows = [[combination.title, *(counted(figures["alone"][request]) for request in ("start", "wrong check", "right check"))]
            for combination, figures in all_figures if figures["alone"]]
    return markdown(["transactions / round trips / scripts of one", "start", "wrong check", "right check"], rows)


def speed_goals(ceiling, all_figures):
    """Our share of what the store gives, and what one request may cost it."""
    for combination, figures in all_figures:
        way, http = combination.ways[0], figures["http"]
        direct = figures["ways"][way]
        # A pair through HTTP is a script more, which says what became of the message: so scripts are held against scripts.
        rate = (lambda run: run["counted"]["scripts"]) if combination.redis else (lambda run: run["rps"])
        share = rate(http) / rate(direct)
        judged = f" (goal ≥ {SHARE:.0%}): {verdict(share >= SHARE)}" if combination.sql else ""
        of_ceiling = f"; {http['rps'] / ceiling['rps']:.0%} of the ceiling" if ceiling else ""
        yield f"{combination.title}: {share:.0%} of the same {WAYS[way]}{judged}{of_ceiling}. Cores: {busy(http)}"
    for combination, figures in all_figures:
        alone = figures["alone"]
        if not alone:
            continue
        name, most = ("scripts", (1, 1, 2)) if combination.redis else ("transactions", (1, 1, 2))
        found = [alone[request][name] for request in ("start", "wrong check", "right check")]
        # Housekeeping of the server itself is counted with it.
        met = all(value < limit + 0.1 for value, limit in zip(found, most))
        yield (f"{combination.title}: {name} of a start, a wrong and a right check: {', '.join(f'{value:.2f}' for value in found)} "
               f"(goal ≤ {', '.join(map(str, most))}): {verdict(met)}")


def rows_table(all_figures):
    """A row for each store and number of rows."""
    rows = []
    for combination, by_count in all_figures:
        for count, figures in by_count.items():
            sizes = " + ".join(f"{where} {rounded(size)}" for where, size in figures["bytes"].items())
            rows.append([combination.title, f"{count:,}", f"{figures['filled_in']:.0f} s", sizes, rounded(figures["rps"]),
                         f"{rounded(figures['p50_ms'])} / {rounded(figures['p99_ms'])}", rounded(cost(figures))])
    return markdown(["store", "rows", "filled in", "bytes a row", "pairs /s", "p50 / p99 ms", "CPU µs a pair, with the store's"], rows)


def rows_goals(all_figures):
    """The same rate, however many rows there are."""
    for combination, by_count in all_figures:
        if len(by_count) < 2:
            continue
        rates = [figures["rps"] for figures in by_count.values()]
        change = min(rates[1:]) / rates[0] - 1
        yield (f"{combination.title}: rate {change:+.0%} at up to {max(by_count):,} rows, against {min(by_count):,} "
               f"(goal ≥ −{FLAT:.0%}): {verdict(change >= -FLAT)}")


def replicas_table(all_figures):
    """A row for each store and number of replicas."""
    rows = []
    for combination, by_count in all_figures:
        first = next(iter(by_count.values()))
        for count, by_load in by_count.items():
            cells = [combination.title, str(count)]
            for load, figures in by_load.items():
                times = figures["rps"] / first[load]["rps"]
                cells += [f"{rounded(figures['rps'])} ({times:.2f}×)", rounded(figures["p99_ms"]), rounded(cost(figures)), busy(figures)]
            rows.append(cells)
    columns = ["pairs /s", "p99 ms", "CPU µs a pair", "cores"]
    return markdown(["store", "replicas", *columns, *(f"{column}, held back" for column in columns)], rows)


def replicas_goals(all_figures, cores):
    """Twice as many replicas, and what stood in their way."""
    for combination, by_count in all_figures:
        counts = list(by_count)
        if counts[0] != 1 or len(counts) < 2:
            yield f"{combination.title}: no factor without one replica to compare with"
            continue
        one = by_count[1]
        for count in counts[1:]:
            many = by_count[count]
            full, held = (many[load]["rps"] / one[load]["rps"] for load in ("full", "held back"))
            used = sum(share for name, share in many["full"]["cores"].items() if name != "others")
            is_full = used > FULL * cores
            reason = f"all {cores} cores were full" if is_full else f"{used:.2f} of {cores} cores were used"
            yield (f"{combination.title}: {count} replicas {full:.2f}× one at full load ({reason}: {busy(many['full'])}), {held:.2f}× one "
                   f"where each has {many['held back']['connections']} connections")
            if count == 2 and combination.redis:
                judged, how = (held, "held back, since the cores were full") if is_full else (full, "at full load")
                yield f"{combination.title}: two replicas {judged:.2f}× one {how} (goal ≥ {REPLICAS}): {verdict(judged >= REPLICAS)}"
        growth = {count: cost(by_load["full"]) / cost(one["full"]) - 1 for count, by_load in by_count.items()}
        words = ", ".join(f"{growth[count]:+.0%} at {count}" for count in counts[1:])
        yield f"{combination.title}: CPU a pair {words} (goal ≤ {FLAT:.0%}): {verdict(max(growth.values()) <= FLAT)}"
        # What no two cores can show: each with a core of its own, and the slowest of them decides.
        shares = {name: cost(one["full"], [name]) for name in one["full"]["cores"] if name not in ("generator", "others")}
        limits = [f"{name} {1e6 / share:,.0f}" for name, share in shares.items() if share]
        yield f"{combination.title}: reckoned from that CPU time, pairs a second of one core each: {', '.join(limits)}"


def notes(name, figures):
    """What a reader must know before believing a figure."""
    if figures.get("errors"):
        share = figures["errors"] / max(1, figures["answers"])
        weight = "the figure is void" if share > MOST_ERRORS else "few enough to ignore"
        yield f"{name}: {figures['errors']} unexpected answers {figures['errors_by_kind']}, {weight}"
    if figures["cores"]["others"] > MOST_DISTURBANCE:
        yield f"{name}: other programs used {figures['cores']['others']:.2f} cores meanwhile"
