"""HTML without active content: no script runs, and nothing is loaded from elsewhere. Links that a reader clicks stay.

Outputs of a notebook may hold any HTML. A page loses its scripts, frames, forms and event handlers, and every address
that a browser would load; a Content-Security-Policy in its head forbids whatever else a browser might find in it.
"""

import html
import re
from html.parser import HTMLParser

POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; media-src data:; '
    "font-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
)
REMOVED = {
    "script", "iframe", "frame", "frameset", "object", "embed", "applet", "link", "base", "form", "portal", "animate",
    "set", "noscript", "noembed", "noframes", "xmp", "plaintext", "template", "textarea",
}  # fmt: skip
ADDRESSES = {"src", "href", "xlink:href", "data", "poster", "background", "action", "formaction", "cite"}
LISTS = {"srcset", "srcdoc", "ping", "imagesrcset"}  # of addresses, or whole pages: never needed here
CLICKED = {"a", "area"}
REMOTE_STYLE = re.compile(r"@import[^;]*;?|url\(\s*[\"']?(?!data:|#)[^)]*\)?|expression\s*\(", re.I)


def passive(page: str) -> str:
    """The page without active content; a passive page stays as it is."""
    parser = _Passive()
    parser.feed(page)
    parser.close()
    return "".join(parser.parts)


class _Passive(HTMLParser):
    """Collects in `parts` what may stay, as it stands in the page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.inside = ""  # "script" or "style", whose content is no HTML

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag if tag in self.CDATA_CONTENT_ELEMENTS else ""
        if tag in REMOVED or (tag == "meta" and "http-equiv" in dict(attrs)):
            return
        kept = [kept for name, value in attrs if (kept := _attribute(tag, name, value))]
        whole = kept == attrs
        self.parts.append(self.get_starttag_text() if whole else _written(tag, kept))
        if tag == "head":
            self.parts.append(POLICY)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.inside = ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""
        if tag not in REMOVED:
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self.inside == "style":
            data = REMOTE_STYLE.sub("", data)
        if self.inside != "script":
            self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.parts.append(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")


def _attribute(tag: str, name: str, value: str | None) -> tuple[str, str | None] | None:
    """An attribute that may stay, a style without addresses; None for an event handler or an address that is loaded."""
    if name.startswith("on") or name in LISTS:
        return None
    if name in ADDRESSES and not _may_stay(tag, value or ""):
        return None
    return name, REMOTE_STYLE.sub("", value) if name == "style" and value else value


def _may_stay(tag: str, address: str) -> bool:
    """Relative addresses and anchors; data of pictures; and links to the web that are only followed by a click."""
    plain = re.sub(r"[\x00-\x20\x7f-\xa0]", "", address).lower()
    if tag in CLICKED:
        return not re.match(r"[\w.+-]+:", plain) or plain.startswith(("http:", "https:", "mailto:"))
    return plain.startswith("data:") or not re.match(r"[\w.+-]+:|[/\\]{2}", plain)


def _written(tag: str, attrs: list[tuple[str, str | None]]) -> str:
    return "".join(
        [f"<{tag}", *(name if value is None else f' {name}="{html.escape(value)}"' for name, value in attrs), ">"]
    )
