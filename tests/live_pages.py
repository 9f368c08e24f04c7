"""The live page in Chromium: how tests open it, give it pictures and read what it says."""

import io

WIDE, PHONE = {"width": 1200, "height": 900}, {"width": 360, "height": 740}
LIVE = "Object.values(window.handlibLive)[0]"
PATIENCE = 60_000  # ms; a busy machine


def opened(browser, url, ready=True, **options):
    """A page whose `errors` and `requests` hold what it complained of and asked for."""
    page = browser.new_page(**({"viewport": WIDE, "reduced_motion": "reduce"} | options))
    page.set_default_timeout(PATIENCE)
    page.errors, page.requests = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(url)
    if ready:
        page.wait_for_selector(".handlib-live.ready")
    return page


def choose(page, sample):
    page.locator(".samples button").nth(sample).click()
    words(page, r"hand, .* extended\.$|No hand")  # not while others are looked for


def give(page, name, content):
    page.locator("input[type=file]").first.set_input_files({"name": name, "mimeType": "", "buffer": content})


def words(page, pattern):
    """The sentence on the page, once it matches."""
    page.wait_for_function("p => new RegExp(p).test(document.querySelector('.words').textContent)", arg=pattern)
    return page.locator(".words").inner_text()


def jpeg(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def covered(page):
    """Share of the picture that the mesh covers."""
    return page.evaluate("""() => {
        const canvas = document.querySelector("canvas.mesh"), copy = new OffscreenCanvas(canvas.width, canvas.height);
        const pen = copy.getContext("2d");
        pen.drawImage(canvas, 0, 0);
        return pen.getImageData(0, 0, copy.width, copy.height).data.filter((v, n) => n % 4 == 3 && v > 0).length
            / (copy.width * copy.height);
    }""")
