"""What is compared. An experiment is a row of a table: a method that is trained, perhaps refined, and measured.

Two kinds. *Pixels*: everything is trained from pictures, by `training.train` and `baselines`. *Cached evidence*: F and
J2D are frozen networks, whose answers are kept once (rows.py), so that E3D, Ref, the losses and Eq. 13 are studied on
thousands of hands and many seeds in minutes. Several experiments may share one training: "without test-time refinement"
is the full method, measured earlier.
"""

from typing import NamedTuple


class Experiment(NamedTuple):
    """training: the run that it needs, by name: "full", a row of `ABLATIONS`, a baseline, "schedule", the study of
    Eq. 12 (handlib.experiments.ablate), whose curves are those of its training, or a row of `rows.VARIANTS`."""

    name: str
    title: str  # as in a table
    training: str
    refined: bool = False  # Eq. 13, before it is measured

    @property
    def cached(self) -> bool:
        """Whether it is on cached evidence."""
        return self.training.startswith(CACHED)


class Table(NamedTuple):
    """A table or figure of the paper, or one that it could not make."""

    where: str  # in the paper
    experiments: tuple[str, ...]


CACHED = "rows-"
NETWORKS = ("zimmermann", "handsegnet", "encoder-decoder")  # trained by a loop of their own; the others by DHPE's
FITTED = ("panteleris", "pso")  # model fitting: on the 2D joints of the full method's J2D
EXPERIMENTS = {
    e.name: e
    for e in (
        Experiment("full", "DHPE", "full", True),
        Experiment("no_test_refinement", "without test refinement", "full"),
        Experiment("no_augmentation", "without test refinement and augmentation", "no_augmentation"),
        Experiment("no_refiner", "without test refinement and pose refiner", "no_refiner"),
        # the row of the ablations that is also a baseline: one run for both
        Experiment("no_evidence_losses", "without test refinement and 2D losses (Kanazawa et al.)", "kanazawa"),
        Experiment("no_shape_loss", "without shape loss", "no_shape_loss", True),
        Experiment("direct", "direct regression of h", "direct"),
        Experiment("zimmermann", "lifted heat maps (Zimmermann & Brox)", "zimmermann"),
        Experiment("panteleris", "least squares on 2D joints (Panteleris et al.)", "full"),
        Experiment("pso", "particle swarm (Oikonomidis et al.)", "full"),
        Experiment("handsegnet", "HandSegNet (Zimmermann & Brox)", "handsegnet"),
        Experiment("encoder-decoder", "plain encoder–decoder", "encoder-decoder"),
        Experiment("schedule", "weight of the shape loss, Eq. 12 against constant", "schedule"),
        Experiment("rows-full", "E3D and Ref, without test refinement", "rows-full"),
        Experiment("rows-refined", "with test refinement", "rows-full", True),
        Experiment("rows-no_refiner", "without pose refiner", "rows-no_refiner"),
        Experiment("rows-one_iteration", "one iteration instead of three", "rows-one_iteration"),
        Experiment("rows-no_shape_loss", "without shape loss", "rows-no_shape_loss"),
        Experiment("rows-no_features", "without F", "rows-no_features"),
        Experiment("rows-shuffled_features", "control: F of other hands", "rows-shuffled_features"),
        Experiment("rows-both", "F and 2D joints, not lifted, no refiner", "rows-both"),
        Experiment("rows-features", "F alone, else equal (Kanazawa et al.)", "rows-features"),
        Experiment("rows-scheduled", "half lifted, shape loss by Eq. 12", "rows-scheduled"),
        Experiment("rows-constant", "half lifted, shape loss from the start", "rows-constant"),
    )
}
_ABLATED = ("full", "no_test_refinement", "no_augmentation", "no_refiner", "no_evidence_losses", "no_shape_loss")
_COMPARED = ("full", "no_test_refinement", "direct", "no_evidence_losses", "zimmermann", "panteleris", "pso")
TABLES = {
    "results": Table("Fig. 5a–c", _COMPARED),
    "ablations": Table("Fig. 5d, e", _ABLATED),
    "cached": Table("Fig. 5d–f", tuple(name for name, e in EXPERIMENTS.items() if e.cached)),
    "schedule": Table("Fig. 5f", ("schedule",)),
    "iterations": Table("Fig. 5e", ("full",)),
    "segmentation": Table("Table 2", ("full", "no_test_refinement", "handsegnet", "encoder-decoder")),
    "joints": Table("not in the paper", ("full",)),
    "tones": Table("not in the paper", ("full",)),
    "mesh": Table("not in the paper: its data have no meshes", tuple(n for n in _COMPARED if n != "zimmermann")),
    "cost": Table("not in the paper", tuple(n for n, e in EXPERIMENTS.items() if not e.cached and n != "schedule")),
    "verdict": Table("Sec. 4", tuple(EXPERIMENTS)),
}


def chosen(table: str, only: tuple[str, ...] = ()) -> tuple[Experiment, ...]:
    """The experiments of a table, or of "all"; of these the ones named in `only`, if any are.

    `ValueError` for a name that is none, or an experiment that the table does not have.
    """
    if table != "all" and table not in TABLES:
        raise ValueError(f"unknown table '{table}': choose all, {', '.join(TABLES)}")
    names = tuple(EXPERIMENTS) if table == "all" else TABLES[table].experiments
    for name in only:
        if name not in names:
            raise ValueError(f"'{name}' is no experiment of '{table}': choose from {', '.join(names)}")
    return tuple(EXPERIMENTS[name] for name in names if not only or name in only)


def tests_of(experiment: Experiment, tests: tuple[str, ...]) -> tuple[str, ...]:
    """Where an experiment is measured: the study of Eq. 12 on the validation hands, as its training goes on."""
    return ("val",) if experiment.training == "schedule" else tests
