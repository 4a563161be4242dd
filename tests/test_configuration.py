"""From a configuration to its runs, and every way in which it can be wrong."""

import contextlib
import copy
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddcnn.__main__ import main
from ddcnn.base.errors import InputError
from ddcnn.base.tasks import METHODS
from ddcnn.experiment import parameters
from ddcnn.experiment.chosen import automatic_keys
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.jobs import gpus_of
from ddcnn.experiment.runs import Experiment
from ddcnn.experiment.schema import complete, documentation, schema
from ddcnn.training.settings import Settings

PROJECT = Path(__file__).parents[1]
FASHION = {"experiment": "test", "dataset": "fashion-mnist-10k"}


def load(**changes) -> Experiment:
    return load_experiment(FASHION | changes)


def folders(**changes) -> list[str]:
    return [run.folder.removeprefix("fashion-mnist-10k/") for run in load(**changes).runs]


def write_images(path: Path, shape: tuple[int, ...], num_images: int = 40) -> dict:
    """Noise in an ``.npz``, and the configuration's entry for it."""
    pixels = np.random.default_rng(0).integers(0, 256, (num_images, *shape), dtype=np.uint8)
    np.savez(path, x=pixels, y=np.arange(num_images) % 2)
    return {"name": path.stem, "path": str(path)}


# What is delivered


@pytest.mark.parametrize("path", sorted(PROJECT.glob("config/*.yaml")), ids=lambda path: path.name)
def test_every_delivered_configuration_is_accepted(path):
    assert load_experiment(yaml.safe_load(path.read_text())).runs


def test_every_training_of_a_run_weighs_the_classes_in_the_same_way():
    experiment = load(local={"class_weights": "balanced"}, methods=["coherent", "transfer"])
    tile = {**experiment.runs[-1].wildcards, "tile": "0-0"}
    settings = [parameters.local_settings(experiment, tile), parameters.coarse_settings(experiment)]
    for start in ("coherent", "transfer"):
        settings.append(parameters.joint_settings(experiment, {"start": start}))
    assert [Settings(**each).class_weights for each in settings] == ["balanced"] * 4
    assert Settings(**parameters.coarse_settings(load())).class_weights == "none"


def test_the_default_configuration_is_the_quickstart():
    experiment = load_experiment(yaml.safe_load((PROJECT / "config/config.yaml").read_text()))
    assert experiment.name == "quickstart"
    assert {run.decomposition.slug for run in experiment.runs} >= {
        "whole",
        "blocks-2x2-overlap0",
        "blocks-2x2-overlap4",
        "blocks-2x2-overlap4-view",
    }


def test_the_documentation_of_the_configuration_is_up_to_date():
    written = (PROJECT / "config/README.md").read_text(encoding="utf-8")
    assert written == documentation(), "run: .venv/bin/ddcnn docs"


def test_an_installed_package_has_no_documentation_to_write(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ddcnn.commands.docs.CONFIG_README", tmp_path / "config/README.md")
    assert main(["docs"]) == 1
    assert "docs writes the config/README.md of a checkout" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def keys_of(rules: dict, prefix: str = "") -> dict[str, dict]:
    """Every key of the schema by its dotted name."""
    found = {}
    for key, rule in rules["properties"].items():
        found[prefix + key] = rule
        inner = rule if "properties" in rule else rule.get("items", {})
        if "properties" in inner:
            found |= keys_of(inner, f"{prefix}{key}.")
    return found


def test_every_key_is_documented():
    text = documentation()
    assert all(f"| `{key}` |" in text for key in keys_of(schema()))


def test_the_schema_names_every_method_beside_the_two_that_are_always_there():
    named = schema()["properties"]["methods"]["items"]["enum"]
    assert set(named) == set(METHODS) - {"global", "cnn-dnn"}


def test_the_schema_is_valid_closed_and_described():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert all(rule.get("description") for rule in keys_of(schema()).values())
    mappings = [schema(), schema()["properties"]["dataset"]["items"]]
    mappings += [rule for rule in keys_of(schema()).values() if "properties" in rule]
    assert len(mappings) == 6
    assert all(mapping["additionalProperties"] is False for mapping in mappings)


def test_defaults_are_accepted_values_and_complete():
    settings = complete(FASHION)
    assert set(settings) == set(schema()["properties"])
    for key in ("local", "coarse"):
        assert set(settings[key]) == set(schema()["properties"][key]["properties"])
    assert complete(settings) == settings
    assert load_experiment(settings).runs


# Runs


def test_lists_make_a_product_and_the_global_net_runs_once_per_seed():
    assert folders(overlap=[0, 4], coarse_view=[False, True], seed=[0, 1]) == [
        "vgg-w16/whole/seed0",
        "vgg-w16/whole/seed1",
        "vgg-w16/blocks-2x2-overlap0/seed0",
        "vgg-w16/blocks-2x2-overlap0/seed1",
        "vgg-w16/blocks-2x2-overlap0-view/seed0",
        "vgg-w16/blocks-2x2-overlap0-view/seed1",
        "vgg-w16/blocks-2x2-overlap4/seed0",
        "vgg-w16/blocks-2x2-overlap4/seed1",
        "vgg-w16/blocks-2x2-overlap4-view/seed0",
        "vgg-w16/blocks-2x2-overlap4-view/seed1",
    ]


def test_what_comes_out_the_same_runs_once():
    # Interleaved tiles have no overlap, and one tile is the global net, however it is written.
    assert folders(kind=["blocks", "interleaved"], grid=["2x2", "1x1"], overlap=[0, 4]) == [
        "vgg-w16/whole/seed0",
        "vgg-w16/blocks-2x2-overlap0/seed0",
        "vgg-w16/blocks-2x2-overlap4/seed0",
        "vgg-w16/interleaved-2x2/seed0",
    ]
    assert folders(grid="1x1", coarse_view=[False, True]) == ["vgg-w16/whole/seed0"]
    assert folders(grid=["1x1", "2x2"], local_width=8) == [
        "vgg-w16/whole/seed0",
        "vgg-w16-local8/blocks-2x2-overlap0/seed0",
    ]
    assert folders(grid="2x1", overlap=["4", 4, "4x0", "4x9"]) == [
        "vgg-w16/whole/seed0",
        "vgg-w16/blocks-2x1-overlap4/seed0",
    ]


def test_the_global_net_can_be_left_out():
    assert folders(global_net=False) == ["vgg-w16/blocks-2x2-overlap0/seed0"]
    assert folders(global_net=False, grid="1x1") == ["vgg-w16/whole/seed0"]


def test_local_nets_are_as_wide_as_the_rule_or_the_configuration_says():
    whole, tiled = load(width=32).runs
    assert (whole.local_width, tiled.local_width) == (32, 16)
    whole, tiled = load(width=32, local_width=5).runs
    assert (whole.local_width, tiled.local_width) == (32, 5)
    # The global net is the same with any local width and keeps its folder.
    assert whole.model == "vgg-w32"
    assert tiled.model == "vgg-w32-local5"


def test_decompositions_with_and_without_the_view_share_their_local_nets():
    _, plain, view = load(overlap=4, coarse_view=[False, True]).runs
    assert plain.local_folder("0-1") == view.local_folder("0-1")
    assert plain.folder != view.folder


def test_a_run_is_compared_with_the_global_net_of_its_own_model_and_seed():
    runs = load(width=[8, 16], seed=[0, 1], local_width=4).runs
    listed = {run.folder for run in runs}
    for run in runs:
        whole = run.global_run()
        assert whole.is_global
        assert whole.folder in listed
        assert (whole.width, whole.seed) == (run.width, run.seed)


# Ways of writing


def test_a_scalar_is_a_list_of_one():
    assert load(overlap=4, seed=0, width=16, grid="2x2", coarse_view=True) == load(
        overlap=[4], seed=[0], width=[16], grid=["2x2"], coarse_view=[True]
    )


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["overlap=2"], {"overlap": 2}),
        (["overlap=[0,2]"], {"overlap": [0, 2]}),
        (["overlap=[4x0, 2]"], {"overlap": ["4x0", 2]}),
        (["grid=[2x2,3x1]"], {"grid": ["2x2", "3x1"]}),
        (["seed=[0,1]", "width=[8, 16]"], {"seed": [0, 1], "width": [8, 16]}),
        (["coarse_view=[false,true]"], {"coarse_view": [False, True]}),
        (["coarse_view=true", "global_net=false"], {"coarse_view": True, "global_net": False}),
        (["local={epochs: 2, augment: false}"], {"local": {"epochs": 2, "augment": False}}),
        (["coarse={hidden: [32, 16]}"], {"coarse": {"hidden": [32, 16]}}),
        (["local={learning_rate: 0.1}"], {"local": {"learning_rate": 0.1}}),
        (["local_width=8"], {"local_width": 8}),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else "",
)
def test_the_command_line_means_what_a_file_means(arguments, meant):
    from snakemake.cli import parse_config

    assert load(**parse_config(arguments)) == load(**meant)


def test_a_number_may_be_written_as_people_write_it():
    local = {"learning_rate": yaml.safe_load("1e-3"), "batch_size": 64.0, "weight_decay": 0}
    settings = load(local=local, width=8.0, seed=2.0).settings
    assert settings["local"]["learning_rate"] == 0.001
    assert isinstance(settings["local"]["batch_size"], int)
    assert folders(width=8.0, seed=2.0) == folders(width=8, seed=2)


def test_a_text_stays_a_text_where_one_is_wanted():
    assert load(experiment="on").name == "on"
    assert load(experiment="2024-13-99").name == "2024-13-99"
    assert load(experiment="007").name == "007"


# Own data


@pytest.mark.parametrize(
    ("shape", "grid", "tile"),
    [((12, 16), "2x2", (6, 8)), ((12, 16, 3), "2x2", (6, 8)), ((12, 16, 8), "2x2x1", (6, 8, 8))],
    ids=["gray", "colour", "3D"],
)
def test_own_data_are_known_by_their_path(tmp_path, shape, grid, tile):
    entry = write_images(tmp_path / "mine.npz", shape)
    experiment = load(dataset=entry, grid=grid)
    assert [run.folder for run in experiment.runs] == [
        "mine/vgg-w16/whole/seed0",
        f"mine/vgg-w16/blocks-{grid}-overlap0/seed0",
    ]
    assert experiment.runs[1].tiling.tile_shape(experiment.datasets["mine"].shape) == tile


@pytest.mark.parametrize("place", ["results/data/mine", "results/data/mine/deep/a.npz"])
def test_own_data_where_the_prepared_ones_are_written_are_refused(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    path = Path(place) if place.endswith("npz") else Path(place) / "x.npz"
    path.parent.mkdir(parents=True)
    arrays = {"x": np.zeros((40, 8, 8), np.uint8), "y": np.arange(40) % 2}
    np.savez(path, **arrays)
    if place != str(path):
        for name, array in arrays.items():
            np.save(path.with_name(f"{name}.npy"), array)
    (tmp_path / "link").symlink_to(place)
    for name in (place, "link") if place != str(path) else (place,):
        config = {"experiment": "e", "dataset": {"name": "mine", "path": name}}
        with pytest.raises(InputError, match=r"dataset: path .* would replace it"):
            load_experiment(config)
    load_experiment({"experiment": "e", "dataset": {"name": "other", "path": place}})


def test_several_data_sets_are_one_experiment(tmp_path):
    entry = write_images(tmp_path / "mine.npz", (12, 16))
    experiment = load(dataset=["fashion-mnist-10k", entry])
    assert {run.dataset for run in experiment.runs} == {"fashion-mnist-10k", "mine"}


def test_own_data_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_images(tmp_path / "mine.npz", (12, 16))
    assert load(dataset={"name": "mine", "path": "~/mine.npz"}).runs


def own(**changes):
    """A change of the configuration that needs a file: made when the test runs."""
    return lambda folder: {"dataset": write_images(folder / "mine.npz", (12, 8, 6)) | changes}


# Errors: each is one line that names the key, the value and what is accepted.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"overlp": 4}, ["overlp", "unknown key", "did you mean 'overlap'?"]),
        ({"local": {"epoch": 4}}, ["local.epoch", "unknown key", "did you mean 'epochs'?"]),
        ({"xyz": 4}, ["xyz", "unknown key", "accepted: experiment, dataset,"]),
        ({"experiment": "a/b"}, ["experiment", "'a/b'"]),
        ({"experiment": ""}, ["experiment", "''"]),
        ({"experiment": None}, ["experiment", "None", "string"]),
        ({"dataset": "fashion"}, ["dataset", "'fashion'", "fashion-mnist-10k", "name and path"]),
        ({"dataset": ["fashion-mnist-10k"] * 2}, ["dataset", "same name"]),
        ({"dataset": {"name": "a"}}, ["dataset", "'a' is not one of", "path"]),
        ({"dataset": {"name": "a", "path": "/no.npz"}}, ["dataset", "'/no.npz'"]),
        ({"dataset": {"name": "a", "path": "~nobody-here/a.npz"}}, ["dataset", "nobody-here"]),
        ({"dataset": {"name": "a", "path": "a" * 5000}}, ["dataset", "aaaa"]),
        ({"dataset": {"name": "fashion-mnist-10k", "path": "/a.npz"}}, ["name", "taken"]),
        ({"model": "vg"}, ["model", "'vg'", "one of vgg"]),
        ({"model": "resnt20"}, ["model", "did you mean 'resnet20'?", "one of vgg", "ct3d-same"]),
        ({"model": ["vgg", "ct3d"]}, ["ct3d", "at least 46 pixels"]),
        ({"width": 0}, ["width", "0", "at least 1"]),
        ({"width": 4097}, ["width", "4097", "at most 4096"]),
        ({"width": 8.5}, ["width", "8.5", "integer"]),
        ({"width": True}, ["width", "True", "integer"]),
        ({"width": []}, ["width", "[]"]),
        ({"local_width": "wide"}, ["local_width", "'wide'", "proportional", "integer"]),
        ({"kind": "stripes"}, ["kind", "'stripes'", "blocks, interleaved"]),
        ({"grid": "2x2x2"}, ["grid", "2x2x2", "3 axes", "28x28"]),
        ({"grid": 2}, ["grid", "2", "28x28"]),
        ({"grid": "2*2"}, ["grid", "'2*2'"]),
        ({"grid": "0x2"}, ["grid", "0x2"]),
        ({"grid": 0}, ["grid", "0"]),
        ({"grid": "29x1"}, ["grid", "29", "28 pixels"]),
        ({"kind": "interleaved", "grid": "3x3"}, ["grid", "3x3", "28", "1, 2, 4, 7, 14, 28"]),
        ({"overlap": 28}, ["overlap", "28", "not smaller", "the largest that fits is 26"]),
        ({"overlap": -1}, ["overlap", "-1", "at least 0"]),
        ({"overlap": 1.5}, ["overlap", "1.5"]),
        ({"overlap": "4x4x4"}, ["overlap", "4x4x4", "2x2"]),
        ({"grid": "14x14"}, ["vgg", "at least 4 pixels", "2x2"]),
        ({"coarse_view": "maybe"}, ["coarse_view", "'maybe'", "boolean"]),
        ({"coarse_view": 1}, ["coarse_view", "1", "boolean"]),
        ({"global_net": "no!"}, ["global_net", "'no!'", "boolean"]),
        ({"seed": -1}, ["seed", "-1", "at least 0"]),
        ({"seed": 2**31}, ["seed", str(2**31), "at most"]),
        ({"local": {"epochs": 0}}, ["local.epochs", "0", "at least 1"]),
        ({"local": {"batch_size": 1}}, ["local.batch_size", "1", "at least 2"]),
        ({"local": {"learning_rate": 0}}, ["local.learning_rate", "0", "above 0"]),
        ({"local": {"learning_rate": "nan"}}, ["local.learning_rate", "nan", "finite"]),
        ({"local": {"learning_rate": float("nan")}}, ["local.learning_rate", "nan", "finite"]),
        ({"local": {"learning_rate": float("inf")}}, ["local.learning_rate", "inf", "finite"]),
        ({"local": {"weight_decay": float("-inf")}}, ["local.weight_decay", "inf", "finite"]),
        ({"local": {"dropout": 1}}, ["local.dropout", "1", "below 1"]),
        ({"local": {"optimizer": "adam"}}, ["local.optimizer", "'adam'", "sgd, adamw"]),
        ({"local": {"augment": "yes please"}}, ["local.augment", "'yes please'", "boolean"]),
        ({"local": {"checkpoint_seconds": -1}}, ["local.checkpoint_seconds", "-1"]),
        ({"local": {"weights": "first"}}, ["local.weights", "'first'", "last, best"]),
        ({"local": {"patience": -1}}, ["local.patience", "-1", "at least 0"]),
        ({"refit": "yes"}, ["refit", "'yes'", "boolean"]),
        ({"refit": True, "local": {"weights": "best"}}, ["local.weights", "best", "refit"]),
        ({"refit": True, "local": {"patience": 3}}, ["local.patience", "3", "refit"]),
        ({"refit": True, "methods": ["mean", "transfer"]}, ["methods", "transfer", "refit"]),
        ({"refit": True, "coarse": {"input": "features"}}, ["coarse.input", "features", "refit"]),
        ({"refit": True, "model": "lda"}, ["refit", "lda", "closed form"]),
        ({"local": 8}, ["local", "8"]),
        ({"local": None}, ["local", "None"]),
        ({"coarse": {"hidden": [0]}}, ["coarse.hidden", "0", "at least 1"]),
        ({"coarse": {"hidden": [float("nan")]}}, ["coarse.hidden", "nan", "finite"]),
        ({"coarse": {"fit_on": "test"}}, ["coarse.fit_on", "'test'", "train, validation"]),
        (
            lambda folder: own()(folder) | {"grid": "2x2"},
            ["grid", "2x2", "2 axes", "12x8x6"],
        ),
        (own(flip=["slices"]), ["dataset.flip", "'slices'", "row, column, slice"]),
        (own(shift=-1), ["dataset.shift", "-1", "at least 0"]),
        (own(nme="a"), ["dataset.nme", "did you mean 'name'?"]),
        (own(name="a/b"), ["dataset.name", "'a/b'"]),
    ],
    ids=lambda value: "" if isinstance(value, list) or callable(value) else str(value)[:60],
)
def test_what_is_wrong_is_said_in_one_line_with_key_value_and_choice(changes, words, tmp_path):
    with pytest.raises(InputError) as caught:
        load(**(changes(tmp_path) if callable(changes) else changes))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize("missing", ["experiment", "dataset"])
def test_a_required_key_that_is_missing_is_named_with_its_meaning(missing):
    config = {key: value for key, value in FASHION.items() if key != missing}
    with pytest.raises(InputError, match=f"^{missing}: this key is missing. Name of"):
        load_experiment(config)


def test_mirroring_along_an_axis_that_the_images_lack_is_refused(tmp_path):
    entry = write_images(tmp_path / "mine.npz", (12, 16)) | {"flip": ["column", "slice"]}
    with pytest.raises(InputError, match=r"flip.*'slice'.*row, column"):
        load(dataset=entry)


def test_a_data_file_that_is_none_is_refused_with_its_name(tmp_path):
    path = tmp_path / "mine.npz"
    path.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(InputError, match=r"mine\.npz"):
        load(dataset={"name": "mine", "path": str(path)})


# Any JSON in any place gives an InputError or a valid experiment, never another exception.

VALID = {
    "experiment": "test",
    "dataset": ["fashion-mnist-10k", {"name": "mine", "path": "/no/mine.npz", "flip": ["row"]}],
    "model": ["vgg"],
    "width": [8, 16],
    "local_width": "proportional",
    "kind": ["blocks", "interleaved"],
    "grid": ["2x2", "4x1"],
    "overlap": [0, "4x2"],
    "coarse_view": [False, True],
    "global_net": True,
    "seed": [0],
    "local": {"epochs": 2, "learning_rate": 0.1, "optimizer": "sgd", "augment": False},
    "coarse": {"hidden": [16], "dropout": 0.1, "fit_on": "train"},
}
WORDS = ["2x2", "3x3x3", "99999x1", "4x", "x", "-1", "1e999", "0x10", "nan", "on", "[0, [1]]"]
WORDS += ["{a: 1}", "2024-13-99", "0b_", "!!int x", "&a [*a]", "~nobody", "\0", "[" * 2000, "٢x٢"]
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    SCALAR | st.sampled_from([*WORDS, 10**30, -(2**70)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(value, path: tuple = ()) -> list[tuple]:
    """Paths to everything inside of nested lists and mappings."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in inside:
        found.append((*path, key))
        if isinstance(item, dict | list):
            found += places(item, (*path, key))
    return found


def replaced(config: dict, path: tuple, value) -> dict:
    config = copy.deepcopy(config)
    target = config
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return config


NEW_KEYS = [("overlp",), ("local", "x"), ("coarse", "hiden"), ("dataset", 1, "shift")]


@settings(max_examples=500)
@given(st.sampled_from([*places(VALID), *NEW_KEYS]), JSON)
@example(("experiment",), "2024-13-99")
@example(("width", 0), "0b_")
@example(("overlap", 0), 10**400)
def test_any_value_in_any_place_is_accepted_or_an_input_error(place, value):
    config = replaced(VALID, place, value)
    without_own_data = FASHION | {k: v for k, v in config.items() if k != "dataset"}
    for each in (config, without_own_data):
        before = copy.deepcopy(each)
        with contextlib.suppress(InputError):
            load_experiment(each)
        assert str(each) == str(before)  # "not a number" is unequal to itself


# The command line


def test_check_lists_the_runs(capsys):
    assert main(["check", str(PROJECT / "config/config.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "blocks-2x2-overlap4-view/seed0: 5 nets of width 8 on 16x16 pixels" in printed
    assert "quickstart: 5 runs, 11 trainings of local nets" in printed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("grid: [2x2", "cannot be read"),
        ("- 1", "holds no keys"),
        ("experiment: a\ndataset: fashion-mnist-10k\noverlp: 1", "unknown key"),
    ],
)
def test_check_says_what_is_wrong_in_one_line(content, words, tmp_path, capsys):
    (tmp_path / "wrong.yaml").write_text(content)
    assert main(["check", str(tmp_path / "wrong.yaml")]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert words in message
    assert message.count("\n") == 1


# Controls


FIVE = {
    "overlpa": 4,
    "grid": ["2x2x2"],
    "refit": True,
    "local": {"epochs": 0, "optimiser": "sgd", "weights": "best"},
}
FIVE_LINES = [
    "error: overlpa: unknown key; did you mean 'overlap'? accepted: ",
    "error: local.optimiser: unknown key; did you mean 'optimizer'? accepted: ",
    "error: local.epochs: 0 is not accepted; ",
    "error: local.weights: best goes by the loss on the validation split",
    "error: grid: 2x2x2 has 3 axes, but the images (28x28 pixels) have 2",
]


def test_all_mistakes_are_said_at_once_a_line_each(tmp_path, capsys):
    """Unknown keys and values out of bounds, and what fits neither other values nor the data."""
    file = tmp_path / "five.yaml"
    file.write_text(yaml.safe_dump(FASHION | FIVE))
    assert main(["check", str(file)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(FIVE_LINES)
    for line, words in zip(lines, FIVE_LINES, strict=True):
        assert line.startswith(words)


def test_a_mistake_in_what_says_which_runs_there_are_has_no_consequences(tmp_path, capsys):
    """With the default in place of a wrong grid, an overlap that fits the right one might not."""
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(FASHION | {"grid": "2by2", "overlap": 28, "seed": -1}))
    assert main(["check", str(file)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["grid", "seed"]


def test_the_control_small_has_the_width_of_a_local_net_on_the_whole_image():
    config = FASHION | {"width": 32, "grid": ["2x2", "4x4"], "methods": ["small"]}
    experiment = load_experiment(config)
    decomposed = [run for run in experiment.runs if not run.is_global]
    assert [run.local_width for run in decomposed] == [16, 8]
    for run in decomposed:
        small = run.small_run()
        assert small.local_width == run.local_width
        assert small.is_global
        assert small in experiment.controls
    assert len(experiment.controls) == 2


def test_an_ensemble_has_as_many_nets_as_subdomains_and_its_first_is_the_small_one():
    config = FASHION | {"grid": "2x2", "coarse_view": True, "methods": ["ensemble"], "seed": [3, 4]}
    experiment = load_experiment(config)
    for run in [run for run in experiment.runs if not run.is_global]:
        members = run.ensemble_runs()
        assert len(members) == 5
        assert members[0] == run.small_run()
        assert len({member.seed for member in members}) == 5
    assert len(experiment.controls) == 10  # no net is shared between seeds


def test_without_controls_nothing_more_is_trained():
    assert load_experiment(FASHION).controls == []


def test_regression_leaves_out_methods_that_need_classes(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.random((40, 16)), y=rng.random(40))
    dataset = {"name": "made", "path": str(tmp_path / "data.npz"), "shape": [16]}
    config = {
        "experiment": "made",
        "dataset": dataset | {"task": "regression"},
        "grid": 2,
        "methods": ["mean", "vote", "logistic", "transfer"],
    }
    experiment = load_experiment(config)
    by_run = [experiment.methods_of(run) for run in experiment.runs if not run.is_global]
    assert by_run == [["mean", "transfer"]]


# Nets in closed form


def test_a_net_without_a_width_runs_once_for_all_widths():
    assert folders(model=["lda", "vgg"], width=[8, 16], local_width=4) == [
        "lda-w1/whole/seed0",
        "vgg-w8/whole/seed0",
        "vgg-w16/whole/seed0",
        "lda-w1/blocks-2x2-overlap0/seed0",
        "vgg-w8-local4/blocks-2x2-overlap0/seed0",
        "vgg-w16-local4/blocks-2x2-overlap0/seed0",
    ]
    assert {run.local_width for run in load(model="lda", grid="4x4").runs} == {1}


def test_a_net_in_closed_form_is_told_what_it_has_a_use_for_and_nothing_else():
    """So that other epochs solve nothing again."""
    local = {"class_weights": "balanced", "epochs": 3, "dropout": 0.5}
    experiment = load(model=["lda", "vgg"], local=local)
    told = {}
    for run in experiment.runs:
        tile = {**run.wildcards, "tile": run.decomposition.subdomains[0]}
        told[run.architecture] = parameters.local_settings(experiment, tile)
        dropout = parameters.net(experiment, tile)["dropout"]
        assert dropout == (0.0 if run.architecture == "lda" else 0.5)
    assert told["lda"] == {"class_weights": "balanced"}
    assert told["vgg"]["epochs"] == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"local": {"epochs": 8}}, ["local.epochs: 8", "closed form"]),
        ({"local": {"batch_size": 32}}, ["local.batch_size: 32"]),
        ({"local": {"optimizer": "sgd"}}, ["local.optimizer: sgd"]),
        ({"local": {"augment": True}}, ["local.augment: True"]),
        ({"local": {"dropout": 0.5}}, ["local.dropout: 0.5"]),
        ({"width": [8, 16]}, ["width: [8, 16]", "no width"]),
        ({"local_width": 8}, ["local_width: 8"]),
        ({"methods": ["mean", "coherent"]}, ["methods: coherent", "ddcnn compare"]),
        ({"methods": ["transfer"]}, ["methods: transfer", "steps"]),
        ({"methods": ["small"]}, ["methods: small", "width"]),
        ({"methods": ["ensemble"]}, ["methods: ensemble", "seed"]),
        ({"coarse": {"input": "features"}}, ["coarse.input: features", "log-probabilities"]),
        ({"dataset": "tecator", "grid": 2}, ["model: lda", "tecator", "regression"]),
    ],
)
def test_what_a_net_in_closed_form_cannot_do_is_one_error(changes, words):
    with pytest.raises(InputError) as caught:
        load(**({"model": "lda"} | changes))
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_settings_of_steps_are_accepted_where_another_net_has_a_use_for_them():
    assert load(model=["lda", "vgg"], width=8, local={"epochs": 8, "augment": True}).runs
    assert load(model="lda", local={"epochs": "auto", "class_weights": "balanced"}).runs


@pytest.mark.parametrize(("model", "gpus"), [("lda", 0), (["lda", "vgg"], 1)])
def test_jobs_of_nets_in_closed_form_ask_for_no_gpu(model, gpus):
    experiment = load(model=model)
    assert [gpus_of(experiment, rule) for rule in ("train_local", "train_fold")] == [gpus, gpus]


def test_where_nothing_is_trained_in_steps_nothing_is_chosen_for_steps():
    keys = automatic_keys(load(model="lda").settings)
    assert keys == []
    assert "local.epochs" in automatic_keys(load(model=["lda", "vgg"]).settings)


@pytest.mark.parametrize(("shape", "grid"), [((64,), "4"), ((8, 8), "2x2"), ((12, 8, 6), "2x2x1")])
def test_without_a_grid_the_number_of_axes_decides(tmp_path, shape, grid):
    dataset = write_images(tmp_path / "mine.npz", shape) | {"shape": list(shape)}
    config = {"experiment": "auto", "dataset": dataset}
    tilings = {run.tiling.slug for run in load_experiment(config).trained}
    assert f"blocks-{grid}-overlap0" in tilings
