import pytest

from shim.consuming.subscription import subscription
from shim.errors import KafkaError, KafkaException


def test_names_and_patterns() -> None:
    wanted = subscription(["a", "^b.*", 5])
    assert (wanted.topics, wanted.names) == (("a", "^b.*", "5"), ["a", "5"])
    assert wanted.unmet({"b1", "5"}) == ["a"]
    assert wanted.unmet({"ab"}) == ["a", "^b.*", "5"]
    assert wanted.unmet({"a", "b", "5"}) == []


@pytest.mark.parametrize("wrong", [[], [""], ["a", "a"], ["^(["], ["^*"]])
def test_what_is_none(wrong: list[str]) -> None:
    with pytest.raises(KafkaException) as refused:
        subscription(wrong)
    assert refused.value.args[0].code() == KafkaError._INVALID_ARG  # noqa: SLF001


def test_patterns_of_posix_are_left_to_postgres() -> None:
    assert subscription(["^[[:alpha:]]+"]).topics == ("^[[:alpha:]]+",)
