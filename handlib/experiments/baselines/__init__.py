"""The methods that the paper compares with, one file each, with a common interface.

    method = BASELINES[name].fit(train_config, out, FitOptions(cache=…))
    scores(predictions(method, data))

`fit` trains on the images, epochs and batches of a `TrainConfig`, which are the same for every method and for DHPE, and
resumes an interrupted run. Model fitting has nothing to train; it uses the J2D of a trained DHPE. `DHPEMethod` gives
DHPE the same interface.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from ...dhpe import DHPE
from ...training.train import TrainConfig, train
from .direct import direct
from .encoder_decoder import EncoderDecoder
from .handsegnet import HandSegNet
from .interface import DEFAULTS, DHPEMethod, Estimate, FitOptions, Method, View, measure, predictions, view_of
from .kanazawa import kanazawa
from .panteleris import Panteleris
from .pso import ParticleSwarm
from .segmentation import mask_run, of_equal_size
from .training import best_learning_rate, network_run, train_network, with_rates_times
from .zimmermann import untrained

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


def _as_given(config: TrainConfig) -> TrainConfig:
    return config  # that of the DHPE whose J2D is used


class Baseline(NamedTuple):
    """A network of its own, a fit to joints, or, with neither, a DHPE of another config."""

    title: str  # in tables
    gives: tuple[str, ...]  # the fields of `Estimate` that it fills
    used: Callable[[TrainConfig], TrainConfig] = _as_given  # converts a config to that of the run that `fit` makes
    network: Callable[[TrainConfig], nn.Module] | None = None  # of random weights
    fitted: Callable[[DHPE, int], Method] | None = None  # (whose J2D finds the joints, seed)

    @property
    def trained(self) -> bool:
        return self.fitted is None

    def fit(self, config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> Method:
        """Trains the method in the folder `out`; model fitting trains and writes nothing.

        Only a network of its own has a use for the data and the device of the options. Raises `ValueError` for model
        fitting without a detector.
        """
        if self.network:
            return train_network(lambda: self.network(config), config, out, options)
        if self.trained:
            return DHPEMethod(train(self.used(config), out, options.resume, options.cache, options.progress))
        if options.detector is None:
            raise ValueError("model fitting needs 2D joints: pass FitOptions(detector=…), a trained DHPE")
        return self.fitted(options.detector, config.seed)


_MESH = ("joints_cam", "vertices_cam", "mask")
BASELINES = {
    "direct": Baseline("direct regression of h", _MESH, direct),
    "kanazawa": Baseline("iterative regression from features (Kanazawa et al.)", _MESH, kanazawa),
    "zimmermann": Baseline("lifted heat maps (Zimmermann & Brox)", ("joints_cam",), network_run, untrained),
    "panteleris": Baseline("least squares on 2D joints (Panteleris et al.)", _MESH, fitted=Panteleris),
    "pso": Baseline("particle swarm (Oikonomidis et al.)", _MESH, fitted=ParticleSwarm),
    "handsegnet": Baseline("HandSegNet (Zimmermann & Brox)", ("mask",), mask_run, of_equal_size(HandSegNet)),
    "encoder-decoder": Baseline("plain encoder–decoder", ("mask",), mask_run, of_equal_size(EncoderDecoder)),
}
