"""The plots of bench/resolver.py."""

import sys
from pathlib import Path
from typing import Any

_SPEEDS = (("distinct", "all distinct"), ("six", "each heard six times"),
           ("new_event", "first of a new event"), ("noise", "nobody's"))  # fmt: skip
_PEERS = ("beacontools", "bthome-ble", "construct")
_COSTS = (("build_s", "build"), ("save_s", "save"), ("start_s", "start from the file"))
_SIZES = (("rss_bytes", "resident"), ("table_bytes", "arrays"))
_TIMES = (("advance_us", "advance one beacon"), ("probe_us", "a probe"))


def draw(results: dict[str, Any], folder: Path) -> None:
    """Write resolver-speed.svg, -cost, -size and -time, if matplotlib is there."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("The plots are left out: the extra `plot` is not installed.", file=sys.stderr)
        return
    fleets = results["fleets"]
    sizes = [row["beacons"] for row in fleets]
    matplotlib.rcParams["svg.hashsalt"] = "fanal"
    for name, lines, label in (
        ("speed", _SPEEDS, "packets a second and core"), ("cost", _COSTS, "CPU seconds"),
        ("size", _SIZES, "bytes a beacon"), ("time", _TIMES, "CPU microseconds"),
    ):  # fmt: skip
        figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
        for marker, (key, text) in zip("osD^", lines, strict=False):
            axes.plot(sizes, [row[key] for row in fleets], marker=marker, label=text)
        if name == "speed":
            for style, peer in zip(("--", ":", "-."), _PEERS, strict=True):
                if peer in results["peers"]:
                    speed = results["peers"][peer]["per_s"]
                    axes.axhline(speed, color="grey", linestyle=style, label=peer)
        axes.set(xscale="log", yscale="log", xlabel="beacons", ylabel=label)
        axes.grid(True, which="major", alpha=0.3)
        axes.legend(fontsize=8)
        figure.savefig(folder / f"resolver-{name}.svg", metadata={"Date": None})
        pyplot.close(figure)
