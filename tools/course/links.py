"""Where labels, equations and citations of the book lead: what MyST resolves in a build, for notebooks."""

import re
from typing import NamedTuple

SITE = "https://OWNER.github.io/handlib"  # set by `make repository`
LABEL = re.compile(r"^\(([\w-]+)\)=\n+#+ (.+)$", re.M)
EQUATION = re.compile(r"\$\$ \(([\w-]+)\)")


class Links(NamedTuple):
    """Addresses on the site by label, and short citations by key."""

    sections: dict[str, tuple[str, str]]  # label -> page, title
    equations: dict[str, str]  # label -> page
    works: dict[str, str]  # key -> "Baek et al., 2019"
    site: str = SITE

    @classmethod
    def of(cls, book, site=SITE):
        sections, equations = {}, {}
        for path in sorted(book.glob("*.md")):
            text = path.read_text("utf-8")
            sections |= {label: (path.stem, title) for label, title in LABEL.findall(text)}
            equations |= {label: path.stem for label in EQUATION.findall(text)}
        return cls(sections, equations, read_works((book / "references.bib").read_text("utf-8")), site)

    def section(self, label, text=""):
        page, title = self.sections[label]
        return f"[{text or title}]({self.site}/book/{page}.html#{label})"

    def equation(self, label):
        paper = re.fullmatch(r"P(\d+)", label)
        text = f"Eq. {label}" if paper else "the equation"
        return f"[{text}]({self.site}/book/{self.equations[label]}.html#equation-{label.lower()})"

    def citation(self, keys):
        works = "; ".join(self.works[key.strip()] for key in keys.split(","))
        return f"([{works}]({self.site}/book/references.html))"


def read_works(bibliography):
    """Short citations of a BibTeX file."""
    works = {}
    for entry in re.split(r"^@", bibliography, flags=re.M)[1:]:
        key = re.match(r"\w+\{([^,\s]+)", entry)
        fields = dict(re.findall(r"^\s*(\w+)\s*=\s*[{\"](.*?)[}\"],?\s*$", entry, re.M))
        if key is None or "year" not in fields:
            continue
        names = [last_name(name) for name in re.split(r"\s+and\s+", fields.get("author", fields.get("key", key[1])))]
        who = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
        works[key[1]] = f"{who}, {fields['year']}"
    return works


def last_name(name):
    name = re.sub(r"\\['\"`^~a-z]\{?(\w)\}?|[{}]", lambda match: match[1] or "", name).strip()
    return name.split(",")[0] if "," in name else name.split()[-1]
