"""The website: README.md, the pages of docs/ and the executed chapters. `make docs` builds it in site/html/."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")
CONTENTS = """

```{{toctree}}
:hidden:
:caption: {caption}
:glob:

{pages}
```
"""
PAGES = "docs/results\ndocs/number_of_clusters\ndocs/experts\ndocs/*\ndata/README\nmodels/README\nCONTRIBUTING"

project = "Taxonomy from pictures"
author = copyright = "The Taxonomy from Pictures authors"
extensions = ["myst_nb"]
root_doc = "README"
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/*.md", "data/README.md", "models/README.md", "notebooks/*.ipynb"]
nb_execution_mode = "off"  # the chapters show the run that is committed
nb_merge_streams = True
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
html_theme = "furo"
html_title = project
html_copy_source = False


def adapt(app, page, source):
    """Add the table of contents to README.md, and take links to folders away: a website has pages for files only."""
    folder = (ROOT / page).parent
    source[0] = LINK.sub(lambda link: link[1] if (folder / link[2]).is_dir() else link[0], source[0])
    if page == root_doc:
        source[0] += CONTENTS.format(caption="Pages", pages=PAGES)
        source[0] += CONTENTS.format(caption="Chapters", pages="notebooks/*")


def setup(app):
    app.connect("source-read", adapt)
