# From data to tables: every run of a suite (suite.py) in a process of its own, in an order that Snakemake finds.
#
# Snakemake, because a run is files that need other files: it plans, shows the plan (--dry-run), goes on with what is
# there, fills the cores of a machine (--cores N), and by its plugins a cluster (--executor slurm). `handlib reproduce`
# starts it; the options of the suite are `config`.

import shlex
import sys

from handlib.experiments.reproduce.suite import suite_of

suite = suite_of(config)
command = shlex.join([sys.executable, "-m", "handlib.experiments.reproduce", f"{suite.out}/options.json"])


rule tables:
    default_target: True
    input: [path for run in suite.runs for path in run.makes]
    shell: "{command} {rule}"


for run in suite.runs:

    rule:
        name: run.name
        input: [path for name in run.needs for path in suite.run(name).makes]
        output: run.makes
        threads: 1
        priority: 100 - run.seed  # an interrupted suite has whole tables of fewer seeds
        resources: gpu=1, runs=1  # "runs" counts what --cores allows at once
        shell: "{command} {rule}"
