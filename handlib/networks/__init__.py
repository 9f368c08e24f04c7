"""Networks that give evidence: 21 points and features of a hand, and where in a photograph the hands are."""
