import pytest

from handlib.teaching import NotYet, check


@pytest.mark.parametrize(
    "parts, said",
    [
        (5, "three lists"),
        ([5, 5, 5], "three lists"),
        ([["full"], ["direct"], ["nothing"]], "'nothing' is no experiment"),
    ],
)
def test_shares_that_are_none_are_told(parts, said):
    with pytest.raises(NotYet, match=said):
        check("reproducing-shares", parts)
