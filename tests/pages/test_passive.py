"""Pages that do nothing: what runs or is loaded is gone, all else stays as it was."""

import re

import pytest

from cdir_nb.pages.passive import POLICY, passive

PLAIN = """<!DOCTYPE html>
<html lang="en"><head>{}<meta charset="utf-8" /><title>A &amp; B</title>
<style>td {{ color: #123 }} a::after {{ content: "<>" }}</style></head>
<body class=x><p title='a > b'>1 &lt; 2 &#8594; 3 &copy; <br/> <img src="data:image/png;base64,AAAA" alt=""> $x<y$</p>
<details open><summary>s</summary><a href="https://arxiv.org/abs/1">paper</a>
<a href="#top">top</a> <a href="01.ipynb">01</a></details><math><mi mathvariant="bold">x</mi></math>
<table><tr><td style="background: url(#a)">1</td></tr></table></body></html>"""


def test_a_page_without_active_content_stays_and_gets_a_policy():
    assert passive(PLAIN.format("")) == PLAIN.format(POLICY)
    assert passive(PLAIN.format(POLICY)) == PLAIN.format(POLICY)


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        '<script src="https://evil.example/x.js"></script >',
        "<SCRIPT>if (a < b) alert(1)</ScRiPt>",
        "<img src=x onerror=alert(1)>",
        '<img src="https://evil.example/pixel.png">',
        "<img src='//evil.example/pixel.png'>",
        r"<img src='\\evil.example\pixel.png'>",
        '<img srcset="https://evil.example/a.png 2x">',
        "<svg/onload=alert(1)>",
        "<svg><script>alert(1)</script></svg>",
        '<svg><image href="https://evil.example/a.svg"/></svg>',
        '<svg><use xlink:href="https://evil.example/a.svg#x"/></svg>',
        '<iframe src="https://evil.example"></iframe>',
        '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
        '<object data="https://evil.example/a.swf"></object>',
        "<embed src=https://evil.example/a>",
        '<link rel="stylesheet" href="https://evil.example/a.css">',
        '<base href="https://evil.example/">',
        '<meta http-equiv="refresh" content="0;url=https://evil.example">',
        '<form action="https://evil.example"><button formaction="javascript:alert(1)">b</button></form>',
        '<a href="javascript:alert(1)">a</a>',
        '<a href="jav&#x09;ascript:alert(1)">a</a>',
        '<a href=" &#1; JAVASCRIPT:alert(1)">a</a>',
        '<a href="data:text/html,<script>alert(1)</script>">a</a>',
        '<style>@import "https://evil.example/a.css"; p { background: url(https://evil.example/a.png) }</style>',
        '<p style="background: url(//evil.example/a.png)">a</p>',
        '<video poster="https://evil.example/a.png"></video>',
        '<body background="https://evil.example/a.png">',
        "<!--><img src=x onerror=alert(1)>-->",
        "<![CDATA[<img src=x onerror=alert(1)>]]>",
        "<?xml <img src=x onerror=alert(1)> ?>",
        "<img/src=x/onerror=alert(1)",
    ],
)
def test_active_content_is_removed_and_its_surroundings_stay(evil):
    page = passive(f"<html><head></head><body><p>before</p>{evil}<p>after</p></body></html>")
    body = page.split("</head>")[1]
    assert "<p>before</p>" in body
    tags = " ".join(re.findall(r"<[a-z][^>]*>", body, re.I))
    assert not re.search(
        r"<(script|iframe|object|embed|link|base|form|meta)|\son\w+\s*=|javascript:|data:text", tags, re.I
    )
    assert "evil.example" not in tags and not re.search(r"url\(|@import", body)
