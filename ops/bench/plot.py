"""Makes docs/performance.md and its plots of what `nub bench --json` and the peers have measured.

    plot.py RESULTS.json PEERS.json DOCS [SCALE]      PEERS.json may be missing; SCALE is what --scale was
"""

import json
import os
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as pyplot  # noqa: E402
from matplotlib import ticker  # noqa: E402

# Figure, what is held against the target (its value or its ratio), the comparison, the target.
TARGETS = [
    ("call", "ratio", "<=", 1.15), ("call_batch_256", "value", "<=", 1), ("sandbox_create", "ratio", "<=", 1.5),
    ("sandbox_memory", "value", "<=", 1024),
    ("pool_take", "value", "<=", 10), ("restore_16_pages", "value", "<=", 150), ("hash_1mib", "value", ">=", 250),
    ("commit_256", "ratio", "<=", 1.5), ("pipeline", "ratio", ">=", 0.15), ("pipeline", "value", ">=", 60_000),
    ("latency_p50", "ratio", "<=", 1.4), ("soak_cpu", "ratio", "<=", 1.2), ("pipeline_memory", "value", "<=", 100),
    ("soak_memory", "value", "<=", 100),
]


def short(number):
    if number is None:
        return "–"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def begin(rows, title, subtitle, unit):
    figure, axes = pyplot.subplots(figsize=(9.5, 0.42 * rows + 1.7))
    figure.suptitle(title, x=0.02, y=0.98, ha="left", va="top", fontsize=12, weight="bold").set_in_layout(False)
    figure.text(0.02, 0.98 - 0.30 / figure.get_figheight(), subtitle, ha="left", va="top", fontsize=8, color="#444444")
    axes.set_xlabel(unit)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def end(figure, axes, path):
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.invert_yaxis()
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.62 / figure.get_figheight()))
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def bars(path, title, subtitle, unit, results, logarithmic=False):
    """A bar for each result, with its spread, and beside it what it is in terms of its baseline."""
    figure, axes = begin(len(results), title, subtitle, unit)
    values = [result["value"] for result in results]
    errors = [[max(0, result["value"] - result["low"]) for result in results],
              [max(0, result["high"] - result["value"]) for result in results]]
    axes.barh([result["name"] for result in results], values, xerr=errors, color="#3b6ea5", ecolor="#222222", capsize=3, height=0.66)
    if logarithmic:
        axes.set_xscale("log")
    for index, result in enumerate(results):
        text = "  " + short(result["value"])
        if result.get("ratio") is not None:
            text += f"   ({short(result['ratio'])} × baseline)"
        axes.text(result["high"], index, text, va="center", fontsize=8)
    axes.margins(x=0.3)
    end(figure, axes, path)


def stack(path, title, subtitle, unit, rows):
    """A bar for each row, made of its parts: [(name, [(part, value)])]."""
    figure, axes = begin(len(rows) + 1, title, subtitle, unit)
    colors = {part: color for part, color in zip(
        dict.fromkeys(part for _, parts in rows for part, _ in parts), ["#3b6ea5", "#d08c3f", "#5f9e6e", "#8a6fae"])}
    for index, (name, parts) in enumerate(rows):
        left = 0
        for part, value in parts:
            axes.barh(index, value, left=left, color=colors[part], height=0.6, edgecolor="white")
            axes.text(left + value / 2, index, f"{part}\n{short(value)}", ha="center", va="center", fontsize=8, color="white")
            left += value
        axes.text(left, index, f"  {short(left)}", va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.margins(x=0.1)
    end(figure, axes, path)


def main():
    results_path, peers_path, docs = sys.argv[1:4]
    scale = float(sys.argv[4]) if len(sys.argv) > 4 else 1.0
    with open(results_path) as file:
        report = json.load(file)
    machine, results = report["machine"], report["results"]
    peers = []
    if os.path.exists(peers_path):
        with open(peers_path) as file:
            peers = json.load(file)["results"]
    by_name = {result["name"]: result for result in results}
    images = os.path.join(docs, "images")
    os.makedirs(images, exist_ok=True)
    where = (f"{machine['cores']} cores of {machine['processor']}, {machine['memoryGiB']} GiB, Linux {machine['kernel']}, "
             f"KVM: {machine['kvm']}, {machine['fileSystem']}, libzmq {machine['libzmq']}, {machine['date'][:10]}")
    plots = []

    def plot(name, title, unit, chosen, logarithmic=False):
        chosen = [result for result in chosen if result]
        if chosen:
            bars(os.path.join(images, f"{name}.png"), title, where, unit, chosen, logarithmic)
            plots.append((name, title))

    plot("throughput", "Jobs per second, 64-byte echo, every result on disk before its reply unless said", "jobs/s",
         [result for result in results if result["unit"] == "jobs/s"])
    plot("peers", "The same payload through what a user might take instead (log scale)", "jobs/s",
         [by_name.get("pipeline")] + peers if peers else [], True)
    plot("cpu", "CPU time of the worker, all its threads", "CPU seconds per million jobs",
         [result for result in results if result["name"].endswith("_cpu") and "million" in result["unit"]])
    if "latency_p50" in by_name and by_name["latency_p50"]["ratio"] is not None:
        title = "One job at a time through the direct door (p50), and what it cannot do without"
        parts = [(part, by_name[f"latency_{part}_p50"]["value"]) for part in ("echo", "exit", "commit")]
        stack(os.path.join(images, "latency-parts.png"), title, where, "µs",
              [("nub", [("the whole way", by_name["latency_p50"]["value"])]), ("the sum of its limits", parts)])
        plots.append(("latency-parts", title))
    plot("latency", "Latency of the direct door: one job at a time, and under half of its full load (log scale)", "µs",
         [by_name.get(f"latency_{name}") for name in ("p50", "p99", "p999", "loaded_p50", "loaded_p99", "loaded_p999")], True)
    plot("memory", "Memory of the worker at the end of a run, two lanes unless said", "MiB resident",
         [result for result in results if result["unit"] == "MiB resident"])
    machine_names = ["call", "pool_take", "restore_16_pages", "interrupt_p50", "interrupt_p99"]
    plot("machine", "Sandboxes", "µs", [by_name.get(name) for name in machine_names])

    lines = ["# Performance", "",
             "Made by `ops/bench/run`; do not edit. Every figure is the median of several rounds, run in turn with its baseline; "
             "low and high are the slowest and the fastest round. Ratio is value over baseline.", "",
             f"Machine: {where}; load {machine['load']} when the run began (other work on the machine makes figures worse; "
             "ratios suffer less).", "",
             "Jobs are calls of the guest's echo with 64 bytes, time-ordered ids, five frames in and six out over ipc; producer, "
             "worker and collector are processes of their own and share the cores. Baselines: a libzmq echo of the same frames "
             "(whole way), the same work on the bare KVM API from C (sandboxes), the same statements from C on sqlite3 (store).", ""]
    if scale != 1:
        lines += [f"**A quick run** at {scale:g} of the usual work: `soak` and `lookup_1m` had {int(1_000_000 * scale):,} jobs instead of a "
                  "million, and the rounds are short, so the spread is wide.", ""]
    if results:
        lines += ["## Targets", "", "| figure | target | measured | met |", "|---|---|---|---|"]
        for name, what, comparison, target in TARGETS:
            result = by_name.get(name)
            measured = result and result[what]
            if measured is None:
                continue
            met = measured <= target if comparison == "<=" else measured >= target
            unit = " × its baseline" if what == "ratio" else f" {result['unit']}"
            sign = "≤" if comparison == "<=" else "≥"
            lines.append(f"| `{name}` | {sign} {short(target)}{unit} | {short(measured)} | {'yes' if met else '**no**'} |")
        celery = next((peer for peer in peers if peer["name"] == "peer_celery_redis"), None)
        if celery and "pipeline" in by_name:
            times = by_name["pipeline"]["value"] / celery["value"]
            lines.append(f"| `pipeline` against Celery with Redis | ≥ 100 times | {short(times)} | {'yes' if times >= 100 else '**no**'} |")
        lines.append("")
    lines += ["## Figures", "", "| figure | value | unit | low | high | baseline | ratio |", "|---|--:|---|--:|--:|--:|--:|"]
    for result in results + peers:
        cells = [short(result[key]) for key in ("low", "high", "baseline", "ratio")]
        lines.append(f"| `{result['name']}` | {short(result['value'])} | {result['unit']} | " + " | ".join(cells) + " |")
    lines += ["", "Peers: Celery with Redis (no disk), and pyzmq workers that run each job in a bubblewrap sandbox of its own or in a new "
              "WebAssembly instance; one worker process per core. None of them stores results on disk before it replies.", "",
              "## Plots", ""]
    for name, title in plots:
        lines += [f"![{title}](images/{name}.png)", ""]
    notes = os.path.join(docs, "performance-notes.md")
    if os.path.exists(notes):
        lines += ["What bounds the figures, and what was tried: [performance-notes.md](performance-notes.md).", ""]
    with open(os.path.join(docs, "performance.md"), "w") as file:
        file.write("\n".join(lines))


main()
