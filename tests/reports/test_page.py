import re
from html.parser import HTMLParser

import pandas as pd
from matplotlib.figure import Figure

from fer_tf.reports import results_page


def test_text_is_escaped_everywhere():
    frame = pd.DataFrame({"<b>": ["<script>", "x"], "n": [1.25, float("nan")]})
    text = results_page.page("a & b", "<i>", [("<h>", results_page.table(frame))])
    assert "<script>" not in text and "<i>" not in text and "<h>" not in text
    assert "a &amp; b" in text and "&lt;script&gt;" in text and '<td class="number">1.25</td>' in text and "–" in text


def test_the_page_needs_nothing_from_elsewhere():
    figure = Figure()
    figure.subplots().plot([1, 2])
    text = results_page.page("t", "n", [("curves", results_page.picture(figure, 'with "quotes"'))])
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(links) == 1 and links[0].startswith("data:image/png;base64,iVBOR")
    assert "url(" not in text and "@import" not in text


def test_tags_are_balanced():
    class Balance(HTMLParser):
        open = ()

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                self.open = (*self.open, tag)

        def handle_endtag(self, tag):
            assert self.open[-1] == tag
            self.open = self.open[:-1]

    parser = Balance()
    parser.feed(results_page.page("t", "n", [("a", results_page.table(pd.DataFrame({"x": [1]})))]))
    assert parser.open == ()
