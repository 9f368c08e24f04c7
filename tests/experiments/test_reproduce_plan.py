from dataclasses import replace

import pytest
from reproduction import REAL, write_suite

from handlib.experiments.ablation import ABLATIONS
from handlib.experiments.baselines import BASELINES
from handlib.experiments.reproduce import EXPERIMENTS, SCALES, TABLES, Equipment, make_plan, read_collections
from handlib.experiments.reproduce.experiments import chosen
from handlib.experiments.reproduce.hands import Hands, parse_data
from handlib.experiments.reproduce.plan import rated_as

GIVEN = Equipment("/a/posenet.pickle", "/b/MANO_RIGHT.pkl", "paper", "nyu:/c/nyu depth.mat")
SPEED = 32.0  # hands a second in joint training at the laptop profile, of one core


def plan_of(tmp_path, table="all", profile="laptop", data="", only=(), shard=""):
    return make_plan(table, profile, parse_data(data), tmp_path, only, shard)


def test_tables_and_trainings_are_known():
    for table in TABLES.values():
        assert set(table.experiments) <= EXPERIMENTS.keys()
    for experiment in EXPERIMENTS.values():
        assert experiment.training in ABLATIONS or experiment.training in BASELINES or experiment.training == "schedule"
    assert {e.training for e in EXPERIMENTS.values()} >= BASELINES.keys() - {"panteleris", "pso"}
    used = set(ABLATIONS) - {"constant_shape_weight"}  # which the study of Eq. 12 trains
    assert used <= EXPERIMENTS.keys()


def test_rows_that_differ_at_test_time_share_a_training():
    assert EXPERIMENTS["full"].training == EXPERIMENTS["no_test_refinement"].training == "full"
    assert EXPERIMENTS["full"].refined and not EXPERIMENTS["no_test_refinement"].refined
    assert EXPERIMENTS["no_augmentation"].training == "no_augmentation"


def test_a_job_for_each_experiment_test_and_seed(tmp_path):
    plan = plan_of(tmp_path)
    jobs = [job for unit in plan.units for job in unit.jobs]
    assert len({job.record for job in jobs}) == len(jobs)
    wanted = {(name, test, seed) for name in EXPERIMENTS for seed in (0, 1, 2)
              for test in (("val",) if name == "schedule" else ("diverse", "studio", "object"))}  # fmt: skip
    assert {(job.experiment.name, job.test, job.seed) for job in jobs} == wanted
    assert len({unit.name for unit in plan.units}) == len(plan.units)
    assert [unit.seed for unit in plan.units] == sorted(unit.seed for unit in plan.units)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_shards_are_disjoint_and_together_all(tmp_path, n):
    whole = plan_of(tmp_path)
    shares = [plan_of(tmp_path, shard=f"{i}/{n}") for i in range(1, n + 1)]
    names = [unit.name for share in shares for unit in share.units]
    assert sorted(names) == sorted(unit.name for unit in whole.units)
    loads = [sum(map(share.cost, share.units)) for share in shares]
    assert max(loads) - min(loads) <= max(map(whole.cost, whole.units))
    assert all(share.units for share in shares)


def test_shards_do_not_depend_on_what_is_there(tmp_path):
    before = plan_of(tmp_path, shard="1/2").units
    write_suite(tmp_path / "laptop" / "results", lambda job: 0.5, leave_out=lambda job: job.seed > 0)
    after = plan_of(tmp_path, shard="1/2")
    assert after.units == before
    assert not any(after.missing(unit) for unit in after.units if unit.seed == 0)
    assert all(after.missing(unit) == unit.jobs for unit in after.units if unit.seed)


def test_the_laptop_profile_is_an_evening(tmp_path):
    """Three to four hours on two cores."""
    plan = plan_of(tmp_path)
    assert 3 * 60 < sum(plan.minutes(SPEED).values()) < 8 * 60
    for i in (1, 2):
        assert 120 < sum(plan_of(tmp_path, shard=f"{i}/2").minutes(SPEED).values()) < 240


def test_the_plan_says_what_is_left(tmp_path):
    plan = plan_of(tmp_path, "segmentation")
    text = plan.text(SPEED, "measured")
    assert "24 results" not in text and f"{3 * 4 * 3} results from 9 trainings, 36 of them still" in text
    assert "rate of full" in text and "hands a second (measured)" in text and "there" not in text.split("\n", 2)[2]
    write_suite(plan.results, lambda job: 0.5, leave_out=lambda job: job.experiment.name != "handsegnet")
    later = plan.text(SPEED, "measured")
    assert "36 results from 9 trainings, 27 of them still" in later
    assert sum("there" in line and "handsegnet" in line for line in later.splitlines()) == 3


def test_results_of_another_scale_are_refused(tmp_path):
    plan = plan_of(tmp_path)
    write_suite(plan.results, lambda job: 0.5, leave_out=lambda job: job.experiment.name != "full")
    other = replace(plan, scale=replace(plan.scale, test_images=7))
    with pytest.raises(ValueError, match="made at another scale or with other options or files: choose another --out"):
        other.missing(other.units[0])


def test_names_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="unknown table 'tabel': choose all, results"):
        chosen("tabel")
    with pytest.raises(ValueError, match="'pso' is no experiment of 'ablations'"):
        chosen("ablations", ("pso",))
    for shard in ("0/2", "3/2", "1", "a/b", "1/0"):
        with pytest.raises(ValueError, match="write the share and of how many"):
            plan_of(tmp_path, shard=shard)
    with pytest.raises(ValueError, match="unknown profile"):
        plan_of(tmp_path, profile="huge")


def test_specs_on_one_line():
    hands = parse_data("rhd,joint0=palm:/a,b/c,stb:/d,do:/e")
    assert hands.specs == ("rhd,joint0=palm:/a,b/c", "stb:/d", "do:/e")
    assert hands.tests == ("rhd", "stb", "do") and hands.training == hands.specs[:2]
    assert parse_data("") == Hands() and Hands().tests == ("diverse", "studio", "object")
    with pytest.raises(ValueError, match="names no data set"):
        parse_data("/only/a/path")
    with pytest.raises(ValueError, match="named twice"):
        parse_data("do:/a,do:/b")


def test_the_paper_needs_its_data(tmp_path):
    with pytest.raises(ValueError, match="say where they are, --data rhd:PATH,stb:PATH"):
        plan_of(tmp_path, profile="paper")
    plan = plan_of(tmp_path, profile="paper", data=REAL)
    assert plan.scale.train.data == ("rhd:/there/RHD", "stb:/there/STB")
    assert plan.scale.train.val_data == plan.scale.train.data[:1] and plan.suite == "paper-rhd-stb-do"
    assert "/there" not in str(plan.described) and "/there" not in plan.hands.described


def test_a_plan_counts_the_hands_of_the_data_it_names(tmp_path):
    """Not the synthetic hands of the profile, which a run on real data never sees."""
    plan = plan_of(tmp_path, profile="paper", data=REAL, only=("no_augmentation",))
    train, unit = plan.scale.train, plan.units[0]
    assert plan.hands.training_images(train) == 41_258 + 30_000  # the paper's
    assert {name: plan.hands.test_images(name, 10_000) for name in plan.hands.tests} == {
        "rhd": 2_728, "stb": 6_000, "do": 3_145}  # fmt: skip
    assert plan.hands.test_images("stb", 500) == 500
    trained = 71_258 * train.epochs
    assert trained < plan.cost(unit) < 1.01 * trained + 0.5 * (2_728 + 6_000 + 3_145)
    small = plan_of(tmp_path, profile="laptop", data="stb,camera=SK:/there/STB", only=("no_augmentation",))
    assert small.hands.training_images(small.scale.train) == 15_000
    rates = small.scale.rate_run("full")
    assert small.rate_cost("full") >= len(small.scale.rate_factors) * 15_000 * rates.epochs
    synthetic = plan_of(tmp_path, only=("no_augmentation",))
    assert synthetic.hands.training_images(synthetic.scale.train) == synthetic.scale.train.images


def test_data_without_a_training_split(tmp_path):
    """Trained on the benchmark, measured on real hands."""
    plan = plan_of(tmp_path, data="do:/there")
    assert plan.scale.train.data == ("synthetic",) and plan.hands.tests == ("do",)
    assert plan.hands.training_images(plan.scale.train) == plan.scale.train.images


def test_options_reach_every_run_and_no_record_says_where_files_are(tmp_path):
    plan = make_plan("all", "paper", parse_data(REAL), tmp_path, equipment=GIVEN)
    plain = make_plan("all", "paper", parse_data(REAL), tmp_path)
    for run in (plan.scale.train, plan.scale.schedule, plan.scale.run("zimmermann"), plan.scale.rate_run("direct")):
        assert (run.model.posenet, run.model.hand, run.model.fingertips) == (GIVEN.posenet, GIVEN.hand, "paper")
        assert run.backgrounds == GIVEN.backgrounds and run.data == plain.scale.train.data
    for run in ("train", "schedule"):
        found, usual = (p.described[run] for p in (plan, plain))
        assert found["backgrounds"] == "nyu:nyu depth.mat" and usual["backgrounds"] == ""
        named = {"posenet": "posenet.pickle", "hand": "MANO_RIGHT.pkl", "fingertips": "paper"}
        assert found == usual | {"backgrounds": found["backgrounds"], "model": usual["model"] | named}
    assert plan.units == plain.units  # names of records among it
    assert "with --posenet posenet.pickle --hand MANO_RIGHT.pkl" in plan.text(SPEED, "assumed")
    assert "\n  with" not in plain.text(SPEED, "assumed")
    assert make_plan("all", "paper", parse_data(REAL), tmp_path, equipment=Equipment()) == plain


def test_a_machine_s_folders_make_no_difference(tmp_path):
    moved = Equipment("posenet.pickle", "else/where/MANO_RIGHT.pkl", "paper", "nyu:nyu depth.mat")
    a, b = (make_plan("all", "paper", parse_data(REAL), tmp_path, equipment=given) for given in (GIVEN, moved))
    assert a.described == b.described and GIVEN.words == moved.words
    assert Equipment.of(a.described["train"]) == GIVEN.pathless == moved.pathless


def test_a_collection_names_the_options_of_its_runs(tmp_path):
    write_suite(tmp_path, lambda job: 0.5, "paper", REAL, lambda job: job.experiment.name != "direct", equipment=GIVEN)
    said = read_collections(tmp_path)["paper-rhd-stb-do"].command("pso")
    assert said == (
        "handlib reproduce all --profile paper --only pso --data rhd:PATH,stb:PATH,do:PATH --posenet posenet.pickle "
        "--hand MANO_RIGHT.pkl --fingertips paper --backgrounds 'nyu:nyu depth.mat'"
    )


def test_options_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="pretrained and posenet are for trunk='paper'"):
        make_plan("all", "laptop", Hands(), tmp_path, equipment=Equipment(posenet="posenet.pickle"))
    with pytest.raises(ValueError, match="unknown fingertip set 'mine': choose one of smplx, freihand"):
        Equipment(fingertips="mine")


def test_what_is_tuned():
    assert rated_as("no_refiner") == rated_as("full") == "full" and rated_as("zimmermann") == "zimmermann"
    assert rated_as("schedule") is None
    laptop = SCALES["laptop"]
    run = laptop.rate_run("full")
    run.check()
    assert run.epochs == laptop.rate_epochs and run.images < laptop.train.images


def test_cheaper_methods_train_for_more_epochs():
    """About as long as the full method, lifting included, by the plan's own costs; their tuning in proportion."""
    laptop, plan = SCALES["laptop"], make_plan("all", "laptop", Hands(), "runs")
    full = plan._training_cost("full")
    for training, epochs in laptop.epochs.items():
        assert laptop.run(training).epochs == epochs > laptop.train.epochs
        assert 0.6 < plan._training_cost(training) / full < 1.4, training
        assert laptop.rate_run(training).epochs == round(laptop.rate_epochs * epochs / laptop.train.epochs)
    assert laptop.run("no_refiner") == laptop.train


@pytest.mark.parametrize("profile", SCALES)
def test_every_run_could_be(profile):
    SCALES[profile].train.check()
    SCALES[profile].schedule.check()
    assert SCALES[profile].train.profile == profile
