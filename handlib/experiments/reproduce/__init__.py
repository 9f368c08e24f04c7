"""`handlib reproduce`: every table and figure of the paper, from runs to verdicts, by one command.

    experiments.py   what is compared: rows of tables, what each trains, which tables they make
    scales.py        how large it all is, for each profile
    hands.py         what is trained on and what is measured on: the benchmark, or real data sets
    equipment.py     weights, hand and backgrounds from outside, which all trainings share
    plan.py          the runs that are needed, what is there, how long the rest takes; shares for several machines
    run.py           does them, one results file for each (experiment, test set, seed)
    measure.py       from a method and a test set to the metrics and curves of a results file
    collection.py    results files, gathered: means and spreads over seeds
    tables.py        markdown
    figures.py       pictures
    verdict.py       the paper's claims, and whether they hold here, by a rule

Nothing here computes a loss or an error: training is `handlib.training.train`, `handlib.experiments.baselines` and
`handlib.experiments.ablate`, measuring `handlib.evaluation.evaluate` and `handlib.evaluation.protocols`. Tables and
figures are made from results files alone, and smoke runs never enter them.
"""

from .collection import Collection, read_collections
from .equipment import Equipment
from .experiments import EXPERIMENTS, TABLES, Experiment
from .plan import Plan, make_plan
from .scales import SCALES, Scale

__all__ = ["EXPERIMENTS", "SCALES", "TABLES", "Collection", "Equipment", "Experiment", "Plan", "Scale", "make_plan",
           "read_collections"]  # fmt: skip
