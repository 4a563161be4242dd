"""Whether the settings of ``auto`` fit small real data sets, each with several other settings.

Global net and CNN-DNN of every set are trained with what ``auto`` becomes, with what was the
default before (8 epochs of batch 128), and with a grid of settings around the rule, on two seeds.
The best of the grid, for each net the one of the best mean on the validation split, then gets five
seeds as the rule and the earlier default do. The largest set is compared with the latter alone.

The steps of signals and of regression were raised after a look at osu-leaf and tecator, which
therefore check nothing. Three further sets do: nobody had trained on them when the rule was made,
and nothing was changed afterwards. There the rule stands beside the earlier default and the first
three settings of the grid, all on five seeds. It is not the best everywhere: the global net does
better on GunPoint with fewer and larger steps, and of Covid3Month, from which no setting learns
much, the steps of a regression learn the noise.

The last table compares keys that are off by default with the rule, on the same five seeds.

What ``benchmarks/panel/panel.csv`` holds is not measured again; remove it to begin anew.
"""

import csv
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from common import options_of, parse

from ddcnn.base.defaults import AUTO, Facts, chosen
from ddcnn.base.files import read_json, write_aside
from ddcnn.base.provenance import hardware, versions
from ddcnn.base.tasks import task_of
from ddcnn.coarse.settings import CoarseSettings
from ddcnn.coarse.stage import train_coarse
from ddcnn.data.preparation import SPLITS, download, prepare
from ddcnn.data.registry import EMBEDDED
from ddcnn.data.series import read_series
from ddcnn.local.stage import train_local
from ddcnn.local.subdomain import Subdomain
from ddcnn.nets import local_width
from ddcnn.tiles.geometry import Tiling
from ddcnn.tiles.shards import write_shards
from ddcnn.training.settings import Settings

OUT = Path(__file__).parent / "panel"
SEEDS, SEEDS_TO_CHOOSE = range(5), range(2)
WIDTH = 8
NETS = ("global", "cnn-dnn")
LARGEST = "fashion-mnist-7000"
COARSE = CoarseSettings("linear", [], 0.0, "log-probabilities")
COARSE_TRAINING = Settings(15, 256, "adamw", 0.003, 0.01)  # of an MLP; the linear one has no steps


@dataclass(frozen=True)
class Set:
    """A data set of the panel: how many images of it, if not all, and how it is cut."""

    entry: str | dict
    grid: str = "2x2"
    overlap: int = 0


def own(name: str, **more) -> dict:
    return {"name": name, "path": name} | more


PANEL = {
    "fashion-mnist-200": Set(own("fashion-mnist-200"), overlap=4),
    "fashion-mnist-1000": Set(own("fashion-mnist-1000"), overlap=4),
    "fashion-mnist-7000": Set("fashion-mnist-10k", overlap=4),
    "digits": Set(own("digits"), overlap=2),
    "orl-faces": Set({"name": "orl-faces", "shape": (28, 23)}, overlap=4),
    "osu-leaf": Set("osu-leaf", "2", 32),
    "tecator": Set("tecator", "2", 8),
}
# Not looked at before the rule was made: files of the package sktime.
UNSEEN = {
    "GunPoint": Set(own("GunPoint", shape=[150]), "2", 16),
    "ItalyPowerDemand": Set(own("ItalyPowerDemand", shape=[24]), "2", 4),
    "Covid3Month": Set(own("Covid3Month", shape=[84], task="regression"), "2", 8),
}
SETS = PANEL | UNSEEN


def write_arrays(folder: Path) -> None:
    """The sets that are parts of others: arrays as a user may bring them."""
    with np.load(EMBEDDED / "fashion-mnist-10k.npz") as arrays:
        whole = dict(arrays)
    for count in (200, 1000):
        most = {"train": count, "val": 200, "test": 2000}
        part = {k: a[: most.get(k.removeprefix("x_").removeprefix("y_"))] for k, a in whole.items()}
        np.savez(folder / f"fashion-mnist-{count}.npz", **part)
    from sklearn.datasets import load_digits

    digits = load_digits()
    np.savez(folder / "digits.npz", x=(digits.images * 15).astype(np.uint8), y=digits.target)
    for name in UNSEEN:
        np.savez(folder / f"{name}.npz", **packaged(name))


def packaged(name: str) -> dict[str, np.ndarray]:
    """The arrays of a series that the package sktime ships."""
    arrays = {}
    for split in ("train", "test"):
        (file,) = (f for f in metadata.files("sktime") if f.name == f"{name}_{split.upper()}.ts")
        x, labels, classes = read_series(Path(file.locate()))
        y = np.array([classes.index(each) for each in labels] if classes else labels)
        arrays |= {f"x_{split}": x, f"y_{split}": y if classes else y.astype(np.float32)}
    return arrays


def prepare_set(name: str, folder: Path) -> Path:
    """The folder of a prepared and tiled set, as the workflow makes it."""
    entry, tiles = SETS[name].entry, folder / "tiles" / name
    if isinstance(entry, dict) and "path" in entry:
        entry = entry | {"path": str(folder / f"{entry['path']}.npz")}
    data = folder / "data" / name
    if not (tiles / "whole" / "plan.json").is_file():
        data.mkdir(parents=True, exist_ok=True)
        download(entry, data / "raw" / "manifest.json")
        prepare(entry, data / "raw" / "manifest.json", data / "card.json")
        images = {split: data / f"x_{split}.npy" for split in SPLITS}
        for tiling in tilings(name):
            write_shards(tiling, images, tiles / tiling.slug / "plan.json")
    return data


def tilings(name: str) -> list[Tiling]:
    """Of the CNN-DNN, and of the global net."""
    facts = SETS[name]
    axes = facts.grid.count("x") + 1
    return [Tiling.of("blocks", facts.grid, facts.overlap), Tiling.whole(axes)]


@dataclass(frozen=True)
class Choice:
    """One setting that is tried."""

    epochs: int
    batch_size: int
    learning_rate: float = 0.05
    label_smoothing: float = 0.0
    optimizer: str = "sgd"
    weight_decay: float = 0.0005
    dropout: float = 0.2
    augment: bool = False
    weights: str = "last"
    patience: int = 0
    refit: bool = False

    @property
    def settings(self) -> Settings:
        keys = {k: v for k, v in asdict(self).items() if k not in ("dropout", "refit")}
        return Settings(**keys)


def measure(name: str, choice: Choice, seed: int, folder: Path) -> list[dict]:
    """Scores of the global net and of the CNN-DNN, trained as the workflow does."""
    data = prepare_set(name, folder)
    card, labels = data / "card.json", {s: data / f"y_{s}.npy" for s in SPLITS}
    given = {s: labels[s] for s in ("train", "val")}
    rows = []
    for net, tiling in zip(("cnn-dnn", "global"), tilings(name), strict=True):
        width = WIDTH if net == "global" else local_width(WIDTH, tiling.num_tiles)
        subdomains = [
            Subdomain(name, tiling.slug, tile, "vgg", "vgg", width, choice.dropout, seed)
            for tile in tiling.names
        ]
        out = {each.tile: folder / "nets" / each.tile for each in subdomains}
        start = time.process_time()
        train_local(
            subdomains,
            folder / "tiles",
            given,
            card,
            choice.settings,
            list(out.values()),
            checkpoint_seconds=1e6,
            refit=choice.refit,
        )
        result = out[subdomains[0].tile]
        steps = read_json(result / "metrics.json")["steps"]
        if net == "cnn-dnn":
            result = folder / "nets" / "coarse"
            local = {tile: path / "probabilities.npz" for tile, path in out.items()}
            train_coarse(local, given, card, COARSE, 0, COARSE_TRAINING, seed, result)
        seconds = time.process_time() - start
        rows.append(
            {
                "set": name,
                "net": net,
                **asdict(choice),
                "steps": steps,
                "seed": seed,
                **scores(result, labels, read_json(card)),
                "cpu_seconds": round(seconds, 2),
            }
        )
    return rows


def scores(folder: Path, labels: dict[str, Path], card: dict) -> dict[str, float]:
    """Accuracy or R² on validation and test, in percent."""
    with np.load(folder / "probabilities.npz") as arrays:
        predicted = {split: arrays[split] for split in ("val", "test")}
    found = {}
    for split, p in predicted.items():
        y = np.load(labels[split])
        if task_of(card).name == "regression":
            value = 1 - ((p - y) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
        else:
            value = (p.argmax(1) == y).mean()
        found[split] = round(100 * float(value), 3)
    return found


EARLIER = Choice(8, 128)
# Steps, batch size and learning rate; an epoch that the steps do not fill is trained to its end.
GRID = [(300, 64, 0.02), (300, 16, 0.1), (1200, 16, 0.02)]


def rule_of(facts: Facts) -> Choice:
    """What ``auto`` becomes."""
    keys = asdict(EARLIER).keys() - {"dropout", "augment", "weights", "patience", "refit"}
    return Choice(**chosen(dict.fromkeys(keys, AUTO), facts))


def grid_of(facts: Facts) -> list[Choice]:
    """The settings of the grid; the rule's are among them."""
    rule = rule_of(facts)
    found = []
    for steps, batch_size, rate in GRID:
        epochs = -(-steps // max(1, facts.num_images // batch_size))
        found.append(Choice(epochs, batch_size, rate, rule.label_smoothing))
    adamw = {"optimizer": "adamw", "learning_rate": 0.003, "weight_decay": 0.01}
    found.append(replace(rule, **adamw))
    if facts.task == "regression":
        found.append(replace(rule, dropout=0.0))
    else:
        found.append(replace(rule, label_smoothing=0.0))
    return [rule, *(choice for choice in found if choice != rule)]


# Keys that are off by default, by what the page calls them.
OPTIONS = {
    "weights: best": {"weights": "best"},
    "patience: 10": {"patience": 10},
    "both": {"weights": "best", "patience": 10},
    "refit": {"refit": True},
}
OPTIONS_TRIED_ON = ("fashion-mnist-200", "fashion-mnist-1000", "orl-faces")


class Table:
    """``panel.csv``: a row for every set, setting, seed and net; measured where it is missing."""

    def __init__(self, path: Path, folder: Path, seconds: float) -> None:
        self.path, self.folder, self.rows = path, folder, []
        self.end = time.monotonic() + seconds
        if path.is_file():
            with path.open(newline="") as file:
                self.rows = list(csv.DictReader(file))

    def of(self, name: str, choice: Choice, seeds: Iterable[int], net: str) -> list[dict[str, str]]:
        """The rows of one net with one setting, in the order of the seeds."""
        found = [row for seed in seeds for row in self._rows(name, choice, seed)]
        return [row for row in found if row["net"] == net]

    def _rows(self, name: str, choice: Choice, seed: int) -> list[dict[str, str]]:
        key = {k: str(v) for k, v in {"set": name, **asdict(choice), "seed": seed}.items()}
        found = [row for row in self.rows if key.items() <= row.items()]
        if found or time.monotonic() > self.end:
            return found
        for row in measure(name, choice, seed, self.folder):
            found.append({k: str(v) for k, v in row.items()})
            print(*found[-1].values(), flush=True)
        self.rows += found
        with write_aside(self.path) as aside, aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        return found


def mean_of(rows: list[dict[str, str]], split: str) -> float:
    return statistics.fmean(float(row[split]) for row in rows)


def text_of(rows: list[dict[str, str]]) -> str:
    """Mean and standard deviation on the test split, and of how many seeds."""
    values = [float(row["test"]) for row in rows]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread} ({len(values)})" if values else "not measured"


def setting_text(choice: Choice) -> str:
    """What a person compares of a setting."""
    words = f"{choice.epochs} x {choice.batch_size}, {choice.optimizer} {choice.learning_rate:g}"
    return words + (f", smoothing {choice.label_smoothing:g}" if choice.label_smoothing else "")


def measure_first(table: Table, facts: dict[str, Facts]) -> None:
    """What has to be known first: rule and earlier default, then the grid, seed by seed."""
    for seed in SEEDS_TO_CHOOSE:
        for name, known in facts.items():
            table.of(name, rule_of(known), [seed], NETS[0])
            table.of(name, EARLIER, [seed], NETS[0])
        for name, known in facts.items():
            for choice in [] if name == LARGEST else grid_of(known):
                table.of(name, choice, [seed], NETS[0])


def line_of(table: Table, name: str, net: str, facts: Facts) -> list[str]:
    """A row of the page: one net of one set."""
    rule = rule_of(facts)
    ours = table.of(name, rule, SEEDS, net)
    earlier = table.of(name, EARLIER, SEEDS, net)
    cells = [name, f"{facts.num_images:,}", net, text_of(earlier), steps_of(earlier)]
    cells += [text_of(ours), steps_of(ours), setting_text(rule)]
    grid = [] if name == LARGEST else grid_of(facts)
    tried = {choice: table.of(name, choice, SEEDS_TO_CHOOSE, net) for choice in grid}
    tried = {choice: rows for choice, rows in tried.items() if rows}
    if not tried:
        return [*cells, "", "", ""]
    best = max(tried, key=lambda choice: mean_of(tried[choice], "val"))
    theirs = table.of(name, best, SEEDS, net)
    # Of the seeds that both have.
    pairs = [(float(a["test"]), float(b["test"])) for a in ours for b in theirs if same_seed(a, b)]
    difference = statistics.fmean(a - b for a, b in pairs)
    return [*cells, text_of(theirs), setting_text(best), f"{difference:+.1f}"]


def unseen_line(table: Table, name: str, net: str, facts: Facts) -> list[str]:
    """A row of the second table: the rule and what it is compared with, each on all seeds."""
    rule, *grid = grid_of(facts)[: 1 + len(GRID)]
    ours, earlier = (table.of(name, choice, SEEDS, net) for choice in (rule, EARLIER))
    others = [table.of(name, choice, SEEDS, net) for choice in grid]
    best = max([ours, *others], key=lambda rows: mean_of(rows, "val"))
    against = mean_of(ours, "test") - mean_of(best, "test")
    cells = [name, f"{facts.num_images:,}", net, setting_text(rule), text_of(earlier)]
    return [*cells, *map(text_of, [ours, *others]), f"{against:+.1f}"]


def option_line(table: Table, name: str, net: str, facts: Facts) -> list[str]:
    """A row of the third table: each option against the rule on the same seeds."""
    rule = rule_of(facts)
    ours = table.of(name, rule, SEEDS, net)
    cells = [name, net, text_of(ours)]
    for changes in OPTIONS.values():
        theirs = table.of(name, replace(rule, **changes), SEEDS, net)
        pairs = ((a, b) for a in ours for b in theirs if same_seed(a, b))
        gains = [float(b["test"]) - float(a["test"]) for a, b in pairs]
        cells.append(gain_text(gains))
    return cells


def gain_text(gains: list[float]) -> str:
    """Mean and standard deviation of differences, and how many there are."""
    if len(gains) < 2:
        return "not measured"
    return f"{statistics.fmean(gains):+.1f} ± {statistics.stdev(gains):.1f} ({len(gains)})"


def same_seed(a: dict[str, str], b: dict[str, str]) -> bool:
    return a["seed"] == b["seed"]


def steps_of(rows: list[dict[str, str]]) -> str:
    return rows[0]["steps"] if rows else ""


HEAD = [
    *("set", "training samples", "net", "earlier default", "its steps", "auto", "its steps"),
    *("which is", "best of the grid", "which is", "auto against it"),
]
UNSEEN_HEAD = [
    *("set", "training samples", "net", "auto is", "earlier default", "auto"),
    *(f"{steps} steps, {size} a step, sgd {rate:g}" for steps, size, rate in GRID),
    "auto against the best on validation",
]


def table_text(head: list[str], lines: list[list[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *lines]]


def page(table: Table, facts: dict[str, Facts]) -> str:
    """The README of the panel."""
    place, software = hardware(), ", ".join(f"{n} {v}" for n, v in versions().items())
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    about = (
        f"Test accuracy, of tecator and Covid3Month R², in percent: mean, standard deviation and "
        f"number of seeds. Nets of width {WIDTH}, no augmentation; a setting is epochs x batch "
        f"size, optimizer and learning rate. `{command}`, {datetime.now(UTC).date().isoformat()}, "
        f"{place['processor']}, one thread; {software}. All rows: [panel.csv](panel.csv)."
    )

    def lines(make: Callable[..., list[str]], names: Iterable[str]) -> list[list[str]]:
        return [make(table, name, net, facts[name]) for name in names for net in NETS]

    parts = [
        *(about, "", *table_text(HEAD, lines(line_of, PANEL))),
        *("", "## Sets that the rule was not made on", ""),
        *table_text(UNSEEN_HEAD, lines(unseen_line, UNSEEN)),
        *("", "## Keys that are off by default", ""),
        "Gain over `auto` in points: mean and standard deviation of the differences over the "
        "seeds, and their number. With refit nets that have learned from the validation split, "
        "too, decide on the test split.",
        *("", *table_text(["set", "net", "auto", *OPTIONS], lines(option_line, OPTIONS_TRIED_ON))),
    ]
    text = str(__doc__).strip().splitlines()
    return "\n".join(["# Settings that the data decide", "", *text, "", *parts, ""])


def main() -> None:
    parser = options_of(str(__doc__), repeats=None)
    text = "begin no training after so many; a later call goes on (no limit)"
    parser.add_argument("--minutes", type=float, default=float("inf"), help=text)
    options = parse(parser)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_arrays(folder)
        if options.quick:
            print(*measure("digits", Choice(1, 128), 0, folder), sep="\n")
            return
        OUT.mkdir(exist_ok=True)
        table = Table(OUT / "panel.csv", folder, 60 * options.minutes)
        cards = {name: read_json(prepare_set(name, folder) / "card.json") for name in SETS}
        facts = {name: Facts.of_card(card) for name, card in cards.items()}
        measure_first(table, {name: facts[name] for name in PANEL})
        with write_aside(OUT / "README.md") as aside:
            aside.write_text(page(table, facts), encoding="utf-8")


if __name__ == "__main__":
    main()
