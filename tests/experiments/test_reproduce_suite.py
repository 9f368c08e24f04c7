"""Which runs a suite has, and what each makes and needs; nothing is trained."""

import json
from dataclasses import replace

import pytest
from miniatures import write_photos
from reproduction import REAL, write_suite

from handlib.experiments.ablation import ABLATIONS
from handlib.experiments.baselines import BASELINES
from handlib.experiments.reproduce import EXPERIMENTS, TABLES, read_collections
from handlib.experiments.reproduce.equipment import Equipment
from handlib.experiments.reproduce.experiments import chosen
from handlib.experiments.reproduce.hands import Hands, parse_data
from handlib.experiments.reproduce.records import command_of
from handlib.experiments.reproduce.rows import VARIANTS
from handlib.experiments.reproduce.scales import SCALES
from handlib.experiments.reproduce.suite import make_suite, rated_as

GIVEN = Equipment("/a/posenet.pickle", "/b/MANO_RIGHT.pkl", "paper", "nyu:/c/nyu depth.mat")


def suite_of(tmp_path, table="all", profile="laptop", data="", only=(), **more):
    return make_suite(table, profile, parse_data(data), tmp_path, only, **more)


def test_tables_and_trainings_are_known():
    for table in TABLES.values():
        assert set(table.experiments) <= EXPERIMENTS.keys()
    trainings = {e.training for e in EXPERIMENTS.values()}
    assert trainings <= {*ABLATIONS, *BASELINES, *VARIANTS, "schedule"}
    assert trainings >= (BASELINES.keys() - {"panteleris", "pso"}) | VARIANTS.keys()
    used = set(ABLATIONS) - {"constant_shape_weight"}  # which the study of Eq. 12 trains
    assert used <= EXPERIMENTS.keys()
    for name, parts in ABLATIONS.items():
        if name in used:
            assert EXPERIMENTS[name].refined == parts.test_refinement, name
    for name, baseline in BASELINES.items():
        if name in EXPERIMENTS:
            assert EXPERIMENTS[name].title == baseline.title


@pytest.mark.parametrize("profile", SCALES)
def test_every_run_comes_after_those_it_needs(tmp_path, profile):
    suite = suite_of(tmp_path, profile=profile, data=REAL if profile == "paper" else "")
    before, made = set(), set()
    for run in suite.runs:
        assert set(run.needs) <= before, run.name
        assert run.name not in before and not made & set(run.makes)
        before.add(run.name)
        made |= set(run.makes)
    assert [run.seed for run in suite.runs if not run.experiments] == [0] * sum(not r.experiments for r in suite.runs)


def test_a_results_file_for_each_experiment_test_and_seed(tmp_path):
    made = {path.name for run in suite_of(tmp_path).runs for path in run.makes if "results" in path.parts}
    sets = {name: ("-diverse", "-studio", "-object") for name in EXPERIMENTS} | {"schedule": ("-val",)}
    sets |= {name: ("",) for name, experiment in EXPERIMENTS.items() if experiment.cached}
    wanted = {f"reproduce-laptop-{name}{test}-seed{s}.json" for name in sets for test in sets[name] for s in range(3)}
    assert made == wanted
    cached = suite_of(tmp_path, "cached", "workstation", photographs="some/folder").runs
    names = {path.name for run in cached for path in run.makes if "results" in path.parts}
    assert len(names) == 2 * 10 * len(TABLES["cached"].experiments)
    assert {"reproduce-workstation-rows-full-seed9.json", "reproduce-workstation-photos-rows-full-seed9.json"} <= names


def test_more_seeds_are_the_same_suite(tmp_path):
    """So that a claim that more of them would decide needs no second reproduction."""
    few, many = suite_of(tmp_path), suite_of(tmp_path, seeds=5)
    assert few.described == many.described and few.name == many.name and few.results == many.results
    assert {run.name for run in many.runs} - {run.name for run in few.runs} >= {"full-seed4", "rows-full-seed3"}
    full = EXPERIMENTS["full"]
    assert "--seeds 5" in command_of(many, full) and "--seeds" not in command_of(few, full)
    assert {run.seed for run in suite_of(tmp_path, seeds=1).runs} == {0}


def test_photographs_are_never_mixed_with_rendered_hands(tmp_path):
    suite = suite_of(tmp_path, "cached", "workstation", photographs="some/folder")
    run = suite.run("rows-no_refiner-seed0")
    assert len(run.makes) == 2 and "rows-photos" in run.needs and "lifted-no_refiner" in run.needs
    assert not any("rows" in run.name for run in suite_of(tmp_path, profile="gpu", data="stb:/there").runs)


def test_a_folder_holds_one_suite(tmp_path):
    suite = suite_of(tmp_path)
    suite.claim_folder()
    suite.claim_folder()
    other = replace(suite, scale=replace(suite.scale, test_images=7))
    with pytest.raises(ValueError, match="suite.json is of another scale"):
        other.claim_folder()


def test_a_folder_is_of_one_folder_of_photographs(tmp_path, hand):
    for name, n in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        write_photos(tmp_path / name, hand, n)
    a, b = (dict(photographs=str(tmp_path / name)) for name in "ab")
    suite_of(tmp_path / "cached", **a).claim_folder()
    suite_of(tmp_path / "cached").claim_folder()  # none, which are no others
    a_data, b_data = (dict(data=f"photos:{tmp_path / name}") for name in "ab")
    suite_of(tmp_path / "data", **a_data).claim_folder()
    for out, same, other in (("cached", a, b), ("data", a_data, b_data)):
        suite_of(tmp_path / out, **same).claim_folder()
        with pytest.raises(ValueError, match="photographs.json is of other photographs: choose another --out"):
            suite_of(tmp_path / out, **other).claim_folder()


def test_a_look_at_a_folder_claims_nothing(tmp_path):
    suite = suite_of(tmp_path)
    suite.claim_folder(keep=False)
    assert not suite.out.exists()
    suite.claim_folder()
    (suite.out / "suite.json").write_text("{")
    with pytest.raises(ValueError, match="suite.json: not JSON .*; choose another --out"):
        suite.claim_folder(keep=False)


@pytest.mark.parametrize("given", [{"hand": "/b/MANO_RIGHT.pkl"}, {"fingertips": "paper"}])
def test_cached_evidence_is_of_the_open_hand(tmp_path, given):
    """So a suite of another one has no such study, nor misses it."""
    suite = suite_of(tmp_path, equipment=Equipment(**given))
    assert suite.runs and not any("rows" in run.name for run in suite.runs)
    assert suite.files.keys() == suite_of(tmp_path).files.keys()  # folders of older suites stay valid


def test_names_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="unknown table 'tabel': choose all, results"):
        chosen("tabel")
    with pytest.raises(ValueError, match="'pso' is no experiment of 'ablations'"):
        chosen("ablations", ("pso",))
    with pytest.raises(ValueError, match="unknown profile"):
        suite_of(tmp_path, profile="huge")
    with pytest.raises(ValueError, match="'full-seed7' is no run of this suite: choose one of rate-full"):
        suite_of(tmp_path).run("full-seed7")


def test_specs_on_one_line():
    hands = parse_data("rhd,joint0=palm:/a,b/c,stb:/d,do:/e")
    assert hands.specs == ("rhd,joint0=palm:/a,b/c", "stb:/d", "do:/e")
    assert hands.tests == ("rhd", "stb", "do") and hands.training == hands.specs[:2]
    assert parse_data("").tests == ("diverse", "studio", "object") and parse_data("").training == ("synthetic",)
    with pytest.raises(ValueError, match="named twice"):
        parse_data("stb:/a,stb:/b")


def test_the_paper_needs_real_data(tmp_path):
    with pytest.raises(ValueError, match="say where they are, --data"):
        suite_of(tmp_path, profile="paper")
    suite = suite_of(tmp_path, profile="paper", data=REAL)
    assert suite.name == "paper-rhd-stb-do" and suite.scale.train.data == ("rhd:/there/RHD", "stb:/there/STB")
    assert "/there" not in json.dumps(suite.described)


def test_options_reach_every_training(tmp_path):
    suite = suite_of(tmp_path, profile="paper", data=REAL, equipment=GIVEN)
    plain = suite_of(tmp_path, profile="paper", data=REAL)
    for run in (suite.scale.train, suite.scale.schedule, suite.scale.run("zimmermann"), suite.scale.rate_run("direct")):
        assert (run.model.posenet, run.model.hand, run.model.fingertips) == (GIVEN.posenet, GIVEN.hand, "paper")
        assert run.backgrounds == GIVEN.backgrounds
    moved = Equipment("posenet.pickle", "else/where/MANO_RIGHT.pkl", "paper", "nyu:nyu depth.mat")
    assert suite_of(tmp_path, profile="paper", data=REAL, equipment=moved).described == suite.described
    assert suite.described != plain.described and suite.runs == plain.runs
    assert GIVEN.pathless == moved.pathless
    model = suite.described["train"]["model"]
    assert (model["posenet"], model["hand"]) == (GIVEN.pathless.posenet, GIVEN.pathless.hand)


def test_a_collection_names_the_options_of_its_runs(tmp_path):
    write_suite(tmp_path, lambda job: 0.5, "paper", REAL, lambda job: job.experiment.name != "direct", equipment=GIVEN)
    said = read_collections(tmp_path)["paper-rhd-stb-do"].command("pso")
    assert said == (
        "handlib reproduce all --profile paper --only pso --data rhd:PATH,stb:PATH,do:PATH --posenet posenet.pickle "
        "--hand MANO_RIGHT.pkl --fingertips paper --backgrounds 'nyu:nyu depth.mat'"
    )


def test_options_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="pretrained and posenet are for trunk='paper'"):
        make_suite("all", "laptop", Hands(), tmp_path, equipment=Equipment(posenet="posenet.pickle"))
    with pytest.raises(ValueError, match="unknown fingertip set 'mine': choose one of smplx, freihand"):
        Equipment(fingertips="mine")


def test_what_is_tuned():
    assert rated_as("no_refiner") == rated_as("full") == "full" and rated_as("zimmermann") == "zimmermann"
    assert rated_as("schedule") is None
    laptop = SCALES["laptop"]
    run = laptop.rate_run("full")
    run.check()
    assert run.epochs == laptop.rate_epochs and run.images < laptop.train.images


@pytest.mark.parametrize("profile", SCALES)
def test_every_run_could_be(profile):
    SCALES[profile].train.check()
    SCALES[profile].schedule.check()
    assert SCALES[profile].train.profile == profile
