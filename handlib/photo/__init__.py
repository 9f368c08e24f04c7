"""A user's photograph or video: reading it, finding its hands, estimating them, writing them."""

from .legacy import *  # noqa
from .legacy import Photo, crop_photo, predict, read_image, write_prediction  # noqa
