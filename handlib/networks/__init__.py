"""Networks: the paper's F and J2D, the published networks for photographs, and the readers of their weights."""
