"""The whole book as one PDF, printed by Chromium: `make pdf`, after `make book`.

What moves on a page becomes a picture of its first state. Pages come in the order of _toc.yml, each with a bookmark.
"""

import io
import sys
import time
from pathlib import Path

import yaml
from pypdf import PdfWriter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the tests know how to start Chromium
from chromium import CHROMIUM, launched  # noqa: E402

STILL = """
async () => {
  document.querySelector("#jb-print-docs-body h1").textContent = document.title.split(" — ")[0];  // with its number
  document.querySelectorAll("img[loading]").forEach(image => image.loading = "eager");
  if (window.MathJax?.startup) await MathJax.startup.promise;
  for (const figure of document.querySelectorAll(".js-plotly-plot")) {
    const picture = document.createElement("img");
    const { width, height } = figure.getBoundingClientRect();
    picture.src = await Plotly.toImage(figure, { format: "png", width, height, scale: 2 });
    picture.alt = figure.getAttribute("aria-label") || "";
    picture.style.maxWidth = "100%";
    figure.replaceWith(picture);
    await picture.decode();
  }
}
"""
TIMEOUT_MS = 300_000  # of a page on a busy machine
PAPER = """
@page { size: A4; margin: 16mm 18mm; }
html { font-size: 13px !important; }
.bd-main .bd-content .bd-article-container, .bd-article { padding: 0 !important; max-width: none !important; }
/* What needs a browser at hand. */
.handlib-live { display: none; }
.cell_output:has(.handlib-live)::before { content: "(On the site, the live page stands here.)"; font-style: italic; }
/* What opens and closes on a page: solutions are printed, code that is folded is not. */
details.hide:not([open]), .toggle-button { display: none !important; }
.bd-article pre { white-space: pre-wrap !important; overflow-wrap: anywhere; font-size: 7.5pt !important; }
/* What scrolls cannot be broken over pages. */
.bd-article :is(pre, .highlight, .cell_input, .cell_output, .pst-scrollable-table-container, mjx-container) {
  overflow: visible !important;
}
.bd-article table { break-inside: auto !important; }
.bd-article table.docutils { font-size: 8pt !important; }
.bd-article img { max-height: 240mm; }
.bd-article :is(img, figure, tr, h1, h2, h3, h4, .cell_input, .highlight) { break-inside: avoid; }
.bd-article :is(h1, h2, h3, h4) { break-after: avoid; }
.bd-sidebar-primary, .bd-sidebar-secondary, .header-article, .prev-next-footer { display: none !important; }
"""


def pages(toc):
    """The book's pages in their order."""
    yield toc["root"]
    for part in toc["parts"]:
        yield from (chapter["file"] for chapter in part["chapters"])


def print_book(site, target):
    """Prints every page of a built site into one file."""
    book = PdfWriter()
    with launched() as browser:
        for name in pages(yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))):
            started = time.monotonic()
            page = browser.new_page(viewport={"width": 1000, "height": 1400}, color_scheme="light")
            page.set_default_timeout(TIMEOUT_MS)
            page.goto((site / f"{name}.html").as_uri())
            page.wait_for_timeout(1500)  # WebGL in software
            page.evaluate(STILL)
            page.add_style_tag(content=PAPER)
            printed = page.pdf(prefer_css_page_size=True, print_background=True)
            book.append(io.BytesIO(printed), outline_item=page.title().split(" — ")[0])
            page.close()
            print(f"{name}: {len(book.pages)} pages so far, {time.monotonic() - started:.0f} s", flush=True)
    book.compress_identical_objects()
    with target.open("wb") as file:
        book.write(file)
    return len(book.pages)


if __name__ == "__main__":
    site, target = map(Path, sys.argv[1:])
    if CHROMIUM is None or not (site / "index.html").is_file():
        sys.exit(f"needs Chromium, and the built site at {site}: run `make book` first")
    count = print_book(site.resolve(), target)
    print(f"{target}: {count} pages, {target.stat().st_size / 1e6:.0f} MB")
