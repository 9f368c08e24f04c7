"""The hand explorer in headless Chromium: what a reader's page computes and draws is what Python does."""

import torch
from explorer import SHOWN, TOLERANCE, ask, drawn, in_browser, next_frame, pose_of, shape_of

from handlib.hand import HandModel
from handlib.hand.joints import BONES
from handlib.viz.widgets import SAMPLES, hand_explorer, named_poses

pytestmark = in_browser


def test_page_and_python_make_the_same_hand(page, hand, generator):
    poses, shapes = hand.sample(20, generator)
    named = torch.stack(list(named_poses(hand).values()))
    wild = 2 * torch.randn(3, 45, generator=generator)  # far beyond what a joint can do
    poses = torch.cat([poses, named, wild])
    shapes = torch.cat([shapes, torch.zeros(len(named), 10), 3 * torch.randn(3, 10, generator=generator)])
    wanted = hand(poses, shapes)
    for n in range(len(poses)):
        vertices, joints = (ask(page, what, poses[n], shapes[n]) for what in ("vertices", "joints"))
        assert (vertices - wanted.vertices[n]).norm(dim=1).max() < TOLERANCE
        assert (joints - wanted.joints[n]).norm(dim=1).max() < TOLERANCE
    assert page.errors == []


def test_other_models_have_the_same_hand_on_their_page(visit, generator):
    """All correctives and weights dense, another set of fingertips, and no pose samples to draw from."""
    hand = HandModel.load(fingertips="paper")
    with torch.no_grad():
        hand.blend_shapes += 1e-3 * torch.randn(145, 2334, generator=generator)
        hand.weights.copy_(torch.softmax(torch.randn(778, 16, generator=generator), 1))
        hand.pose_samples = hand.pose_samples[:0]
    page = visit(hand_explorer(hand).html())
    pose, shape = torch.randn(45, generator=generator), torch.randn(10, generator=generator)
    wanted = hand(pose, shape)
    assert (ask(page, "vertices", pose, shape) - wanted.vertices).norm(dim=1).max() < TOLERANCE
    assert (ask(page, "joints", pose, shape) - wanted.joints).norm(dim=1).max() < TOLERANCE
    assert page.get_by_role("button", name="random hand").count() == 0


def test_without_correctives(page, hand, generator):
    (pose,), (shape,) = hand.sample(1, generator)
    plain = HandModel.load()
    plain.blend_shapes[10:] = 0
    wanted, corrected = plain(pose, shape).vertices, hand(pose, shape).vertices
    assert (wanted - corrected).norm(dim=1).max() > 10 * TOLERANCE
    assert (ask(page, "vertices", pose, shape, False) - wanted).norm(dim=1).max() < TOLERANCE
    page.evaluate(f"([pose, shape]) => {SHOWN}.set(pose, shape)", [pose.tolist(), shape.tolist()])
    assert (drawn(page) - corrected).norm(dim=1).max() < TOLERANCE
    page.get_by_label("pose correctives").uncheck()
    assert (drawn(page) - wanted).norm(dim=1).max() < TOLERANCE


def test_named_poses_can_be_chosen(page, hand):
    page.get_by_label("named pose").select_option("flat")
    for name, pose in named_poses(hand).items():
        page.get_by_label("named pose").select_option(name)
        torch.testing.assert_close(pose_of(page), pose)
        assert (drawn(page) - hand(pose, torch.zeros(10)).vertices).norm(dim=1).max() < TOLERANCE
    assert page.errors == []


def test_poses_blend_unless_motion_is_unwelcome(visit, hand):
    page = visit(hand_explorer(hand).html())
    page.evaluate(f"""
        const now = performance.now.bind(performance), start = now();
        performance.now = () => start + (now() - start) / 10;  // slow: frames fall into the blend on any machine
        window.seen = [];
        const watch = () => {{ seen.push({SHOWN}.state.pose[2]); requestAnimationFrame(watch); }};
        watch();
    """)
    page.get_by_label("named pose").select_option("fist")
    page.wait_for_function(f"Math.abs({SHOWN}.state.pose[2] - {float(named_poses(hand)['fist'][2])}) < 1e-6")
    assert len(set(page.evaluate("seen"))) > 2, "the pose jumped"


def test_random_hands_are_those_of_sample(page, hand):
    poses, shapes = hand.sample(SAMPLES, torch.Generator().manual_seed(0))
    seen = set()
    for _ in range(SAMPLES):
        page.get_by_role("button", name="random hand").click()
        pose, shape = pose_of(page), shape_of(page)
        (n,) = ((poses - pose).abs().amax(1) < 1e-6).nonzero()[:, 0].tolist()
        torch.testing.assert_close(shape, shapes[n])
        seen.add(n)
    assert len(seen) == SAMPLES


def test_skeleton_is_drawn_inside_the_hand(page, hand):
    page.get_by_label("skeleton").check()
    page.get_by_label("named pose").select_option("fist")
    drawn(page)
    bones, mesh = page.evaluate(f"""{SHOWN}.view.scene.meshes.map(
        one => ({{opacity: one.opacity, vertices: Array.from(one.vertices)}}))""")
    assert mesh["opacity"] < 1
    joints = hand(named_poses(hand)["fist"], torch.zeros(10)).joints
    x, y, z = torch.tensor(bones["vertices"]).view(-1, 6, 3)[:, :2].unbind(-1)  # of each bone, its ends first
    ends = torch.stack([-y, z, -x], -1)
    for n, (parent, child) in enumerate(BONES):
        assert (ends[n] - joints[[parent, child]]).norm(dim=1).max() < TOLERANCE
    page.get_by_label("skeleton").uncheck()
    next_frame(page)
    assert page.evaluate(f"{SHOWN}.view.scene.meshes.length") == 1


def test_readout_measures_the_hand(page, hand):
    from handlib.hand.mesh import boundary_loop

    def volume_cm3(vertices):
        a, b, c = (vertices - vertices[boundary_loop(hand.faces)].mean(0))[hand.faces].unbind(1)
        return 1e6 * float((a * torch.linalg.cross(b, c)).sum() / 6)

    shape = torch.linspace(-2, 2, 10)
    pose = named_poses(hand)["fist"]
    page.evaluate(f"([pose, shape]) => {SHOWN}.set(pose, shape)", [pose.tolist(), shape.tolist()])
    drawn(page)
    flat, bent = hand(torch.zeros(45), shape), hand(pose, shape)
    length, volume = 1000 * float((flat.joints[12] - flat.joints[0]).norm()), volume_cm3(bent.vertices)
    text = page.locator(".readout").inner_text()
    assert f"{length:.0f} mm" in text and f"{volume:.0f} cm³" in text
    assert f"{100 * volume / volume_cm3(flat.vertices):.1f} %" in text
    page.get_by_role("status").filter(has_text=text).wait_for(state="attached")  # what is said aloud, once at rest
