"""The index of the experiments and its pages: no script without a page, no link that leads nowhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "experiments"
PAGES = sorted(ROOT.rglob("*.md"))
INDEX = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]
    assert links and not missing


def test_the_index_names_every_page_and_every_script():
    assert set(re.findall(r"\(results/([\w-]+)\.md\)", INDEX)) == {page.stem for page in (ROOT / "results").iterdir()}
    assert {script.name for script in ROOT.glob("*.py")} <= set(re.findall(r"`(\w+\.py)`", INDEX))
