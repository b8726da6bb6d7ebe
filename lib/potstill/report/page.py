"""A page of one HTML file with everything in it, for a screen of any width, light or dark."""

from pathlib import Path

from potstill.report import figure

STYLE = Path(__file__).with_name("page.css")


def render(template: Path, **values: object) -> str:
    """Return a page; equal values give equal bytes. All text is escaped, nothing is fetched.

    Args:
        template: in Jinja; `style` is the style that pages share.
        values: what it shows.
    """
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    parts = [path.read_text(encoding="utf-8") for path in (figure.PALETTE, STYLE)]
    page = environment.from_string(template.read_text(encoding="utf-8"))
    return page.render(style=markupsafe.Markup("".join(parts)), **values).rstrip() + "\n"
