"""Nets of the user: found, checked before anything is trained, part of the code's digest."""

import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from ddcnn import nets
from ddcnn.base.errors import InputError
from ddcnn.experiment.configuration import load_experiment
from ddcnn.nets import own
from ddcnn.training.loop import make_optimizer
from ddcnn.training.settings import Settings
from ddcnn.training.weights import load_weights, save_weights
from workflow_runs import (
    PROJECT,
    make_project,
    planned_jobs,
    small_fashion,
    snakemake,
    write_config,
)

NUMBERS = itertools.count()  # Python keeps imported modules: every test needs names of its own
GOOD = """
from torch import nn

def factory(shape, classes, width, dropout):
    *pixels, channels = shape
    net = nn.Sequential(
        nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(width, classes),
    )
    # end
    return net
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module into the current folder and returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())

    def write(code: str = GOOD, name: str | None = None) -> str:
        name = name or f"own_nets_{next(NUMBERS)}"
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return name

    return write


def check(name: str) -> None:
    own.check(name, (8, 8, 1), 3, 4, 0.1)


def refusal(name: str) -> str:
    with pytest.raises(InputError) as caught:
        check(name)
    message = str(caught.value)
    assert message.startswith(f"model: {name}")
    assert "\n" not in message
    return message


def changed(code: str, old: str, new: str) -> str:
    assert old in code
    return code.replace(old, new)


def test_a_factory_in_the_current_folder_is_found_and_called(write):
    name = f"{write()}:factory"
    check(name)
    net = nets.build(name, (8, 9, 2), classes=3, width=4, dropout=0.5)
    assert net(torch.zeros(2, 2, 8, 9)).shape == (2, 3)
    assert net[0].in_channels == 2
    assert net[5].p == 0.5


def test_a_class_in_a_package_with_a_helper_beside_it_is_a_factory_too(write):
    package = f"package_{next(NUMBERS)}"
    write("WIDTH = 5", f"{package}.sizes")
    write(
        """
        from torch import nn
        from .sizes import WIDTH
        class Net(nn.Sequential):
            def __init__(self, shape, classes, width, dropout):
                super().__init__(nn.Flatten(), nn.LazyLinear(WIDTH), nn.Linear(WIDTH, classes))
        """,
        f"{package}.nets",
    )
    check(f"{package}.nets:Net")
    net = nets.build(f"{package}.nets:Net", (8, 8, 1), classes=3, width=4)
    assert net.training
    assert [p.numel() for p in net.parameters()] == [64 * 5, 5, 5 * 3, 3]


def test_a_factory_on_the_python_path_is_found(write, tmp_path, monkeypatch):
    module = write()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.syspath_prepend(tmp_path)
    check(f"{module}:factory")
    assert own.folder_of(f"{module}:factory") == tmp_path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def factory", "def other", ["no function or class of this name", "factory(shape"]),
        ("def factory", "factory = 3\ndef other", ["no function or class of this name"]),
        ("(shape, classes, width, dropout)", "(shape)", ["TypeError", "takes 1 positional"]),
        ("# end", "raise ValueError('too\\nsmall')", ["ValueError: too small", ".py, line 10"]),
        ("# end", "raise SystemExit('enough')", ["SystemExit: enough", "line 10"]),
        ("return net", "return None", ["returned NoneType, no torch.nn.Module"]),
        ("return net", "return nn.Module", ["returned type, no torch.nn.Module"]),
        (
            "(width, classes)",
            "(width, 2)",
            ["a batch of 1 in evaluation mode became (1, 2)", "not (1, 3) for 3 classes"],
        ),
        ("nn.Flatten(), ", "", ["evaluation mode", "RuntimeError"]),
        ("nn.BatchNorm2d(width)", "nn.LSTM(6, 6)", ["ValueError", "LSTM"]),
        ("# end", "net = nn.Sequential(net, nn.Flatten(0))", ["became (3,)", "not (1, 3)"]),
        ("# end", "net.append(nn.LazyLinear(4))", ["for 8x8 pixels, 1 channel", "became (1, 4)"]),
        ("# end", "net = net.requires_grad_(False)", ["no trainable weight"]),
        (
            "# end",
            "net.spare = nn.Linear(2, 2); net.forward = lambda x: net[:7](x)",
            ["spare.weight"],
        ),
        ("from torch import nn", "from torch import xyz", ["ImportError", "xyz", "line 2"]),
        ("from torch import nn", "from torch import (", ["SyntaxError", ".py, line 2"]),
        ("from torch import nn", "raise SystemExit(2)", ["SystemExit: 2", "line 2"]),
    ],
)
def test_a_factory_that_cannot_be_used_is_refused_with_the_reason(write, old, new, words):
    message = refusal(f"{write(changed(GOOD, old, new))}:factory")
    assert [word for word in words if word not in message] == [], message


def test_a_net_that_fails_in_training_only_is_refused(write):
    code = changed(GOOD, "# end", "net.forward = lambda x: 1 / 0 if net.training else net[:7](x)")
    message = refusal(f"{write(code)}:factory")
    assert "a batch of 2 in training mode: ZeroDivisionError" in message


def test_a_net_that_forgets_the_batch_of_one_is_refused(write):
    code = changed(GOOD, "# end", "net.forward = lambda x: net[:7](x).squeeze()")
    assert "became (3,)" in refusal(f"{write(code)}:factory")


def test_a_net_that_the_meta_device_cannot_run_is_run_on_the_cpu(write):
    code = changed(GOOD, "# end", "net.forward = lambda x: net[:7](x + float(x.sum()))")
    check(f"{write(code)}:factory")


def test_the_net_of_a_whole_scan_is_checked_without_its_memory(write):
    # 4 channels of 2048^3 pixels would take 137 GB.
    code = GOOD.replace("2d", "3d")
    own.check(f"{write(code)}:factory", (2048, 2048, 2048, 1), 2, 4, 0.0)


def test_a_module_that_does_not_exist_says_where_it_was_sought(write, tmp_path):
    write()
    message = refusal("no_such_nets:factory")
    assert f"on the Python path or in {tmp_path}" in message
    assert "write no_such_nets.py there" in message
    assert "no_such_package" in refusal("no_such_package.nets:factory")


def test_a_file_named_like_a_library_does_not_replace_it(write):
    write(name="colorsys")
    assert "hides your colorsys.py; give yours another name" in refusal("colorsys:factory")
    import colorsys

    assert hasattr(colorsys, "rgb_to_hsv")
    assert "no file of Python" in refusal("sys:exit")


# --- in a configuration ---------------------------------------------------------------------


def config(**changes) -> dict:
    return {"experiment": "e", "dataset": "fashion-mnist-10k", "width": 8, **changes}


def test_a_configuration_builds_every_shape_and_width_once(write):
    module = write(changed(GOOD, "# end", "print(shape, classes, width, dropout, end=';')"))
    script = (
        "from ddcnn.experiment.configuration import load_experiment\n"
        f"e = load_experiment({config(model=f'{module}:factory', seed=[0, 1], overlap=[0, 4])})\n"
        "print([run.model for run in e.runs][0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    builds, slug = done.stdout.strip().rsplit(";", 1)
    assert sorted(builds.split(";")) == [
        "(14, 14, 1) 10 4 0.2", "(16, 16, 1) 10 4 0.2", "(28, 28, 1) 10 8 0.2",
    ]  # fmt: skip
    assert slug == f"{module}.factory-w8"


def test_a_configuration_refuses_a_net_that_fails_for_its_tiles(write):
    name = f"{write(changed(GOOD, 'width, 3)', 'width, 15)'))}:factory"
    load_experiment(config(model=name, grid="1x1"))
    with pytest.raises(InputError, match=f"{name} for 14x14 pixels, 1 channel and width 4: "):
        load_experiment(config(model=name))


@pytest.mark.parametrize(
    "name", ["a:", ":b", "a b:c", "../a:b", "a:b:c", "a/b:c", "a:b.c", "a-b:c", "a..b:c", "a:1b"]
)
def test_a_name_that_is_no_factory_is_refused(name):
    with pytest.raises(InputError, match=r"model: .*one of vgg, .*text like my_module:factory"):
        load_experiment(config(model=name))


def test_a_known_net_does_not_import_torch():
    script = (
        "import sys; from ddcnn.experiment.configuration import load_experiment\n"
        f"load_experiment({config(model=['vgg', 'resnet20', 'vit'])})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


# --- the digest of the code -----------------------------------------------------------------


def digests_of_edits(module: str, folder: Path, files: list[str]) -> list[str]:
    """Files whose edit changes the digest of ``module:factory``, each in a process of its own."""

    def digest() -> str:
        script = f"from ddcnn import nets; print(nets.code_of({f'{module}:factory'!r}))"
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout

    before, changing = digest(), []
    assert digest() == before
    for file in files:
        content = (folder / file).read_text()
        (folder / file).write_text(f"{content}\nedited = 1\n")
        changing += [file] if digest() != before else []
        (folder / file).write_text(content)
    return changing


def test_the_digest_holds_the_module_and_what_it_imports_beside_it(write, tmp_path):
    write("from .second import B", "parts.first")
    write("B = 1", "parts.second")
    write("", "parts.__init__")
    write("", "parts.unused")
    write("A = 1", "helper")
    write("", "unused")
    write(f"import helper\nfrom parts import first\n{GOOD}", "my_nets")
    files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py")]
    expected = {"my_nets.py", "helper.py", "parts/__init__.py", "parts/first.py", "parts/second.py"}
    assert set(digests_of_edits("my_nets", tmp_path, files)) == expected
    assert len(files) == len(expected) + 2


def test_the_digest_of_an_installed_module_does_not_follow_libraries(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    (folder / "their_nets").mkdir(parents=True)
    (folder / "their_nets/__init__.py").write_text("import library\nfrom . import part")
    (folder / "their_nets/part.py").write_text("")
    (folder / "library.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))
    files = ["their_nets/__init__.py", "their_nets/part.py", "library.py"]
    assert digests_of_edits("their_nets", folder, files) == files[:2]


# --- what only nets of users do -------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_frozen_weights_stay_as_they_are(optimizer):
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 2))
    net[0].requires_grad_(False)
    frozen, free = net[0].weight.clone(), net[1].weight.clone()
    net(torch.ones(2, 3)).sum().backward()
    make_optimizer(net, Settings(1, 2, optimizer, 0.1, 0.1)).step(0.1)
    assert torch.equal(net[0].weight, frozen)
    assert not torch.equal(net[1].weight, free)


def test_a_weight_with_two_names_can_be_saved(tmp_path):
    def net() -> torch.nn.Module:
        net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
        net[1].weight = net[0].weight
        return net

    first, second = net(), net()
    save_weights(first, tmp_path / "model.safetensors")
    load_weights(second, tmp_path / "model.safetensors")
    assert torch.equal(first(torch.eye(3)), second(torch.eye(3)))


# --- in the workflow ------------------------------------------------------------------------


@pytest.mark.slow
def test_the_example_of_the_documentation_runs_and_an_edit_trains_it_again(tmp_path):
    project = make_project(tmp_path / "my project")
    page = (PROJECT / "docs/how-to/own-net.md").read_text(encoding="utf-8")
    ((code,), (model,)) = (
        re.findall(pattern, page, re.DOTALL)
        for pattern in (r"`my_nets\.py`:\n\n```python\n(.*?)```", r"--config model=(my_nets:\w+)\n")
    )
    (project / "my_nets.py").write_text(code)
    data = {"name": "fashion", "path": str(small_fashion(tmp_path / "fashion.npz", 240))}
    options = {"dataset": data, "grid": "2x1", "coarse_view": False, "global_net": False}
    config = write_config(project / "own.yaml", model=model, **options, local={"epochs": 1})
    snakemake(project, config)
    local = project / "results/local/fashion/my_nets.small-w8/blocks-2x1-overlap4/seed0/0-0"
    metrics = json.loads((local / "metrics.json").read_text())
    # Worked out by hand for 16 x 28 pixels and the width 8 (8 / sqrt(2), a multiple of 4).
    assert metrics["input_shape"] == [16, 28, 1]
    assert metrics["parameters"] == 8 * (25 + 1) + 2 * 8 + 10 * (16 * 8 + 1)
    assert metrics["multiply_adds"] == 8 * 14 * 8 * 25 + 10 * 16 * 8
    assert "my_nets.small-w8" in (project / "results/reports/tiny/summary.csv").read_text()

    assert planned_jobs(project, config) == {}
    (project / "my_nets.py").write_text(code.replace("kernel_size=5", "kernel_size=3"))
    assert planned_jobs(project, config) == {
        "train_local": 2, "train_coarse": 1, "evaluate": 1, "bundle": 1, "report": 1,
    }  # fmt: skip
    (project / "my_nets.py").write_text(code.replace("return nn.Seq", "return nn.Sec"))
    done = snakemake(project, config, check=False)
    assert done.returncode != 0
    (line,) = [line for line in done.stdout.splitlines() if "Error" in line]
    assert line.startswith("Error in the configuration: model: my_nets:small for 16x28 pixels")
    assert "AttributeError: module 'torch.nn' has no attribute 'Secuential'" in line
    assert "Traceback" not in done.stdout
