"""How far an estimate can be trusted."""

from jaxtyping import Float
from torch import Tensor

from ..networks.landmarks import HandEvidence


def confidences(
    evidence: HandEvidence, residual: Float[Tensor, "n 21"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 21"]]:
    """Score of each hand and confidence of each joint."""
    score = evidence.presence
    return score, score[:, None].expand(-1, 21).contiguous()
