"""Weights on disk and the state of an interrupted training; nothing in a file runs as code."""

import contextlib
import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from ddcnn import nets
from ddcnn.base.errors import DamagedResult, InputError
from ddcnn.training.checkpoint import MAGIC, Checkpoint, random_states, restore_random_states
from ddcnn.training.weights import load_weights, save_weights

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "epoch": 3, "history": [{"loss": 0.5}]}
CPU = torch.device("cpu")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "checkpoint.pt"


class Malicious:
    """Unpickling it writes a file."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self):
        return (Path.write_text, (self.victim, "harmed"))


def test_a_state_comes_back_as_it_was(path):
    Checkpoint(path, "mine").save(STATE)
    state = Checkpoint(path, "mine").load()
    assert torch.equal(state.pop("weight"), STATE["weight"])
    assert state == {"epoch": 3, "history": [{"loss": 0.5}]}


def test_a_later_state_replaces_the_earlier_one_and_leaves_no_other_file(path):
    checkpoint = Checkpoint(path, "mine")
    for epoch in (1, 2):
        checkpoint.save({"epoch": epoch})
    assert checkpoint.load() == {"epoch": 2}
    assert list(path.parent.iterdir()) == [path]


def test_there_is_no_state_without_a_file_or_after_removing_it(path):
    checkpoint = Checkpoint(path, "mine")
    assert checkpoint.load() is None
    checkpoint.save(STATE)
    checkpoint.remove()
    checkpoint.remove()
    assert checkpoint.load() is None


def test_the_state_of_another_training_is_not_given_back(path):
    Checkpoint(path, "mine").save(STATE)
    assert Checkpoint(path, "other").load() is None
    assert Checkpoint(path, "mine").load() is not None


def test_a_checkpoint_is_due_when_the_last_one_is_long_enough_ago(path):
    assert Checkpoint(path, "mine", every_seconds=0).due()
    assert not Checkpoint(path, "mine", every_seconds=3600).due()
    often, rarely = (Checkpoint(path, "mine", every_seconds=s) for s in (0, 3600))
    for checkpoint in (often, rarely):
        checkpoint.save(STATE)
    assert often.due()
    assert not rarely.due()


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_cut_off_file_is_no_state_and_the_log_says_so(path, caplog, share):
    Checkpoint(path, "mine").save(STATE)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert Checkpoint(path, "mine").load() is None
    assert str(path) in caplog.text
    assert "damaged" in caplog.text


@pytest.mark.parametrize("content", [b"\0" * 2000, b"hello", b"PK\x03\x04" + b"\xff" * 100])
def test_any_other_file_is_no_state(path, caplog, content):
    path.write_bytes(content)
    assert Checkpoint(path, "mine").load() is None
    assert "damaged" in caplog.text


@pytest.mark.parametrize("content", [torch.ones(3), [1, 2], "text", {"fingerprint": "mine"}])
def test_a_torch_file_of_something_else_is_no_state(path, content):
    save(content, path)
    seal(path)
    assert Checkpoint(path, "mine").load() is None


def seal(path: Path) -> None:
    """Make any content a file that has the digest of a checkpoint."""
    content = path.read_bytes()
    path.write_bytes(MAGIC + hashlib.sha256(content).digest() + content)


def save(content: object, path: Path) -> None:
    torch.save(content, path)


def dump(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def test_a_wrong_byte_anywhere_is_no_state(path, caplog):
    Checkpoint(path, "mine").save(STATE)
    content = path.read_bytes()
    for place in range(0, len(content), 13):
        wrong = bytearray(content)
        wrong[place] ^= 0x10
        path.write_bytes(wrong)
        assert Checkpoint(path, "mine").load() is None
    path.write_bytes(content)
    assert Checkpoint(path, "mine").load() is not None


@pytest.mark.parametrize("write", [save, dump])
def test_code_in_a_checkpoint_does_not_run(path, caplog, write):
    victim = path.with_name("victim")
    write({"fingerprint": "mine", "state": Malicious(victim)}, path)
    code = path.read_bytes()
    seal(path)
    assert Checkpoint(path, "mine").load() is None
    assert not victim.exists()
    assert "damaged" in caplog.text
    # Without this the test would pass with an object that does nothing.
    path.write_bytes(code)
    with contextlib.suppress(RuntimeError):
        torch.load(path, weights_only=False)
    assert victim.exists()


def test_random_numbers_go_on_as_if_nothing_was_drawn():
    states = random_states(CPU)
    expected = torch.rand(5), torch.randperm(9)
    torch.rand(100)
    restore_random_states(states, CPU)
    assert torch.equal(torch.rand(5), expected[0])
    assert torch.equal(torch.randperm(9), expected[1])


def build(seed: int, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nets.build("vgg", (8, 8, 1), 3, width)


def test_weights_come_back_with_the_state_of_the_norms(tmp_path):
    net, other = build(0), build(1)
    net(torch.rand(4, 1, 8, 8))  # moves the running means
    save_weights(net, tmp_path / "model.safetensors", tile="0-1")
    load_weights(other, tmp_path / "model.safetensors")
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(net.eval()(x), other.eval()(x))


def test_weights_are_safetensors_that_say_what_they_are(tmp_path):
    net = build(0)
    save_weights(net, tmp_path / "model.safetensors", tile="0-1")
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata()["tile"] == "0-1"
        assert set(file.keys()) == set(net.state_dict())
        assert torch.equal(file.get_tensor("classifier.weight"), net.classifier.weight)


def test_weights_of_another_net_are_refused(tmp_path):
    save_weights(build(0, width=8), tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_weights(build(0, width=4), tmp_path / "model.safetensors")


def test_a_wrong_byte_among_weights_is_noticed(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(build(0), path)
    content = path.read_bytes()
    for place in [*range(0, 200, 7), *range(200, len(content), 501), len(content) - 1]:
        wrong = bytearray(content)
        wrong[place] ^= 0x10
        path.write_bytes(wrong)
        with pytest.raises(DamagedResult, match=r"model\.safetensors"):
            load_weights(build(0), path)
    path.write_bytes(content)
    load_weights(build(0), path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100])
def test_a_damaged_file_of_weights_is_named(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_weights(build(0), tmp_path / "model.safetensors")
