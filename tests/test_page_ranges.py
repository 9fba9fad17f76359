import pytest

from deepcompress_dagster import page_ranges


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("", set()), ("3", {3}), ("1-3", {1, 2, 3}), (" 1 - 2 , 8 ", {1, 2, 8}), ("2,1-2", {1, 2})],
)
def test_ranges_name_their_pages(text: str, numbers: set[int]) -> None:
    assert page_ranges.parse(text) == numbers


@pytest.mark.parametrize("text", ["0", "3-1", "a", "1-", "1,,2", "-1", "1-2-3"])
def test_what_is_no_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="1-5,8"):
        page_ranges.parse(text)


@pytest.mark.parametrize(
    ("pages", "text"),
    [([], ""), ([1], "1"), ([3, 1, 2], "1-3"), ([2, 3, 5, 9, 10], "2-3,5,9-10")],
)
def test_pages_are_read_as_they_are_written(pages: list[int], text: str) -> None:
    assert page_ranges.in_short(pages) == text
    assert page_ranges.parse(text) == set(pages)
