"""Parse one PDF as a library and print its markdown and its tables.

python examples/parse_pdf.py samples/orchard-tables.pdf
"""

import sys

from deepcompress_dagster import parse


def main(path: str) -> None:
    document = parse(path)
    print(document.markdown)
    for table in document.tables.iter_rows(named=True):
        print(f"page {table['page_number']}: {table['n_rows']} x {table['n_columns']} cells")


if __name__ == "__main__":
    main(sys.argv[1])
