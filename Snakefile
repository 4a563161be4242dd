# ddcnn: image classifiers by domain decomposition. This file is the table of contents.
from snakemake.utils import min_version

min_version("9.20")

# With --configfile the quickstart's values are not read: a file means what it says.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/tiles.smk"
include: "workflow/rules/local.smk"
include: "workflow/rules/coarse.smk"
include: "workflow/rules/parallel.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/bundle.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        files_wanted(),


onstart:
    check_folders()
    announce()


onsuccess:
    sum_up(headline())


onerror:
    sum_up(advice_after_error())
