"""Turns the runs into one table, and holds it against the goals."""

from statistics import median

from .targets import PEERS, CountersignTwilio

SCENARIOS = ["start", "check-wrong", "pairs"]
FIGURES = ["rps", "p50_ms", "p99_ms", "p999_ms", "server_cpu_us", "generator_busy"]

# A run with more wrong answers than this share measures something else than it says.
MOST_ERRORS = 0.001

# So much of a core used by other programs, and the figure is theirs as well.
MOST_DISTURBANCE = 0.15

START_SHARE, CHECK_SHARE, P99_MS, PEER_FACTOR, IDLE_MEBIBYTES = 0.30, 0.35, 10, 5, 30
TWILIO_SHARE = 0.85


def summarize(runs):
    """Medians over the repeats of one target."""
    summary = {"rss_idle_mib": median(run["rss_idle_mib"] for run in runs),
               "rss_after_mib": median(run["rss_after_mib"] for run in runs), "scenarios": {}}
    for scenario in SCENARIOS:
        reports = [run["scenarios"][scenario] for run in runs]
        figures = {
            name: median(values) for name in FIGURES
            if (values := [report[name] for report in reports if report[name] is not None])
        }
        figures["lowest_rps"] = min(report["rps"] for report in reports)
        figures["highest_rps"] = max(report["rps"] for report in reports)
        summary["scenarios"][scenario] = figures
    return summary


def notes(name, runs):
    """What a reader must know before believing the figures."""
    for run in runs:
        for scenario, report in run["scenarios"].items():
            if report["errors"]:
                share = report["errors"] / max(1, report["answers"])
                weight = "the figure is void" if share > MOST_ERRORS else "few enough to ignore"
                yield f"{name} {scenario}: {report['errors']} unexpected answers {report['errors_by_kind']}, {weight}"
            if report["exhausted"]:
                yield f"{name} {scenario}: the prepared verifications ran out after {report['seconds']:.1f} s"
            if report["generator_busy"] > 0.95:
                yield f"{name} {scenario}: the load generator was itself at its limit"
            if report["others_busy"] > MOST_DISTURBANCE:
                yield f"{name} {scenario}: other programs used {report['others_busy']:.2f} cores meanwhile"


def rounded(number):
    """Three figures are all that this machine's noise allows."""
    if number is None:
        return "–"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def table(summaries, unavailable):
    """The markdown table."""
    lines = [
        "| target | start /s | p50 / p99 ms | check-wrong /s | p50 / p99 ms | pairs /s | p50 / p99 ms "
        "| CPU µs per start / check / pair | RSS MiB idle / after |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, summary in summaries.items():
        scenarios = [summary["scenarios"][scenario] for scenario in SCENARIOS]
        cells = [name]
        for figures in scenarios:
            cells += [rounded(figures["rps"]), f"{rounded(figures['p50_ms'])} / {rounded(figures['p99_ms'])}"]
        cells.append(" / ".join(rounded(figures.get("server_cpu_us")) for figures in scenarios))
        cells.append(f"{rounded(summary['rss_idle_mib'])} / {rounded(summary['rss_after_mib'])}")
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"| {name} | not available: {reason} |" + " |" * 7 for name, reason in unavailable.items()]
    return "\n".join(lines)


def goals(summaries):
    """Our figures against the goals; a goal whose other side was not measured is left out, and said so."""
    ours = summaries.get("countersign")
    if ours is None:
        yield "No goals: countersign was not measured."
        return

    def rate(summary, scenario):
        return summary["scenarios"][scenario]["rps"]

    def verdict(met):
        return "met" if met else "**missed**"

    ceiling = summaries.get("ceiling")
    if ceiling is None:
        yield "ceiling not measured: no share of it"
    else:
        # The ceiling is one number, what the framework does with a start. A check's own is given beside it.
        for scenario, goal in (("start", START_SHARE), ("check-wrong", CHECK_SHARE)):
            share = rate(ours, scenario) / rate(ceiling, "start")
            alike = rate(ours, scenario) / rate(ceiling, scenario)
            aside = "" if scenario == "start" else f"; {alike:.0%} of the bare check handler"
            yield f"{scenario}: {share:.1%} of the ceiling{aside} (goal ≥ {goal:.0%}): {verdict(share >= goal)}"
    for scenario in SCENARIOS:
        slowest = ours["scenarios"][scenario]["p99_ms"]
        yield f"{scenario}: p99 {rounded(slowest)} ms (goal ≤ {P99_MS} ms): {verdict(slowest <= P99_MS)}"
    if twilio := summaries.get(CountersignTwilio.name):
        share = rate(twilio, "pairs") / rate(ours, "pairs")
        yield f"pairs over Twilio's API: {share:.1%} of those over the native one (goal ≥ {TWILIO_SHARE:.0%}): {verdict(share >= TWILIO_SHARE)}"
    for peer in PEERS:
        if peer not in summaries:
            yield f"{peer} not measured: no factor over it"
            continue
        factors = {scenario: rate(ours, scenario) / rate(summaries[peer], scenario) for scenario in SCENARIOS}
        words = ", ".join(f"{scenario} {factor:,.1f}×" for scenario, factor in factors.items())
        yield f"over {peer}: {words} (goal ≥ {PEER_FACTOR}×): {verdict(min(factors.values()) >= PEER_FACTOR)}"
    idle = ours["rss_idle_mib"]
    yield f"idle RSS {rounded(idle)} MiB (goal ≤ {IDLE_MEBIBYTES} MB): {verdict(idle * 1.048576 <= IDLE_MEBIBYTES)}"
