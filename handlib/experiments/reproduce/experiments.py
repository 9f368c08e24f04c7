"""What is compared. An experiment is a row of a table: a method that is trained, perhaps refined, and measured.

Several experiments may share one training: "without test-time refinement" is the full method, measured earlier.
"""

from typing import NamedTuple

from ..ablation import ABLATIONS, Ablation
from ..baselines import BASELINES


class Experiment(NamedTuple):
    """training: the run that it needs, by name: "full", a row of `ABLATIONS`, a baseline, or "schedule", the study of
    Eq. 12 (handlib.experiments.ablate), whose curves are those of its training."""

    name: str
    title: str  # as in a table
    training: str
    refined: bool = False  # Eq. 13, before it is measured


class Table(NamedTuple):
    """A table or figure of the paper, or one that it could not make."""

    title: str
    where: str  # in the paper
    experiments: tuple[str, ...]


_TITLES = {
    "full": "DHPE",
    "no_test_refinement": "without test refinement",
    "no_augmentation": "without test refinement and augmentation",
    "no_refiner": "without test refinement and pose refiner",
    "no_evidence_losses": "without test refinement and 2D losses (Kanazawa et al.)",
    "no_shape_loss": "without shape loss",
}
_KANAZAWA = ("no_evidence_losses", "kanazawa")  # the row of the ablations that is also a baseline: one run for both
NETWORKS = ("zimmermann", "handsegnet", "encoder-decoder")  # trained by a loop of their own; the others by DHPE's
FITTED = ("panteleris", "pso")  # model fitting: on the 2D joints of the full method's J2D


def _trained(ablation: Ablation) -> tuple[bool, ...]:
    """What a training depends on."""
    return tuple(value for name, value in vars(ablation).items() if name != "test_refinement")


def _ablated(name: str) -> Experiment:
    same = _trained(ABLATIONS[name]) == _trained(ABLATIONS["full"])
    training = "full" if same else _KANAZAWA[1] if name == _KANAZAWA[0] else name
    return Experiment(name, _TITLES[name], training, ABLATIONS[name].test_refinement)


_OTHERS = [(name, baseline) for name, baseline in BASELINES.items() if name != _KANAZAWA[1]]
EXPERIMENTS = {
    e.name: e
    for e in (
        *map(_ablated, _TITLES),
        *(Experiment(name, b.title, "full" if name in FITTED else name) for name, b in _OTHERS),
        Experiment("schedule", "weight of the shape loss, Eq. 12 against constant", "schedule"),
    )
}

_COMPARED = ("full", "no_test_refinement", "direct", "no_evidence_losses", "zimmermann", "panteleris", "pso")
TABLES = {
    "results": Table("Accuracy beside other methods", "Fig. 5a–c", _COMPARED),
    "ablations": Table("What each part is worth", "Fig. 5d, e", tuple(_TITLES)),
    "schedule": Table("When the shape loss counts", "Fig. 5f", ("schedule",)),
    "iterations": Table("Steps of test-time refinement", "Fig. 5e", ("full",)),
    "segmentation": Table(
        "Segmentation in four criteria", "Table 2", ("full", "no_test_refinement", "handsegnet", "encoder-decoder")
    ),
    "joints": Table("Error of each joint", "not in the paper", ("full",)),
    "tones": Table("Error by skin tone", "not in the paper", ("full",)),
    "mesh": Table(
        "Dense vertex error", "not in the paper: its data have no meshes",
        tuple(name for name in _COMPARED if name != "zimmermann"),
    ),
    "cost": Table("What the trainings were", "not in the paper", tuple(EXPERIMENTS)[:-1]),
    "verdict": Table("What the paper claims, and what holds here", "Sec. 4", tuple(EXPERIMENTS)),
}  # fmt: skip


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
