# What all rules share and only Snakemake can do. Paths, needs and parameters: ddcnn.experiment.
import os
import sys
from functools import partial
from pathlib import Path

PACKAGE_FOLDER = str(Path(workflow.basedir) / "workflow")
# PYTHONPATH would be cut in two at the first, and jobs would run the code of another checkout;
# the others Snakemake takes for names of its own.
for character in (os.pathsep, "{", "}"):
    if character in PACKAGE_FOLDER:
        sys.exit(
            f"Error: the folder {workflow.basedir} has a {character!r} in its name; rename it."
        )
sys.path.insert(0, PACKAGE_FOLDER)
# Jobs find the package of this checkout, in whatever environment they run.
earlier = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
os.environ.update(PYTHONPATH=os.pathsep.join(dict.fromkeys([PACKAGE_FOLDER, *earlier])))

from snakemake.logging import logger

from ddcnn import nets
from ddcnn.base import events
from ddcnn.base.digests import code_digest
from ddcnn.base.disk import require_writable
from ddcnn.base.errors import InputError
from ddcnn.base.process import count_gpus
from ddcnn.experiment import parameters
from ddcnn.experiment.configuration import load_experiment
from ddcnn.experiment.packed_rules import AWAITED, RULE, local_rules
from ddcnn.experiment.needs import inputs_of
from ddcnn.experiment.jobs import gpus_of, wanted
from ddcnn.experiment.paths import (
    BENCHMARKS,
    LOGS,
    LOGS_FOLDER,
    RESULTS,
    WILDCARDS,
    outputs_of,
    paths_of,
)
from ddcnn.experiment.records import keep_with_results, require_records
from ddcnn.experiment.started import note_start
from ddcnn.experiment.written import read_configuration
from ddcnn.local.subdomain import trainer_name
from ddcnn.parallel.check import check_ways
from ddcnn.training.slots import jobs_per_gpu

CONDA_ENVIRONMENT = Path(workflow.basedir) / "envs" / "ddcnn.yaml"

try:
    for path in map(Path, workflow.configfiles):
        if path.suffix != ".json":
            read_configuration(path)
    EXPERIMENT = load_experiment(config)
    PLACES = count_gpus() * jobs_per_gpu() if workflow.is_main_process else 0
    if workflow.is_main_process:  # it takes seconds, and jobs need not look again
        check_ways(parameters.parallel_trainings(EXPERIMENT))
except InputError as error:
    mistakes = [f"Error in the configuration: {line}" for line in str(error).splitlines()]
    sys.exit("\n".join([*mistakes, "Every key is described in config/README.md."]))
keep_with_results()
if workflow.is_main_process and not {"--touch", "-t"}.intersection(sys.argv):
    try:
        require_records()
    except InputError as error:
        sys.exit(f"Error: {error}")
OUTPUTS = outputs_of(EXPERIMENT.folds)
# With all defaults: jobs read from it what changes no result, and so is no parameter of a rule.
config |= EXPERIMENT.settings

# In the environment and in no parameter: who watches a training does not repeat it.
if EXPERIMENT.settings["log"] == "tensorboard":
    os.environ[events.VARIABLE] = str(events.FOLDER)

COHERENT_CODE = code_digest("coarse.joint", script="train_coherent")
PARALLEL_CODE = code_digest("parallel.stage", script="train_parallel")
# One digest a net, and one of what trains it: an edit of another net re-runs nothing.
ARCHITECTURES = dict.fromkeys(run.architecture for run in EXPERIMENT.trained)
NET_CODE = {name: nets.code_of(name) for name in ARCHITECTURES}
LOCAL_CODE = {name: f"{code_digest(trainer_name(name))} {NET_CODE[name]}" for name in ARCHITECTURES}
LOCAL_RULES = local_rules(
    [run.tiling for run in EXPERIMENT.trained], EXPERIMENT.settings["tiles_per_job"]
)


# On this machine no more jobs start than have a place on a GPU: others would only wait for one.
if PLACES and workflow.resource_settings.nodes is None:
    workflow.global_resources.setdefault("gpu", PLACES)


def as_asked(resource):
    """What the command line or a profile asks, as a rule's own function of its jobs."""

    def value(wildcards, **job):
        return resource.evaluate(wildcards, **job).value

    return value


# What is asked for train_local holds for the rules of packs, too.
ASKED = workflow.resource_settings
LOCAL_RESOURCES = {"gpu": gpus_of(EXPERIMENT, RULE)} | {
    name: as_asked(resource) for name, resource in ASKED.overwrite_resources.get(RULE, {}).items()
}
LOCAL_THREADS = as_asked(ASKED.overwrite_threads[RULE]) if RULE in ASKED.overwrite_threads else 1


wildcard_constraints:
    **WILDCARDS,


def files_wanted():
    """The report, and the models of all runs."""
    return [path for node in wanted(EXPERIMENT) for path in node.outputs]


def needs(rule):
    """The inputs of a rule's jobs, by name."""
    return unpack(partial(inputs_of, EXPERIMENT, rule))


def of_job(function):
    """A function of the experiment and a job's wildcards, as Snakemake calls it."""
    return partial(function, EXPERIMENT)


def local_code(script):
    """Changes when the code of a local net's job does, that of its architecture included."""
    own = code_digest(script=script)
    return lambda wildcards: f"{own} {LOCAL_CODE[EXPERIMENT.net_run_of(wildcards).architecture]}"


def local_code_of_run(wildcards):
    """Changes when the code of a run's local nets does."""
    return LOCAL_CODE[EXPERIMENT.run_of(wildcards).architecture]


def joint_code(wildcards):
    """Changes when the code of the trainings as one model does."""
    return f"{COHERENT_CODE} {NET_CODE[EXPERIMENT.run_of(wildcards).architecture]}"


def parallel_code(wildcards):
    """Changes when the code of a training by several workers does."""
    return f"{PARALLEL_CODE} {NET_CODE[EXPERIMENT.net_run_of(wildcards).architecture]}"


def workers_of(wildcards):
    """Of a training: as many cores, and GPUs, if it is to have any."""
    return int(wildcards.workers)


def headline():
    """The three figures that matter, and where the report is."""
    from ddcnn.report.summary import headline as headline_of

    summary = Path(paths_of("report", "summary", {"experiment": EXPERIMENT.name}))
    return "\n".join(headline_of(summary)) if summary.is_file() else "Done."


def announce():
    """Tell status and the logger of this project what runs, and which files each job writes."""
    note_start(EXPERIMENT)
    jobs = {job.jobid: [str(path) for path in job.output] for job in workflow.dag.needrun_jobs()}
    logger.info("", extra={"experiment": EXPERIMENT, "outputs": jobs})


def sum_up(text):
    """Last words, through Snakemake's logger: they stand after what it has said before."""
    logger.info(text, extra={"sums_up": True})


def check_folders():
    """Stop before the first job where results or logs cannot be written."""
    results = Path(RESULTS)
    try:
        require_writable(results, *results.glob("*/"), Path(LOGS_FOLDER))
    except InputError as error:
        sys.exit(f"Error: {error}")


def advice_after_error():
    return """\
Nothing that is finished is lost. Put right what the log of a failed job says,
and run the same command again: interrupted trainings go on from their
checkpoint. If Snakemake says that the folder is locked: snakemake --unlock"""
