"""The methods that the paper compares with, one file each, with a common interface.

    method = BASELINES[name].fit(train_config, out, FitOptions(cache=…))
    scores(predictions(method, data))

`fit` trains on the images, epochs and batches of a `TrainConfig`, which are the same for every method and for DHPE, and
resumes an interrupted run. Model fitting has nothing to train; it uses the J2D of a trained DHPE. `DHPEMethod` gives
DHPE the same interface.
"""

from collections.abc import Callable
from typing import NamedTuple

from ...training.profiles import TrainConfig
from . import direct, encoder_decoder, handsegnet, kanazawa, panteleris, pso, zimmermann
from .interface import DHPEMethod, Estimate, FitOptions, Method, View, measure, predictions, view_of
from .segmentation import mask_run
from .training import best_learning_rate, network_run, train_network, with_rates_times

__all__ = [
    "BASELINES",
    "Baseline",
    "DHPEMethod",
    "Estimate",
    "FitOptions",
    "Method",
    "View",
    "best_learning_rate",
    "measure",
    "predictions",
    "train_network",
    "view_of",
    "with_rates_times",
]


class Baseline(NamedTuple):
    title: str  # in tables
    fit: Callable[..., Method]  # (TrainConfig, folder of the run, FitOptions) → Method
    used: Callable[[TrainConfig], TrainConfig]  # converts a config to that of the run that `fit` makes
    gives: tuple[str, ...]  # the fields of `Estimate` that it fills
    trained: bool  # False: model fitting on the joints of `FitOptions.detector`


def _as_given(config: TrainConfig) -> TrainConfig:
    return config  # that of the DHPE whose J2D is used


_MESH = ("joints_cam", "vertices_cam", "mask")
BASELINES = {
    "direct": Baseline("direct regression of h", direct.fit, direct.direct, _MESH, True),
    "kanazawa": Baseline(
        "iterative regression from features (Kanazawa et al.)", kanazawa.fit, kanazawa.kanazawa, _MESH, True
    ),
    "zimmermann": Baseline("lifted heat maps (Zimmermann & Brox)", zimmermann.fit, network_run, ("joints_cam",), True),
    "panteleris": Baseline("least squares on 2D joints (Panteleris et al.)", panteleris.fit, _as_given, _MESH, False),
    "pso": Baseline("particle swarm (Oikonomidis et al.)", pso.fit, _as_given, _MESH, False),
    "handsegnet": Baseline("HandSegNet (Zimmermann & Brox)", handsegnet.fit, mask_run, ("mask",), True),
    "encoder-decoder": Baseline("plain encoder–decoder", encoder_decoder.fit, mask_run, ("mask",), True),
}
