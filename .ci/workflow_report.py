"""Make Snakemake's own report of the finished quickstart and open it without a network.

Every category must show its results, every result its caption, and a figure its picture; the page
must ask for nothing outside of itself and run without an error.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "logs" / "ci" / "workflow-report.html"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
CATEGORIES = {"Figures": 6, "Page": 1, "Tables": 4}  # results, at least
LONG = 40  # signs of a caption that says something


def check_category(page: Page, name: str, least: int) -> None:
    """Open a category, the caption of each of its results, and the picture of a figure."""
    page.goto(REPORT.as_uri())
    captions = open_category(page, name)
    if captions.count() < least:
        sys.exit(f"{name}: {captions.count()} results instead of {least} or more")
    for number in range(captions.count()):
        open_category(page, name).nth(number).click()
        page.get_by_text("Snakemake rule").wait_for()
        text = re.search(r"DESCRIPTION(.*?)SIZE", page.inner_text("body"), re.DOTALL)
        if not text or len(text[1].strip()) < LONG:
            sys.exit(f"{name}: result {number} has no caption")
    if name == "Figures":
        open_category(page, name)
        page.locator("a[iconname='eye']").first.click()
        page.locator("img[src^='data:image/svg+xml']").first.wait_for()


def open_category(page: Page, name: str) -> Locator:
    """Go to a category; the buttons that show the captions of its results."""
    page.get_by_text(name, exact=True).first.click()  # the menu comes before the text
    buttons = page.locator("a[iconname='information-circle']")
    buttons.first.wait_for()
    return buttons


def main() -> None:
    """Fail with a sentence where something is missing."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["snakemake", "--report", str(REPORT)], cwd=ROOT, check=True)
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    asked, errors = [], []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_context(offline=True).new_page()
        page.on("request", lambda each: asked.append(each.url))
        page.on("pageerror", lambda each: errors.append(str(each)))
        page.on("console", lambda each: errors.append(each.text) if each.type == "error" else None)
        for name, least in CATEGORIES.items():
            check_category(page, name, least)
        browser.close()
    outside = {u for u in asked if not u.startswith("data:")} - {REPORT.as_uri()}
    if outside or errors:
        sys.exit(f"asked for {sorted(outside)}; errors: {errors}")
    print(f"{REPORT.name}: {len(CATEGORIES)} categories, every result with its caption")


if __name__ == "__main__":
    main()
