import numpy as np
import pytest
import torch
from reproduction import REAL, write_suite

from handlib.experiments import published
from handlib.experiments.reproduce import read_collections
from handlib.experiments.reproduce.collection import paired
from handlib.experiments.reproduce.sets import PUBLISHED
from handlib.experiments.reproduce.statistics import BOUNDED, CONTRADICTED, HOLDS, UNDECIDED, UNTESTABLE
from handlib.experiments.reproduce.verdict import CLAIMS, judge, verdict_table

NEVER = {"published", "others", "iqbal", "speed"}  # which no rendered hand can test
CACHED = {"refinement-do", "refiner", "evidence", "shape", "schedule-under", "schedule-error", "iterations"}


def suite(tmp_path, auc, **options):
    return next(iter(read_collections(write_suite(tmp_path, auc, **options)).values()))


ORDER = ("full", "no_test_refinement", "no_refiner", "no_evidence_losses", "rows-refined", "rows-full", "rows-both",
         "rows-scheduled")  # fmt: skip


def as_the_paper(job):
    """Each of ORDER better than the next, the others worse than all."""
    rank = ORDER.index(job.experiment.name) if job.experiment.name in ORDER else 9
    return 0.9 - 0.05 * rank + 0.002 * job.seed + 0.0001 * rank * job.seed


def few(job):
    """To have fewer files to write."""
    return job.seed > 2


def test_all_as_the_paper_says(tmp_path):
    found = judge(suite(tmp_path, as_the_paper, profile="workstation", leave_out=few))
    assert {name for name, judgment in found.items() if judgment.verdict == HOLDS} == found.keys() - NEVER
    assert all(found[name].verdict == UNTESTABLE for name in NEVER)
    assert all(("cached evidence" in found[name].found) == (name in CACHED) for name in found.keys() - NEVER)


def test_all_the_other_way_round(tmp_path):
    runs = suite(tmp_path, lambda job: 1 - as_the_paper(job), profile="workstation", leave_out=few, gain_mm=-100.0)
    found = judge(runs)
    assert {name for name, judgment in found.items() if judgment.verdict == CONTRADICTED} == found.keys() - NEVER


def test_alike_is_bounded(tmp_path):
    found = judge(suite(tmp_path, lambda job: 0.5 + 0.001 * (job.seed % 2) * (job.experiment.name > "n")))
    assert found["augmentation"].verdict == found["swarm"].verdict == BOUNDED


def test_what_is_undecided_says_what_it_needs(tmp_path):
    def noisy(job):
        return 0.5 + (0.1 * (-1) ** job.seed if job.experiment.name == "no_augmentation" else 0)

    found = judge(suite(tmp_path, noisy))["augmentation"]
    assert found.verdict == UNDECIDED and found.needed[1] > 100
    assert f"to decide: {found.needed[0]:,} hands a test set and {found.needed[1]} seeds" in found.found


def test_what_needs_no_hands_says_how_many_seeds(tmp_path):
    """A share of the training hands is one number a seed."""

    def noisy(job):
        return 0.5 + (0.1 * (-1) ** job.seed if job.experiment.name == "rows-scheduled" else 0)

    found = judge(suite(tmp_path, noisy))["schedule-under"]
    assert found.verdict == UNDECIDED and f"to decide: {found.needed[1]} seeds" in found.found


@pytest.mark.parametrize("under", [0.02, 0.8])
def test_starts_at_which_the_switch_does_nothing_say_nothing_of_it(tmp_path, under):
    found = judge(suite(tmp_path, as_the_paper, under=under))
    for name in ("schedule-under", "schedule-error"):
        assert found[name].verdict == UNTESTABLE
        assert found[name].found == "the curves of the runs do not begin with 10% to 60% of the training hands under T"


def test_two_seeds_decide_nothing(tmp_path):
    found = judge(suite(tmp_path, as_the_paper, leave_out=lambda job: job.seed > 1))
    assert all(judgment.verdict in (UNTESTABLE, UNDECIDED) for judgment in found.values())
    assert "3 seeds at least" in found["augmentation"].found


def test_without_the_errors_of_hands_nothing_is_judged(tmp_path):
    """Such as a results file that was copied without the file beside it."""
    write_suite(tmp_path, as_the_paper)
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    found = judge(read_collections(tmp_path)["laptop"])
    assert all(judgment.verdict == UNTESTABLE for name, judgment in found.items() if name != "schedule-under")
    assert "without the errors" in found["augmentation"].found


def test_errors_of_another_run_are_refused(tmp_path):
    write_suite(tmp_path, as_the_paper, leave_out=lambda job: job.experiment.name != "full")
    first, second = sorted(tmp_path.glob("*.safetensors"))[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match=f"{first.name}: not the errors"):
        read_collections(tmp_path)


def test_what_was_not_run_is_named(tmp_path):
    found = judge(suite(tmp_path, as_the_paper, leave_out=lambda job: job.experiment.name == "pso"))
    assert found["swarm"].verdict == UNTESTABLE and "not run: `handlib reproduce all" in found["swarm"].found
    assert found["zimmermann"].verdict == HOLDS


@pytest.mark.parametrize("level, verdict", [(0.9, HOLDS), (0.5, CONTRADICTED)])
def test_published_accuracy_needs_real_data(tmp_path, level, verdict):
    found = judge(suite(tmp_path, lambda job: level - 0.001 * job.seed, data=REAL))["published"]
    assert found.verdict == verdict


def test_an_accuracy_just_below_the_published_one_reaches_it(tmp_path, monkeypatch):
    """Within the bound of the rule, so that "bounded" would say less than was found."""

    def scores(job, auc, gain_mm):
        return {"auc": torch.full((4,), auc - 0.004 + 0.0005 * job.seed).half()}

    monkeypatch.setattr("reproduction.hands", scores)
    runs = suite(tmp_path, lambda job: published.find(published.OURS, PUBLISHED[job.test]).value, data=REAL,
                 leave_out=lambda job: job.experiment.name != "full" or job.test == "val")  # fmt: skip
    assert judge(runs)["published"].verdict == HOLDS


@pytest.mark.parametrize("data, verdict", [("do:/there/DO", UNTESTABLE), (REAL, HOLDS)])
def test_a_test_set_without_a_root_says_nothing_of_the_steps(tmp_path, data, verdict):
    found = judge(suite(tmp_path, as_the_paper, data=data))["iterations"]
    assert found.verdict == verdict and "do +" not in found.found


def test_what_no_hand_can_tell_is_no_difference():
    """Such as errors at the root of frames without one."""
    unknown, known = ({seed: np.full(4, value) for seed in range(3)} for value in (np.nan, 1.0))
    assert paired([(known, unknown)]) == [] and paired([(known, known), (known, unknown)]) == []


def test_the_table_says_rule_and_numbers(tmp_path):
    table = verdict_table(suite(tmp_path, as_the_paper))
    assert len(table.rows) == len(CLAIMS) and all(all(row) for row in table.rows)
    row = next(row for row in table.rows if "augmentation" in row[0])
    assert "diverse +0.39" in row[3] and "3 seeds" in row[3] and row[4] == "**holds**"
    assert "Holm" in table.markdown() and "rendered hands" in table.markdown()
