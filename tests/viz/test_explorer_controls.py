"""The hand explorer's controls in headless Chromium: keys, sliders, names, and room on a phone."""

import pytest
import torch
from explorer import PHONE, SHOWN, TOLERANCE, drawn, in_browser, next_frame, pose_of, shape_of

from handlib.hand.anatomy import joint_angles, joint_axes
from handlib.viz.widgets import SAMPLES, bend, hand_explorer, synergies

pytestmark = in_browser


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


def test_a_notebook_does_not_take_the_keys(page):
    """JupyterLab and the classic notebook listen on the document: an arrow would choose another cell there."""
    page.evaluate("window.taken = []; document.addEventListener('keydown', event => taken.push(event.key))")
    page.get_by_label("index curl").focus()
    for key in ("ArrowDown", "Home", "Control+k"):
        page.keyboard.press(key)
    assert page.evaluate("taken") == ["Control", "k"]


def test_every_curl_does_what_bend_does(page, hand):
    page.get_by_label("named pose").select_option("flat")
    shares = dict(zip(synergies(), (0.3, 0.5, 0.7, 0.2, 1.0, -0.4), strict=True))
    for name, share in shares.items():
        label = name if name == "spread" else f"{name} curl"
        page.get_by_label(label).fill(str(round(100 * share)))
    torch.testing.assert_close(pose_of(page), bend(hand, *shares.values()), atol=1e-5, rtol=0)


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


@pytest.mark.parametrize("open_all", [False, True])
def test_fits_a_phone(visit, hand, open_all):
    page = visit(hand_explorer(hand).html(), viewport=PHONE, has_touch=True)
    if open_all:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"], "the page scrolls sideways"
    figure, controls = (page.locator(c).bounding_box() for c in (".scene", ".controls"))
    assert controls["y"] >= figure["y"] + figure["height"], "the controls are not under the figure"
    assert controls["y"] + controls["height"] <= PHONE["height"], "the hand is out of sight while a slider moves"


def test_controls_stand_beside_the_figure_on_a_wide_page(page):
    figure, controls = (page.locator(c).bounding_box() for c in (".scene", ".controls"))
    assert controls["x"] >= figure["x"] + figure["width"]
    page.set_viewport_size(PHONE)
    narrow = "document.querySelector('.handlib-explorer canvas').getBoundingClientRect().width <= innerWidth"
    page.wait_for_function(narrow)  # the figure does not keep its width
