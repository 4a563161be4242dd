"""Report pages in a real browser, from the file, at desktop and phone width, light and dark."""

import shutil
from pathlib import Path

import pytest

from ddcnn.report import write_report
from ddcnn.report.figures import style
from fake_results import FakeExperiment, experiment_of

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


QUICKSTART = Path("results/reports/quickstart/report.html")  # of a run in this checkout, if any
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
EXPERIMENTS = {
    "study": FakeExperiment(
        seeds=(0, 1, 2, 3, 4),
        classes=("T-shirt/top", "a class with a rather long name", "c", "d"),
        tilings=(
            ("blocks", "2x2", 0, False),
            ("blocks", "2x2", 4, False),
            ("blocks", "2x2", 4, True),
            ("blocks", "4x4", 2, True),
        ),
    ),
    "quickstart": FakeExperiment(
        classes=CLASSES,
        tilings=tuple(("blocks", "2x2", o, view) for o in (0, 4) for view in (False, True)),
    ),
}
SETTINGS = {"dataset": {"name": "x", "path": "a-very-long-name" * 12}, "local": {"epochs": 8}}
OPENINGS = [("study", viewport, scheme) for viewport in VIEWPORTS for scheme in PAPER]
OPENINGS += [("quickstart", "desktop", "dark"), ("quickstart", "phone", "light")]
OPENINGS += [("real quickstart", "desktop", "light")] if QUICKSTART.is_file() else []


@pytest.fixture(scope="module")
def page_files(tmp_path_factory):
    """A study of 4 decompositions and 5 seeds with long names, and a faithful quickstart."""
    files = {"real quickstart": QUICKSTART.resolve()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "FORMATS", {"svg": style.FORMATS["svg"]})  # that the pages hold
        for name, experiment in EXPERIMENTS.items():
            results = tmp_path_factory.mktemp(name) / "results"
            experiment.write(results)
            asked = experiment_of(experiment, name=name, **SETTINGS)
            write_report(asked, results, results / "reports")
            files[name] = results / "reports/report.html"
    return files


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=OPENINGS, ids=" ".join)
def opened(request, browser, page_files):
    """The opened page, with everything it asked for and complained about."""
    name, viewport, scheme = request.param
    width, height = VIEWPORTS[viewport]
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
    )
    asked, complaints = [], []
    page.on("request", lambda each: asked.append(each.url))
    page.on("console", lambda each: complaints.append(each.text))
    page.on("pageerror", lambda each: complaints.append(str(each)))
    page.goto(page_files[name].as_uri())
    page.wait_for_load_state("networkidle")
    asked = [url for url in asked if not url.startswith("data:")]
    yield page, page_files[name], scheme, asked, complaints
    page.close()


@pytest.fixture
def study_page(browser, page_files):
    """The study, opened anew for a test that changes it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, offline=True)
    page.goto(page_files["study"].as_uri())
    # Not by a click, which would move the focus.
    table = page.locator("details", has_text="to sort and filter")
    table.first.evaluate("details => { details.open = true; }")
    yield page
    page.close()


def test_page_is_whole_without_a_network(opened):
    page, file, scheme, asked, complaints = opened
    assert asked == [file.as_uri()]
    assert complaints == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == PAPER[scheme]


def test_every_figure_is_seen_and_described(opened):
    page, file, *_ = opened
    drawings = page.locator("figure .drawing").all()
    beside = page.locator("li code", has_text="figures/").count()
    assert len(drawings) + beside == len(list((file.parent / "figures").glob("*.svg")))
    assert len(drawings) == 6
    assert page.locator("svg").count() == len(drawings)
    assert page.locator("img:not([alt])").count() == 0
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


def test_keyboard_reaches_contents_and_tables(study_page):
    page = study_page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav') !== null")
    page.keyboard.press("Enter")
    assert "#" in page.url
    scrolling = page.locator(".drawing, .scroll")
    assert scrolling.count() > 12
    assert page.locator(".drawing[tabindex='0'], .scroll[tabindex='0']").count() == (
        scrolling.count()
    )


def shown_scores(page):
    rows = page.locator("table.sortable").first.locator("tbody tr:not([hidden])")
    return [float(row.locator("td").nth(1).get_attribute("data-value")) for row in rows.all()]


def test_sorts_by_mouse_and_keyboard(study_page):
    page = study_page
    table = page.locator("table.sortable").first
    head = table.locator("thead th").nth(3)
    before = shown_scores(page)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert shown_scores(page) == sorted(before) != before
    page.keyboard.press("Enter")  # the button has kept the focus
    assert head.get_attribute("aria-sort") == "descending"
    assert shown_scores(page) == sorted(before, reverse=True)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    sorted_by = table.locator("thead th[aria-sort]").all()
    assert [each.inner_text().split()[0] for each in sorted_by] == ["Against"]
    # The global net is not compared with itself: a row without a value stays last.
    assert table.locator("tbody tr").last.locator("th").nth(1).inner_text() == "global"


def test_filters_rows_and_says_how_many(study_page):
    page = study_page
    every = len(shown_scores(page))
    rows = page.locator("table.sortable").first.locator("tbody tr")
    page.get_by_label("Filter rows").first.focus()
    page.keyboard.type("4x4 mean")
    visible = [row.inner_text() for row in rows.all() if row.is_visible()]
    assert len(visible) == 1
    assert "4x4" in visible[0]
    assert "mean" in visible[0]
    assert page.get_by_role("status").first.inner_text() == f"1 of {every} rows"
    page.get_by_label("Filter rows").first.fill("")
    assert len([row for row in rows.all() if row.is_visible()]) == every


def test_tables_are_complete_without_the_script(browser, page_files, study_page):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_files["study"].as_uri())
    assert shown_scores(page) == shown_scores(study_page)
    assert page.locator("input, button").count() == 0
    context.close()


def test_the_page_itself_forbids_to_load_and_to_run_anything_else(study_page):
    refused = study_page.evaluate(
        """async () => {
            const refused = [];
            addEventListener("securitypolicyviolation", e => refused.push(e.effectiveDirective));
            window.ran = false;
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            const image = document.createElement("img");
            image.src = "http://127.0.0.1:9/pixel.png";
            document.body.append(image);
            await fetch("http://127.0.0.1:9/").catch(() => {});
            await new Promise(done => setTimeout(done, 100));
            return [...refused, window.ran];
        }"""
    )
    assert set(refused) == {"script-src-elem", "img-src", "connect-src", False}


def test_prints_everything_but_navigation_and_tools(study_page, tmp_path):
    page = study_page
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not page.locator("nav").is_visible()
    assert not page.get_by_label("Filter rows").first.is_visible()
    closed = page.locator("details:not([open])")
    assert all("Every" in each.inner_text() for each in closed.all())
    assert page.locator(".findings li").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == PAPER["light"]
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.locator(".findings li").first.is_visible()
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
