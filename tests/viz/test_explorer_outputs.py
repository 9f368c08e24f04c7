"""The hand explorer where outputs are shown: in a sandbox, in a page that is already there, twice on a page."""

import torch
from explorer import in_browser, ready

from handlib.viz.widgets import hand_explorer, named_poses

pytestmark = in_browser


def test_output_in_a_sandbox(visit, hand):
    """Colab shows an output in a frame that may run scripts and no more."""
    page = visit('<iframe sandbox="allow-scripts" width="900" height="600"></iframe>', wait=False)
    html = hand_explorer(hand).html()
    page.evaluate("html => { document.querySelector('iframe').srcdoc = html }", html)
    page.locator("iframe").content_frame.locator("canvas").first.wait_for()
    ready(page.frames[1])
    assert page.errors == []


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
