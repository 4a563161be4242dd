"""The report page in a real browser, from the file, at desktop and phone width, light and dark."""

import shutil

import pytest

from ddcnn.report import write_report
from fake_results import FakeExperiment

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORTS = {"desktop": (1280, 900), "phone": (390, 844), "small phone": (320, 640)}
PAPER = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A page with wide tables: three seeds, long class names, with and without coarse view."""
    results = tmp_path_factory.mktemp("browser") / "results"
    experiment = FakeExperiment(
        seeds=(0, 1, 2), classes=("T-shirt/top", "a class with a rather long name", "c", "d")
    )
    runs = experiment.write(results)
    settings = {"dataset": {"name": "x", "path": "/a/very/long/path" * 12}, "local": {"epochs": 8}}
    write_report("browser", runs, results, settings, results / "reports/browser")
    return results / "reports/browser/report.html"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(params=[(v, s) for v in VIEWPORTS for s in PAPER], ids=" ".join)
def opened(request, browser, page_file):
    """The opened page, with everything it asked for and complained about."""
    viewport, scheme = request.param
    width, height = VIEWPORTS[viewport]
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    asked, complaints = [], []
    page.on("request", lambda each: asked.append(each.url))
    page.on("console", lambda each: complaints.append(each.text))
    page.on("pageerror", lambda each: complaints.append(str(each)))
    page.goto(page_file.as_uri())
    page.wait_for_load_state("networkidle")
    yield page, scheme, [url for url in asked if not url.startswith("data:")], complaints
    page.close()


def test_page_is_whole_without_a_network(opened, page_file):
    page, scheme, asked, complaints = opened
    assert asked == [page_file.as_uri()]
    assert complaints == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == PAPER[scheme]


def test_every_figure_is_seen_and_described(opened):
    page, *_ = opened
    drawings = page.locator("figure .drawing").all()
    assert len(drawings) == 7
    for drawing in drawings:
        box = drawing.locator("svg").bounding_box()
        assert box["width"] > 200
        assert box["height"] > 100
        assert drawing.get_attribute("role") == "img"
        assert len(drawing.get_attribute("aria-label")) > 40
    captions = page.locator("figcaption").all()
    assert all(caption.is_visible() and caption.inner_text() for caption in captions)
    assert len(captions) == len(drawings)


def test_body_does_not_scroll_sideways(opened):
    page, *_ = opened
    wide = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide == 0


def test_text_stands_out_from_its_background(opened):
    """WCAG AA: 4.5 to 1 for all text of the page, on the page's own colour."""
    page, *_ = opened
    low = page.evaluate(CONTRAST_BELOW, 4.5)
    assert low == []


# Elements whose colour stands out less; text in figures is not looked at.
CONTRAST_BELOW = """limit => {
    const luminance = rgb => {
        const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const [red, green, blue] = rgb.map(v => linear(v / 255));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const parse = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const paper = luminance(parse(getComputedStyle(document.body).backgroundColor));
    const low = [];
    const texts = "h1, h2, h3, p, li, th, td, dt, dd, a, figcaption";
    for (const each of document.querySelectorAll(texts)) {
        const ink = luminance(parse(getComputedStyle(each).color));
        const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        if (ratio < limit) low.push([each.tagName, ratio, each.textContent.slice(0, 40)]);
    }
    return low;
}"""


def test_keyboard_reaches_contents_and_tables(opened):
    page, *_ = opened
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav') !== null")
    page.keyboard.press("Enter")
    assert "#" in page.url
    focusable = page.locator("[tabindex='0']").count()
    assert focusable >= 8


def test_prints_without_the_navigation(browser, page_file, tmp_path):
    page = browser.new_page()
    page.goto(page_file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("nav").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == PAPER["light"]
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
    page.close()
