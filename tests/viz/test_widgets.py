"""The hand explorer: its numbers in Python, and in headless Chromium what a reader of its page computes and moves."""

import pytest
import torch
from chromium import CHROMIUM

from handlib.hand import HandModel
from handlib.hand.anatomy import joint_angles, joint_axes
from handlib.hand.collision import penetration_depth
from handlib.hand.joints import BONES
from handlib.viz.widgets import SAMPLES, bend, hand_explorer, named_poses, synergies

WIDE = {"width": 1000, "height": 700}
PHONE = {"width": 390, "height": 844}
TOLERANCE = 1e-4  # meters between the page's vertices and Python's
SHOWN = "Object.values(window.handlibExplorers)[0]"
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium fonts-dejavu-core")


# ---- in Python


def test_poses_of_the_model(hand):
    poses = named_poses(hand)
    assert list(poses)[:2] == ["mean", "flat"] and set(hand.named_poses) <= set(poses)
    assert torch.equal(poses["flat"], torch.zeros(45)) and torch.equal(poses["mean"], hand.mean_pose)
    assert torch.equal(poses["fist"], hand.named_poses["fist"])


def test_a_hand_without_named_poses_has_possible_ones(hand, monkeypatch):
    monkeypatch.setattr(HandModel, "named_poses", property(lambda self: {}))
    poses = named_poses(hand)
    assert list(poses) == ["mean", "flat", "fist", "point", "victory"]
    for name, pose in poses.items():
        joints = hand.skeleton(pose, torch.zeros(10))
        assert penetration_depth(joints, hand.bone_radii) < 1e-3, f"digits of '{name}' overlap"


def test_bend_turns_each_joint_by_its_share(hand):
    pose = bend(hand, 0.5, 0, 1, 0, 0.25, 0)
    found = torch.rad2deg(joint_angles(pose, joint_axes(hand)))
    full = synergies()
    torch.testing.assert_close(found, 0.5 * full["thumb"] + full["middle"] + 0.25 * full["little"], atol=1e-3, rtol=0)
    straight, bent = (hand.skeleton(p, torch.zeros(10)) for p in (torch.zeros(45), pose))
    assert straight[12, 0] < bent[12, 0] - 0.05  # the middle finger's tip comes back towards the wrist


def test_page_is_light_and_the_same_on_each_call(hand):
    explorer = hand_explorer(hand)
    first, second = explorer.html(), explorer._repr_html_()
    assert len(first.encode()) < 600_000
    ids = [html.split('<div id="')[1].split('"')[0] for html in (first, second)]
    assert ids[0] != ids[1], "two outputs on a page may not share an id"
    assert first.replace(*ids) == second


def test_names_cannot_leave_the_script(hand):
    html = hand_explorer(hand, {"</script><b>fist": torch.zeros(45)}).html()
    assert html.count("</script>") == 1 and "<b>" not in html


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"poses": {}}, "poses is empty"),
        ({"poses": {"fist": torch.zeros(15, 3)}}, r"pose 'fist' must be 45 finite numbers.*\(15, 3\)"),
        ({"poses": {"fist": torch.full((45,), torch.nan)}}, "pose 'fist' must be 45 finite numbers"),
    ],
)
def test_wrong_arguments(hand, wrong, message):
    with pytest.raises(ValueError, match=message):
        hand_explorer(hand, **wrong)


# ---- in the browser


def open_page(browser, path, body, wait=True, **options):
    """A page of HTML without a network; its `errors` hold what went wrong."""
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A hand</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"</head><body>{body}</body></html>",
        "utf-8",
    )
    page = browser.new_page(**({"viewport": WIDE} | options))
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.route("http*://**/*", lambda route: route.abort())
    page.goto(path.as_uri())
    if wait:
        ready(page)
    return page


@pytest.fixture
def visit(browser, tmp_path):
    """`open_page` for pages that close with the test: each of them keeps drawing."""
    pages = []

    def visit(*args, **options):
        pages.append(open_page(browser, tmp_path / f"{len(pages)}.html", *args, **options))
        return pages[-1]

    yield visit
    for page in pages:
        page.close()


def ready(frame):
    frame.wait_for_function(f"window.handlibExplorers && {SHOWN}", timeout=30_000)


@pytest.fixture(scope="module")
def opened(browser, hand, tmp_path_factory):
    """The explorer of the open hand, where nothing waits for animations."""
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    html = hand_explorer(hand).html()
    page = open_page(browser, path, html, reduced_motion="reduce")
    yield page
    page.close()


@pytest.fixture
def page(opened):
    """The same page for all tests, as if just opened."""
    opened.errors.clear()
    opened.set_viewport_size(WIDE)
    opened.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    opened.get_by_role("button", name="reset shape").click()
    opened.get_by_label("named pose").select_option("mean")
    opened.get_by_role("button", name="back").click()
    opened.get_by_label("pose correctives").check()
    opened.get_by_label("skeleton").uncheck()
    drawn(opened)
    return opened


def ask(page, what, pose, shape, correctives=True):
    """Rows of three numbers that the page computes."""
    call = f"([pose, shape, correctives]) => Array.from({SHOWN}.{what}(pose, shape, correctives))"
    return torch.tensor(page.evaluate(call, [pose.tolist(), shape.tolist(), correctives])).view(-1, 3)


def next_frame(page):
    """A change is drawn in the next frame; in the one after that it has been."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def drawn(page):
    """Vertices in the figure, back in the model's frame."""
    next_frame(page)
    x, y, z = torch.tensor(page.evaluate(f"Array.from({SHOWN}.view.scene.meshes.at(-1).vertices)")).view(-1, 3).T
    return torch.stack([-y, z, -x], 1)


def pose_of(page):
    return torch.tensor(page.evaluate(f"Array.from({SHOWN}.state.pose)"), dtype=torch.float32)


def shape_of(page):
    return torch.tensor(page.evaluate(f"Array.from({SHOWN}.state.shape)"), dtype=torch.float32)


@in_browser
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


@in_browser
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


@in_browser
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


@in_browser
def test_named_poses_can_be_chosen(page, hand):
    page.get_by_label("named pose").select_option("flat")
    for name, pose in named_poses(hand).items():
        page.get_by_label("named pose").select_option(name)
        torch.testing.assert_close(pose_of(page), pose)
        assert (drawn(page) - hand(pose, torch.zeros(10)).vertices).norm(dim=1).max() < TOLERANCE
    assert page.errors == []


@in_browser
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


@in_browser
def test_keys_move_a_slider_and_the_mesh(page, hand):
    page.get_by_label("named pose").select_option("flat")
    page.get_by_label("index curl").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    wanted = bend(hand, 0, 0.1, 0, 0, 0, 0)
    torch.testing.assert_close(pose_of(page), wanted, atol=1e-5, rtol=0)
    assert (drawn(page) - hand(wanted, torch.zeros(10)).vertices).norm(dim=1).max() < TOLERANCE
    assert page.get_by_label("index curl").get_attribute("aria-valuetext") == "10 %"
    assert page.get_by_label("named pose").input_value() == ""  # "your own"
    assert page.errors == []


@in_browser
def test_a_notebook_does_not_take_the_keys(page):
    """JupyterLab and the classic notebook listen on the document: an arrow would choose another cell there."""
    page.evaluate("window.taken = []; document.addEventListener('keydown', event => taken.push(event.key))")
    page.get_by_label("index curl").focus()
    for key in ("ArrowDown", "Home", "Control+k"):
        page.keyboard.press(key)
    assert page.evaluate("taken") == ["Control", "k"]


@in_browser
def test_every_curl_does_what_bend_does(page, hand):
    page.get_by_label("named pose").select_option("flat")
    shares = dict(zip(synergies(), (0.3, 0.5, 0.7, 0.2, 1.0, -0.4), strict=True))
    for name, share in shares.items():
        label = name if name == "spread" else f"{name} curl"
        page.get_by_label(label).fill(str(round(100 * share)))
    torch.testing.assert_close(pose_of(page), bend(hand, *shares.values()), atol=1e-5, rtol=0)


@in_browser
def test_every_joint_and_every_shape_component_has_a_slider(page, hand):
    axes = joint_axes(hand)
    page.get_by_label("named pose").select_option("flat")
    middle = page.get_by_role("group", name="middle PIP")
    middle.get_by_label("flexion").fill("40")
    angles = torch.rad2deg(joint_angles(pose_of(page), axes))
    expected = torch.zeros(15, 3)
    expected[4, 1] = 40
    torch.testing.assert_close(angles, expected, atol=1e-3, rtol=0)
    for name in ("twist", "flexion", "abduction"):
        assert page.get_by_label(name, exact=True).count() == 15
    components = page.get_by_label("component")
    assert components.count() == 10
    for k in range(10):
        components.nth(k).fill(str(0.2 * k - 1))
    torch.testing.assert_close(shape_of(page), 0.2 * torch.arange(10) - 1)
    wanted = hand(pose_of(page), shape_of(page)).vertices
    assert (drawn(page) - wanted).norm(dim=1).max() < TOLERANCE
    page.get_by_role("button", name="reset shape").click()
    assert not shape_of(page).any()


@in_browser
def test_sliders_show_any_hand_that_travels_along(page):
    """Otherwise a slider would stand at its end while the joint is beyond it."""
    for _ in range(SAMPLES):
        page.get_by_role("button", name="random hand").click()
        off = page.evaluate(
            """[...document.querySelectorAll('input[type=range]')].filter(i => /°|σ/.test(i.ariaValueText))
            .map(i => [i.id, Number(i.value), Number(i.ariaValueText.replace('−', '-').replace(/[^-0-9.]/g, ''))])
            .filter(([_, value, text]) => Math.abs(value - text) > 1.01)"""
        )
        assert off == []


@in_browser
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


@in_browser
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


@in_browser
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


@in_browser
def test_arrow_keys_turn_the_figure(page):
    eye = f"JSON.stringify({SHOWN}.view.eye)"
    seen = {page.evaluate(eye)}
    page.locator(".scene").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
        next_frame(page)
        seen.add(page.evaluate(eye))
    page.get_by_role("button", name="palm").click()
    next_frame(page)
    seen.add(page.evaluate(eye))
    assert len(seen) == 6
    page.get_by_label("index curl").fill("50")
    drawn(page)
    assert page.evaluate(eye) in seen, "moving the hand may not turn it"


@in_browser
def test_every_control_has_a_name_and_can_be_reached(page):
    nameless = page.evaluate(
        """[...document.querySelectorAll('.handlib-explorer :is(input, select, button, summary, fieldset)')].filter(
            e => !(e.matches('input, select') ? [...e.labels].map(l => l.textContent).join('') :
                   e.matches('fieldset') ? e.querySelector('legend')?.textContent : e.textContent).trim()
        ).map(e => e.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('.handlib-explorer [id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    controls = page.locator(".handlib-explorer :is(input, select, button, summary)")
    assert controls.count() > 60
    reached = set()
    page.locator(".scene").focus()
    for _ in range(controls.count() + 5):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        if page.evaluate("document.activeElement.matches('.handlib-explorer .controls *')"):
            assert outline != "none"
    assert len(reached) > 60


@in_browser
@pytest.mark.parametrize("open_all", [False, True])
def test_fits_a_phone(visit, hand, open_all):
    page = visit(hand_explorer(hand).html(), viewport=PHONE, has_touch=True)
    if open_all:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"], "the page scrolls sideways"
    figure, controls = (page.locator(c).bounding_box() for c in (".scene", ".controls"))
    assert controls["y"] >= figure["y"] + figure["height"], "the controls are not under the figure"
    assert controls["y"] + controls["height"] <= PHONE["height"], "the hand is out of sight while a slider moves"


@in_browser
def test_controls_stand_beside_the_figure_on_a_wide_page(page):
    figure, controls = (page.locator(c).bounding_box() for c in (".scene", ".controls"))
    assert controls["x"] >= figure["x"] + figure["width"]
    page.set_viewport_size(PHONE)
    narrow = "document.querySelector('.handlib-explorer canvas').getBoundingClientRect().width <= innerWidth"
    page.wait_for_function(narrow)  # the figure does not keep its width


# ---- where outputs are shown


@in_browser
def test_output_in_a_sandbox(visit, hand):
    """Colab shows an output in a frame that may run scripts and no more."""
    page = visit('<iframe sandbox="allow-scripts" width="900" height="600"></iframe>', wait=False)
    html = hand_explorer(hand).html()
    page.evaluate("html => { document.querySelector('iframe').srcdoc = html }", html)
    page.locator("iframe").content_frame.locator("canvas").first.wait_for()
    ready(page.frames[1])
    assert page.errors == []


@in_browser
def test_output_set_into_a_page_that_is_already_there(visit, hand):
    """JupyterLab and VS Code fill an element that is not on the page yet, renew its scripts, then show it."""
    page = visit("<main></main>", wait=False)
    page.evaluate(
        """html => {
        const output = document.createElement('div');
        output.innerHTML = html;
        for (const old of output.querySelectorAll('script')) {
            const fresh = document.createElement('script');
            fresh.textContent = old.textContent;
            old.replaceWith(fresh);
        }
        document.querySelector('main').append(output);
    }""",
        hand_explorer(hand).html(),
    )
    ready(page)
    assert page.errors == [] and page.locator("canvas").first.bounding_box()["width"] > 100


@in_browser
def test_two_explorers_on_a_page(visit, hand):
    explorer = hand_explorer(hand)
    page = visit(explorer.html() + explorer.html())
    page.wait_for_function("Object.keys(window.handlibExplorers).length == 2")
    page.get_by_label("named pose").nth(1).select_option("fist")
    third = float(named_poses(hand)["fist"][2])
    page.wait_for_function(
        f"Math.abs(Object.values(window.handlibExplorers)[1].state.pose[2] - {third}) < 1e-6", timeout=30_000
    )
    first, second = page.evaluate("Object.values(window.handlibExplorers).map(e => Array.from(e.state.pose))")
    torch.testing.assert_close(torch.tensor(first), hand.mean_pose)
    torch.testing.assert_close(torch.tensor(second), named_poses(hand)["fist"])
