"""``advise``: which way of training several devices should be used for."""

import argparse
import math
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddcnn import nets
from ddcnn.base.amounts import bandwidth, latency, memory
from ddcnn.base.defaults import chosen
from ddcnn.base.foreign import entry, read_facts
from ddcnn.base.text import counted, duration, size, table
from ddcnn.commands.arguments import add_command, add_configuration, asked_experiment, count
from ddcnn.commands.plan import doubling
from ddcnn.experiment.chosen import known_facts, num_outputs
from ddcnn.experiment.makespan import Machine, ScheduledJob, simulate
from ddcnn.experiment.paths import RESULTS, folder_of, place_of
from ddcnn.experiment.runs import Experiment, Run
from ddcnn.parallel import WAYS
from ddcnn.parallel.model import Link, Work, of_training, step_of
from ddcnn.parallel.volume import NetShape, fits

if TYPE_CHECKING:
    from ddcnn.parallel.probe import Probe

EXAMPLES = """\
examples:
  ddcnn advise --devices 8 --memory 16GB --link 10Gbit config/cifar10.yaml
  ddcnn advise --devices 4 --link 100Gbit --latency 2us
  ddcnn advise --devices 8 --measured ../other/results mine.yaml

Times of trainings that were run are those of the results. Of all others a few steps are measured
here, with synthetic pixels, which takes about a minute a net; how they become the time of many
devices, docs/explanation/parallel.md says, and how far that was wrong, benchmarks/results/links.md.
"""
LATENCY = 25e-6  # of Ethernet between two machines of a rack, from end to end


@dataclass(frozen=True)
class Choice:
    """One way to train, with what it takes.

    Attributes:
        name: in words.
        devices: it uses.
        seconds: of the whole training.
        memory: bytes of the fullest device.
        sent: bytes that a device sends in a step.
        accuracy: on test images, if it was measured here.
    """

    name: str
    devices: int
    seconds: float
    memory: float
    sent: float = 0.0
    accuracy: float | None = None


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    description = "which way of parallel training suits some devices"
    parser = add_command(commands, "advise", run, description, EXAMPLES)
    add_configuration(parser)
    parser.add_argument("--devices", type=count, required=True, metavar="N", help="how many")
    parser.add_argument(
        "--memory", type=memory, metavar="SIZE",
        help="of each device, for example 16GB or 16GiB (not asked for)",
    )  # fmt: skip
    parser.add_argument(
        "--link", type=bandwidth, default=bandwidth("10Gbit"), metavar="SPEED",
        help="of each device to the others, for example 100Mbit or 25GB/s (10Gbit)",
    )  # fmt: skip
    parser.add_argument(
        "--latency", type=latency, default=LATENCY, metavar="TIME",
        help="of the link, from end to end, for example 2us (25us)",
    )  # fmt: skip
    parser.add_argument(
        "--measured", type=Path, default=Path(RESULTS), metavar="FOLDER",
        help="results that hold measured trainings (results)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Print, for every data set and model, what each way takes, and what is not known."""
    experiment = asked_experiment(options)
    # Of equal nets with other seeds or folds the first stands for all.
    subjects = {
        (each.dataset, each.architecture, each.width): each for each in experiment.runs[::-1]
    }
    for each in reversed(subjects.values()):
        if nets.is_closed_form(each.architecture):
            print(f"{each.dataset}, {each.model}: solved in closed form, without steps to divide")
        else:
            _advise(Subject(each.global_run(), experiment, options.measured), options)


class Subject:
    """A global net and its decompositions, with what is known of them.

    Args:
        run: of the global net.
        experiment: that it belongs to.
        results: the folder of measured trainings.

    Raises:
        InputError: nobody knows how many images there are.
    """

    def __init__(self, run: Run, experiment: Experiment, results: Path) -> None:
        self.run, self.experiment, self.results = run, experiment, results
        dataset = experiment.datasets[run.dataset]
        facts = known_facts(dataset, results, experiment.folds)
        local = experiment.settings["local"]
        local = local | chosen(local, facts)
        self.num_outputs, self.shape = num_outputs(dataset, results), tuple(dataset.image_shape)
        self.images, self.epochs = facts.num_images, local["epochs"]
        self.batch = min(local["batch_size"], self.images)
        self.steps = self.epochs * (self.images // self.batch)  # as trainings, by whole batches

    @property
    def decompositions(self) -> list[Run]:
        """Of the same net, each once."""
        own = (self.run.dataset, self.run.architecture, self.run.width)
        runs = {
            each.decomposition: each
            for each in reversed(self.experiment.runs)
            if (each.dataset, each.architecture, each.width) == own and not each.is_global
        }
        return list(reversed(runs.values()))

    def choice_of(self, run: Run, devices: int) -> Choice:
        """One net after the other on as many devices as there are nets, or are at hand."""
        subdomains = run.decomposition.subdomains
        known = [self._trained(run, name) for name in subdomains]
        if not all(known):
            known = [self._probed(run)] * len(subdomains)
        jobs = [
            ScheduledJob(name, seconds, devices=1)
            for name, (seconds, _) in zip(subdomains, known, strict=True)
        ]
        seconds = simulate(jobs, Machine(math.inf, devices)).makespan
        if not run.is_global:
            seconds += self._coarse_seconds(run)
        name = "one device" if run.is_global else f"tiles: {run.decomposition.slug}"
        most = max(memory for _, memory in known)
        return Choice(name, min(devices, len(jobs)), seconds, most, 0.0, self.accuracy(run))

    def _trained(self, run: Run, tile: str) -> tuple[float, float] | None:
        """Seconds and memory of a net's training in the results, by the steps asked for now."""
        place = place_of("train_local", run.wildcards | {"tile": tile})
        path = folder_of("train_local", place, self.results) / "metrics.json"
        if not path.is_file():
            return None
        found, keys = read_facts(path), ("train_seconds", "steps", "peak_memory_bytes")
        seconds, steps, memory = (entry(found, path, key, float) for key in keys)
        return seconds / max(1, steps) * self.steps, memory

    def is_measured(self, run: Run) -> bool:
        """Whether the results hold all nets of a run."""
        return all(self._trained(run, name) for name in run.decomposition.subdomains)

    def _probed(self, run: Run) -> tuple[float, float]:
        from ddcnn.parallel.probe import alone

        shape = (*run.tiling.tile_shape(self.shape[:-1]), self.shape[-1])
        seconds, memory = alone(self._probe(run, shape, "own"))
        return seconds * self.steps, memory + self.images * math.prod(shape)

    def _probe(self, run: Run, shape: tuple[int, ...], kernels: str) -> "Probe":
        from ddcnn.parallel.probe import Probe
        from ddcnn.training.device import visible_devices

        net = (run.architecture, run.local_width, shape, self.num_outputs, self.batch)
        return Probe(*net, kernels=kernels, gpus=int(bool(visible_devices())))

    def _coarse_seconds(self, run: Run) -> float:
        """Of its training if that is in the results; it has no share in which way is faster."""
        place = place_of("train_coarse", run.wildcards | {"combination": "coarse"})
        path = folder_of("train_coarse", place, self.results) / "metrics.json"
        return entry(read_facts(path), path, "train_seconds", float) if path.is_file() else 0.0

    def accuracy(self, run: Run, method: str = "") -> float | None:
        """On test images, by the evaluation in the results if there is one."""
        folder = folder_of("evaluate", place_of("evaluate", run.wildcards), self.results)
        path = folder / "evaluation.json"
        if not path.is_file():
            return None
        facts = read_facts(path)
        method = method or ("global" if run.is_global else "cnn-dnn")
        if method not in entry(facts, path, "methods", dict):
            return None
        return entry(facts, path, f"methods.{method}", dict).get("accuracy_test")

    @cached_property
    def net(self) -> NetShape:
        """The shape of the global net."""
        from ddcnn.parallel.probe import net_shape

        return net_shape(self._probe(self.run, self.shape, "torch"))

    @cached_property
    def measured(self) -> tuple[Work, Link]:
        """A step on one device and on its parts, and of two workers here where there are cores."""
        from ddcnn.parallel.probe import own_link, with_workers, work_of

        probe = self._probe(self.run, self.shape, "torch")
        # Two workers on one GPU would wait for each other: then the link is the processors'.
        at_ends = probe if can_calibrate() else replace(probe, gpus=0)
        work, link = work_of(probe, self.net), own_link(at_ends)
        if can_calibrate():
            work = with_workers(probe, self.net, work, link, workers=2)
        return work, link

    def trained_way(self, way: str) -> Mapping[str, Any] | None:
        """Costs of the training in this way with the most workers, if the results hold one."""
        place = place_of("train_parallel", self.run.wildcards | {"way": way, "workers": "*"})
        folder = folder_of("train_parallel", place, self.results)
        paths = sorted(folder.parent.glob(f"{folder.name}/metrics.json"), key=_num_workers)
        return entry(read_facts(paths[-1]), paths[-1], "parallel", dict) if paths else None

    def shared(self, way: str, devices: int, wire: Sequence[float]) -> list[Choice]:
        """The global net by 2, 4 ... workers in one of the other ways, as many as can.

        Args:
            way: one of :data:`ddcnn.parallel.WAYS`.
            devices: at most.
            wire: its latency in seconds and bits per second.
        """
        costs = self.trained_way(way)
        if costs:
            net, work, own = of_training(costs)
            held = 0  # the memory that was measured has it
        else:
            (work, own), net = self.measured, self.net
            held = self.images * math.prod(self.shape)  # every worker reads all images
        link = own.behind(*wire)
        choices = []
        for workers in doubling(devices)[1:]:
            if fits(net, way, workers, self.batch):
                step = step_of(way, workers, net, work, link)
                seconds, memory = step.seconds * self.steps, step.memory_bytes + held
                score = self.accuracy(self.run, f"{way}-{workers}")
                choices.append(Choice(way, workers, seconds, memory, step.bytes, score))
        return choices


def _num_workers(path: Path) -> int:
    return int(path.parent.name.rpartition("-")[2])


def can_calibrate() -> bool:
    """Whether two workers have a core or a GPU each here."""
    from ddcnn.training.device import visible_devices

    gpus = visible_devices()
    return len(gpus) > 1 if gpus else len(os.sched_getaffinity(0)) > 1


def _advise(subject: Subject, options: argparse.Namespace) -> None:
    runs = [subject.run, *subject.decompositions]
    choices = [subject.choice_of(run, options.devices) for run in runs]
    refused: list[str] = [] if options.devices > 1 else list(WAYS)
    if options.devices > 1:
        for way in WAYS:
            found = subject.shared(way, options.devices, (options.latency, options.link))
            choices += _best(found, options.memory)
            if not found:
                refused.append(way)
    print(
        f"{subject.run.dataset}, {subject.run.model}: {counted(subject.images, 'image')}, "
        f"{counted(subject.epochs, 'epoch')} of batches of {subject.batch}, "
        f"{counted(subject.steps, 'step')}"
    )
    print("\n".join(["", *table(_rows(choices, options.memory), numbers=5), ""]))
    said = [*_verdict(choices, options.memory), *_known(subject, runs, refused, options.link)]
    print("\n".join(textwrap.fill(each, 100, break_on_hyphens=False) for each in said))


def _best(found: Sequence[Choice], limit: float | None) -> list[Choice]:
    """Of the numbers of workers the fastest that fits, or, if none does, the smallest in memory."""
    fitting = [each for each in found if _fits(each, limit)]
    if fitting:
        return [min(fitting, key=lambda each: each.seconds)]
    return sorted(found, key=lambda each: each.memory)[:1]


def _fits(choice: Choice, limit: float | None) -> bool:
    return limit is None or choice.memory <= limit


def _rows(choices: Sequence[Choice], limit: float | None) -> list[tuple[str, ...]]:
    rows = [("way", "devices", "time", "memory of one", "sent in a step", "accuracy")]
    for each in choices:
        room = size(each.memory) if _fits(each, limit) else f"too much: {size(each.memory)}"
        accuracy = "" if each.accuracy is None else f"{each.accuracy:.4f}"
        numbers = (str(each.devices), duration(each.seconds), room, size(each.sent), accuracy)
        rows.append((each.name, *numbers))
    return rows


def _verdict(choices: Sequence[Choice], limit: float | None) -> list[str]:
    fitting = sorted((c for c in choices if _fits(c, limit)), key=lambda each: each.seconds)
    if not fitting:
        return [f"None of these fits into {size(limit or 0)}."]
    first, one = fitting[0], choices[0]
    lines = [f"Fastest: {first.name}, {duration(first.seconds)}"]
    lines[0] += f", {one.seconds / first.seconds:.1f} times as fast as one device."
    same = [each for each in fitting if each.name in WAYS]
    if same and first.name not in WAYS:
        lines.append(
            f"Of the ways that train the global net itself: {same[0].name} with "
            f"{same[0].devices} devices, {duration(same[0].seconds)}, "
            f"{same[0].seconds / first.seconds:.1f} times as long."
        )
    return lines


def _known(
    subject: Subject, runs: Sequence[Run], refused: Sequence[str], bandwidth: float
) -> Iterator[str]:
    """Where the numbers come from, and what nobody has measured."""
    done = [run.decomposition.slug for run in runs if subject.is_measured(run)]
    short = [run.decomposition.slug for run in runs if not subject.is_measured(run)]
    if done:
        yield f"Measured trainings in {subject.results}: {', '.join(done)}."
    if short:
        yield f"A short measurement here, with synthetic pixels: {', '.join(short)}."
    if refused:
        yield f"Not possible with this net, batch and number of devices: {', '.join(refused)}."
    others = [way for way in WAYS if way not in refused]
    trained = [way for way in others if subject.trained_way(way)]
    if trained:
        yield (
            f"{', '.join(trained)}: a model of the trainings in {subject.results}, for this link "
            "and other numbers of workers; all computing is taken to be divided."
        )
    if len(trained) < len(others):
        yield from _modelled(subject, [way for way in others if way not in trained], bandwidth)
    yield (
        "Memory is that of the whole process, Python and torch included. Not known: processors "
        "other than these, and what starting jobs, reading and evaluating take."
    )
    if any(subject.accuracy(run) is None for run in runs):
        yield (
            "Accuracies are known of trainings in the results alone, and tiles train another "
            "model than the global net: train both and compare."
        )


def _modelled(subject: Subject, ways: Sequence[str], bandwidth: float) -> Iterator[str]:
    """What the model of steps stands on that were measured for it."""
    two = (
        "a step of two workers was measured here, too"
        if can_calibrate()
        else "two workers could not be measured here: they wait for each other longer than that"
    )
    yield (
        f"{', '.join(ways)}: a model of steps with synthetic pixels measured here, what the "
        f"workers send, and the link; {two}."
    )
    own = 8 * subject.measured[1].bytes_per_second
    if own < bandwidth:
        yield (
            f"Two programs here send each other {own / 1e9:.1f} Gbit/s and no more, so the "
            "model takes the link to be no faster."
        )
