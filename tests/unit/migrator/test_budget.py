"""Dead letters are tolerated up to a number, topic by topic, and a batch counts once however often it is tried."""

import pytest

from migrator.drain.batch import Gaps, Place, Span
from migrator.drain.budget import Budget, BudgetExceededError


def span(topic: str = "emails", start: int = 0) -> Span:
    return Span(Place(1 if topic == "emails" else 2, topic, 0), 1, start, start + 10, (), 0, Gaps())


def test_a_batch_that_is_tried_again_is_charged_once() -> None:
    budget = Budget(5, {})

    for _ in range(10):
        budget.charge(span(), 5)


def test_one_more_than_the_limit_is_too_many() -> None:
    budget = Budget(5, {"emails": 2})
    budget.charge(span(), 3)

    with pytest.raises(BudgetExceededError) as exceeded:
        budget.charge(span(start=10), 1)

    assert exceeded.value.needed > 5


def test_topics_have_budgets_of_their_own() -> None:
    budget = Budget(5, {"reports": 5})

    budget.charge(span("emails"), 5)
    with pytest.raises(BudgetExceededError):
        budget.charge(span("reports"), 1)
