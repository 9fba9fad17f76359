"""The embedded models side by side, on a folder of documents with ground truth.

    python -m benchmarks.models CORPUS [layout|layout-sizes|tables|orientation|text-layer|...]

CORPUS is what benchmarks/quality.py takes; most comparisons need the packages of its
``requirements.txt``. Prints one markdown table or more for each comparison, all of them by default.
Models, thresholds and steps are those of the pipeline; seconds are CPU seconds of this process,
rendering left out.

Here is the command line only; each comparison has a module of its own beside this one.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.models.corpus import LABELS, Corpus
from benchmarks.models.figures import compare_figures
from benchmarks.models.layout import compare_layout, compare_layout_sizes
from benchmarks.models.orientation import compare_orientation
from benchmarks.models.readers import compare_products, compare_readers
from benchmarks.models.tables import compare_tables
from benchmarks.models.text import compare_text
from benchmarks.models.text_layer import compare_text_layer

COMPARISONS: Mapping[str, Callable[[Corpus], str]] = {
    "layout": compare_layout,
    "layout-sizes": compare_layout_sizes,
    "tables": compare_tables,
    "orientation": compare_orientation,
    "text-layer": compare_text_layer,
    "text": compare_text,
    "readers": compare_readers,
    "products": compare_products,
    "figures": compare_figures,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparisons that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("comparisons", nargs="*", help=", ".join(COMPARISONS))
    parser.add_argument("--limit", type=int, default=40, help="documents of each family")
    parser.add_argument("--labels", type=Path, help=f"labelled figures; default CORPUS/{LABELS}")
    chosen = parser.parse_args(arguments)
    names = chosen.comparisons or list(COMPARISONS)
    if unknown := [name for name in names if name not in COMPARISONS]:
        parser.error(
            f"there is no comparison {', '.join(unknown)}; choose {', '.join(COMPARISONS)}"
        )
    with tempfile.TemporaryDirectory(prefix="deepcompress-models-") as work:
        labels = chosen.labels or chosen.corpus / LABELS
        with Corpus(chosen.corpus, Path(work), chosen.limit, labels) as corpus:
            for name in names:
                print(f"### {name}\n\n{COMPARISONS[name](corpus)}\n", flush=True)


if __name__ == "__main__":
    main()
