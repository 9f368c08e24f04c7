import pytest
from reproduction import REAL, write_suite

from handlib.experiments.reproduce import read_collections
from handlib.experiments.reproduce.collection import Value
from handlib.experiments.reproduce.verdict import CLAIMS, FAILS, HOLDS, UNTESTABLE, better, shown, verdict_table, word

SYNTHETIC = {"published", "others", "iqbal", "speed"}  # which no rendered hand can test


def judged(runs):
    return {claim.name: claim.judge(runs) for claim in CLAIMS}


def suite(tmp_path, auc, **options):
    return next(iter(read_collections(write_suite(tmp_path, auc, **options)).values()))


ORDER = ("full", "no_test_refinement", "no_refiner", "no_evidence_losses")  # each better than the next


def as_the_paper(job):
    rank = ORDER.index(job.experiment.name) if job.experiment.name in ORDER else 5
    return 0.9 - 0.05 * rank + 0.02 * job.seed + 0.001 * rank * job.seed


def test_a_difference_must_stand_out_of_the_seeds():
    assert shown(Value.of([0.03, 0.03, 0.04])) is True
    assert shown(Value.of([0.03, -0.02, 0.04])) is False and shown(Value.of([-0.03, -0.03, -0.04])) is False
    assert shown(Value.of([0.03])) is None and shown(None) is None
    assert shown(Value.of([0.0, 0.0, 0.0])) is False


def test_all_as_the_paper_says(tmp_path):
    found = judged(suite(tmp_path, as_the_paper))
    assert {name for name, judgment in found.items() if judgment.verdict == HOLDS} == found.keys() - SYNTHETIC
    assert all(found[name].verdict == UNTESTABLE for name in SYNTHETIC)


def test_all_the_other_way_round(tmp_path):
    found = judged(suite(tmp_path, lambda job: 1 - as_the_paper(job), gain_mm=-1.0, scheduled_mm=34.0))
    assert {name for name, judgment in found.items() if judgment.verdict == FAILS} == found.keys() - SYNTHETIC


def test_all_alike_does_not_hold(tmp_path):
    found = judged(suite(tmp_path, lambda job: 0.5, gain_mm=0.0, scheduled_mm=32.0))
    assert not any(judgment.verdict == HOLDS for judgment in found.values())


def test_one_seed_tests_nothing(tmp_path):
    found = judged(suite(tmp_path, as_the_paper, leave_out=lambda job: job.seed > 0))
    assert all(judgment.verdict == UNTESTABLE for judgment in found.values())
    assert "1 seed)" in found["augmentation"].found


def test_what_was_not_run_is_named(tmp_path):
    runs = suite(tmp_path, as_the_paper, leave_out=lambda job: job.experiment.name in ("pso", "schedule"))
    found = judged(runs)
    assert found["fitting"].verdict == UNTESTABLE and "not run: particle swarm" in found["fitting"].found
    assert found["schedule"].verdict == UNTESTABLE and "--only schedule" in found["schedule"].found
    assert found["zimmermann"].verdict == HOLDS


def test_it_must_hold_on_every_set(tmp_path):
    """One that refutes it outweighs one that was not run."""

    def auc(job):
        worse = job.experiment.name == "full" and job.test == "studio"
        return as_the_paper(job) - (0.5 if worse else 0)

    runs = suite(tmp_path, auc)
    assert judged(runs)["zimmermann"].verdict == FAILS  # RHD and SHD
    assert judged(runs)["segmentation"].verdict == HOLDS  # RHD alone
    assert better("full", "pso", ("DO",))(runs).verdict == HOLDS
    assert better("full", "pso", ("nothing",))(runs).verdict == UNTESTABLE


def test_less_may_be_better(tmp_path):
    runs = suite(tmp_path, as_the_paper)
    assert better("full", "pso", ("RHD",), sign=-1)(runs).verdict == FAILS
    assert better("pso", "full", ("RHD",), sign=-1)(runs).verdict == HOLDS


@pytest.mark.parametrize("level, verdict", [(1.0, HOLDS), (0.5, FAILS)])
def test_published_accuracy_needs_real_data(tmp_path, level, verdict):
    runs = suite(tmp_path, lambda job: level - 0.001 * job.seed, data=REAL)
    found = judged(runs)["published"]
    assert found.verdict == verdict and "0.926 (published)" in found.found


def test_saturation(tmp_path):
    """A fall that has not ended half-way."""
    runs = suite(tmp_path, as_the_paper)
    for record in runs.records:
        if "refinement" in record["curves"]:
            curve = record["curves"]["refinement"]
            curve["joints_root_mean_mm"] = [30 - 0.1 * k * (1 + 0.01 * record["seed"]) for k in curve["iteration"]]
    assert judged(runs)["iterations"].verdict == FAILS and "50% of it in half" in judged(runs)["iterations"].found


def test_the_table_says_rule_and_numbers(tmp_path):
    table = verdict_table(suite(tmp_path, as_the_paper))
    assert len(table.rows) == len(CLAIMS) and all(all(row) for row in table.rows)
    row = next(row for row in table.rows if "augmentation" in row[0])
    assert "diverse: +0.196 ± 0.004" in row[3] and "(3 seeds)" in row[3] and row[4] == "**holds**"
    assert "Student's t" in table.markdown() and "rendered hands" in table.markdown()


def test_a_difference_in_a_word():
    assert word(Value.of([0.03, 0.02, 0.04])) == "helps" and word(Value.of([-0.03, -0.02, -0.04])) == "hurts"
    assert word(Value.of([0.03, -0.01, 0.04]), "A", "B") == "too close to tell"
    assert word(Value.of([0.03, 0.02, 0.04]), "A", "B") == "A"
    assert word(Value.of([0.03])) == "too few seeds"  # nobody knows how far it would move
