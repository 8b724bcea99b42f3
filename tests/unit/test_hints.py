from shim.store.claims import EVERYTHING, After
from shim.store.hints import Hints, Reach, Seen

LOOKED = Seen("emails", claimable=True, behind=False, expired=False, nothing_before=None)


def place(second: int) -> After:
    return After(f"2026-01-01 00:00:{second:02}+00", second)


def claims(hints: Hints, *, seconds: range, took: float = 0.001) -> list[Reach]:
    """Claims something each second, and says how far back each claim went."""
    reaches = []
    for second in seconds:
        look, _ = hints.begin_claim("emails", float(second))
        hints.end_claim("emails", look, place(second % 60), second + took)
        reaches.append(look.reach)
    return reaches


def test_a_claim_begins_where_the_last_one_ended() -> None:
    hints = Hints()
    look, after = hints.begin_claim("emails", 100.0)
    assert (look.reach, after) == (Reach.ALL, EVERYTHING)
    hints.end_claim("emails", look, place(1), 100.01)
    look, after = hints.begin_claim("emails", 100.02)
    assert (look.reach, after) == (Reach.NEAR, place(1))
    assert hints.begin_claim("reports", 100.03)[1] == EVERYTHING


def test_once_a_second_a_claim_goes_back_ten_seconds() -> None:
    hints = Hints()
    claims(hints, seconds=range(100, 101), took=1.0)
    claims(hints, seconds=range(102, 130), took=0.0)
    look, after = hints.begin_claim("emails", 130.0)
    assert (look.reach, after) == (Reach.BACK, place(119 % 60))
    look, after = hints.begin_claim("emails", 130.1)
    assert (look.reach, after) == (Reach.NEAR, place(129 % 60))


def test_going_back_gets_a_twentieth_of_the_time() -> None:
    reaches = claims(Hints(), seconds=range(100, 150), took=0.5)
    assert reaches == [Reach.ALL, *([Reach.BACK] + [Reach.NEAR] * 10) * 4, *[Reach.BACK] + [Reach.NEAR] * 4]


def test_what_is_cheap_goes_all_the_way_every_second() -> None:
    assert claims(Hints(), seconds=range(100, 103)) == [Reach.ALL, Reach.BACK, Reach.ALL]


def test_what_is_dear_goes_all_the_way_rarely() -> None:
    hints = Hints()
    reaches = claims(hints, seconds=range(100, 400), took=1.0)
    assert reaches.count(Reach.ALL) == 2
    assert claims(hints, seconds=range(1000, 2000), took=60.0).count(Reach.ALL) == 3


def test_looks_have_a_twentieth_of_the_time_and_are_never_away_for_longer_than_half_a_minute() -> None:
    hints = Hints()
    look, *_ = hints.begin_look(["emails"], 100.0)
    assert (look.reach, look.window_ms) == (Reach.ALL, None)
    hints.end_look(look, [LOOKED], 100.1)
    look, *_ = hints.begin_look(["emails"], 100.5)
    assert (look.reach, look.window_ms) == (Reach.NEAR, 700)
    look, *_ = hints.begin_look(["emails"], 102.2)
    assert look.reach is Reach.ALL
    hints.end_look(look, [LOOKED], 112.2)
    assert hints.begin_look(["emails"], 142.1)[0].reach is Reach.BACK
    assert hints.begin_look(["emails"], 142.3)[0].reach is Reach.ALL


def test_a_claim_goes_all_the_way_for_what_a_look_has_seen_behind() -> None:
    hints = Hints()
    claims(hints, seconds=range(100, 130), took=2.0)
    assert hints.begin_claim("emails", 130.0)[0].reach is not Reach.ALL
    look, *_ = hints.begin_look(["emails"], 130.1)
    hints.end_look(look, [LOOKED._replace(behind=True)], 130.2)
    assert hints.begin_claim("emails", 130.3)[0].reach is Reach.ALL
    assert hints.begin_claim("emails", 130.4)[0].reach is Reach.NEAR


def test_who_came_away_with_nothing_goes_back_for_what_a_look_has_seen() -> None:
    hints = Hints()
    claims(hints, seconds=range(100, 130), took=2.0)
    claim, _ = hints.begin_claim("emails", 130.0)
    hints.end_claim("emails", claim, None, 130.0)
    look, *_ = hints.begin_look(["emails"], 130.1)
    hints.end_look(look, [LOOKED], 130.2)
    assert hints.begin_claim("emails", 130.3)[0].reach is Reach.BACK


def test_where_nothing_is_due_claims_begin_at_the_last_seconds() -> None:
    hints = Hints()
    look, *_ = hints.begin_look(["emails"], 100.0)
    hints.end_look(look, [LOOKED._replace(claimable=False, nothing_before="2026-01-01 00:00:00+00")], 100.5)
    _, after, past = hints.begin_look(["emails"], 101.0)
    assert after == past == [After("2026-01-01 00:00:00+00", 0)]


def test_a_recovery_goes_no_further_back_than_the_last_one_and_the_late_ones() -> None:
    hints = Hints()
    look = hints.begin_recovery("emails", 100.0)
    assert look.window_ms is None
    hints.end_recovery("emails", look, 102.0, more=False)
    assert hints.begin_recovery("emails", 103.0).window_ms == 13_000


def test_a_recovery_goes_all_the_way_for_what_is_left_or_seen() -> None:
    hints = Hints()
    hints.end_recovery("emails", hints.begin_recovery("emails", 100.0), 102.0, more=True)
    look = hints.begin_recovery("emails", 102.1)
    assert look.window_ms is None
    hints.end_recovery("emails", look, 104.0, more=False)
    assert hints.begin_recovery("emails", 105.0).window_ms is not None
    seen, *_ = hints.begin_look(["emails"], 105.1)
    hints.end_look(seen, [LOOKED._replace(expired=True)], 105.2)
    assert hints.begin_recovery("emails", 106.0).window_ms is None
