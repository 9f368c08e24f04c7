"""The live page as a file and over http, and one that is open."""

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from live_pages import WIDE, choose, opened

from handlib.photo.live_page import embedded, live_page, write_scripts


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder with the page as one file, and the same as a site's page with its scripts."""
    folder = tmp_path_factory.mktemp("site")
    live_page().save(folder / "one.html")
    write_scripts(folder / "live")
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += '<title>Your hand</title><link rel="icon" href="data:,">'
    (folder / "site.html").write_text(f"{head}{embedded('live')}</html>", "utf-8")
    return folder


@pytest.fixture(scope="module")
def served(site):
    """The address of the same folder over http."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def shared(browser, site):
    page = opened(browser, (site / "one.html").as_uri())
    yield page
    page.close()


@pytest.fixture
def page(shared):
    """One page for all tests, as if its first sample had just been chosen."""
    shared.errors.clear()
    shared.set_viewport_size(WIDE)
    for box in shared.locator(".method input[type=checkbox]").all():
        box.check()
    choose(shared, 0)
    return shared
