"""The reference page is what the code says."""

from tests.support.reference import PAGE, page


def test_reference_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.support.reference"
