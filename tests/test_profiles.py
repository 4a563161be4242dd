"""Profiles repeat what Snakemake cannot share between them; they repeat the same."""

import re

import pytest
import yaml

from workflow_runs import PROJECT

CLUSTERS = ("cluster-generic", "htcondor")
PROFILES = sorted(path.parent.name for path in PROJECT.glob("profiles/*/config.yaml"))


def text_of(name: str) -> str:
    return (PROJECT / "profiles" / name / "config.yaml").read_text()


def profile(name: str) -> dict:
    return yaml.safe_load(re.sub(r"^\?if .*\n.*\n", "", text_of(name), flags=re.MULTILINE))


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_ends_with_the_settings_of_the_default_one(name):
    settings = text_of("default").split("keep-going", 1)[1]
    plain = re.sub(" *#.*", "", settings).split()
    assert re.sub(" *#.*", "", text_of(name).split("\nkeep-going", 1)[1]).split() == plain


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("attempt", [1, 2])
def test_all_queues_are_asked_for_the_same_memory_and_time(name, attempt):
    def asked(profile_name: str) -> dict[str, tuple]:
        content = profile(profile_name)
        common = content["default-resources"]
        rules = content["set-resources"]
        return {rule: limits({**common, **own}) for rule, own in {"all": {}, **rules}.items()}

    def limits(resources: dict) -> tuple:
        values = {"attempt": attempt, "threads": 3}
        memory = resources.get("mem_mb", resources.get("request_memory"))
        minutes = resources.get("runtime", f"({resources.get('allowed_execute_duration')}) / 60")
        return eval(str(memory), values), eval(str(minutes), values)

    assert asked(name) == asked("slurm")


def test_htcondor_is_asked_for_a_gpu_wherever_a_net_is_trained():
    rules = profile("htcondor")["set-resources"]
    asking = {rule for rule, resources in rules.items() if resources.get("request_gpus")}
    assert asking == set(rules) - {"prepare", "train_coarse"}
    # Resources that the plugin does not hand over.
    assert not {"mem_mb", "disk_mb", "runtime"} & {key for each in rules.values() for key in each}
