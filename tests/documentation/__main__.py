"""``python -m tests.documentation [--compose] [page ...]``: the commands of these pages, or of all."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.documentation.commands import PAGES
from tests.documentation.place import Place, write_data
from tests.fuzz import runner


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.documentation", description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="page", help="names of pages, such as tutorial.md")
    parser.add_argument("--compose", action="store_true", help="compose the commands only")
    options = parser.parse_args()
    if unknown := set(options.pages) - {page.name for page in PAGES}:
        parser.error(f"there is no page {', '.join(sorted(unknown))}")
    runner.prepare()
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_data(data)
        for page in PAGES:
            if not options.pages or page.name in options.pages:
                (Path(folder) / page.stem).mkdir()
                faults += Place(Path(folder) / page.stem, data, page).faults(whole=not options.compose)
    print("\n".join(faults))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
