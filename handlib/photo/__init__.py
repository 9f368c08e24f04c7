"""A user's photograph or video: reading it, finding its hands, estimating and tracking them, writing them."""
