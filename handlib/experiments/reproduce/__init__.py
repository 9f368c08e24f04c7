"""`handlib reproduce`: every table and figure of the paper, from runs to verdicts, by one command.

    experiments.py   what is compared: rows of tables, what each trains, which tables they make
    sets.py          names of test sets
    scales.py        how large it all is, for each profile
    hands.py         what is trained on and what is measured on: the benchmark, or real data sets
    equipment.py     weights, hand and backgrounds from outside, which all trainings share
    suite.py         the runs that are needed, what each makes and needs; rules.smk, by which Snakemake does them
    run.py           does one: what is trained from pictures
    evidence.py      evidence of frozen networks, cached once; rows.py, the variants that learn from it; rows_run.py
    measure.py       from a method and a test set to the metrics, curves and errors of hands of a results file
    records.py       what each results file says about itself
    collection.py    results files, gathered
    statistics.py    whether a difference is real: the rules
    tables.py        markdown
    figures.py       pictures
    verdict.py       the paper's claims, and whether they hold here
    show.py          all of these, from results files alone

Training is `handlib.training.train`, `handlib.experiments.baselines` and rows.py, measuring
`handlib.evaluation.evaluate` and `handlib.evaluation.protocols`. Smoke runs never enter a table. What is imported here
trains nothing: suite.py and run.py are imported where runs are made.
"""

from .collection import Collection, read_collections
from .experiments import EXPERIMENTS, TABLES, Experiment

__all__ = ["EXPERIMENTS", "TABLES", "Collection", "Experiment", "read_collections"]
