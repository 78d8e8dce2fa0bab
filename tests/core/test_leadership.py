"""Of several controllers at most one acts, whatever their clocks say and however late their requests arrive."""

import heapq
from collections.abc import Callable, Generator
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from taskfleet.core.leadership import NEVER, Candidacy, Claim, Timing

TIMING = Timing()
OFFSETS = st.floats(-1e6, 1e6)
# A clock that runs a tenth too slow or too fast: far more than any that is not broken.
RATES = st.floats(0.9, 1.1)

Life = Generator[float, None, None]
Answer = Generator[float, None, bool]


class Election:
    """Controllers with clocks of their own around one Lease, over a network that is late now and then.

    The Lease is as the API server has it: a write over another version than the newest is refused.
    """

    def __init__(self, seed: int, timing: Timing) -> None:
        self.timing = timing
        self.random = Random(seed)
        self.now = 0.0
        self.claim: Claim | None = None
        self.version = 0
        self.controllers: list[Controller] = []
        self.begun = 0
        self.trouble = ""
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._events = 0

    def at(self, seconds: float, do: Callable[[], None]) -> None:
        """Do it so many seconds from now."""
        self._events += 1
        heapq.heappush(self._due, (self.now + seconds, self._events, do))

    def run(self, seconds: float) -> None:
        for each in self.controllers:
            self.live(each.stand_by_and_lead())
        while self._due[0][0] < seconds:
            self.now, _, do = heapq.heappop(self._due)
            do()

    def live(self, life: Life) -> None:
        wait = next(life)
        self.at(wait, lambda: self.live(life))

    def late(self) -> float:
        """How long something takes on the wire: nearly always little, at times half a minute."""
        return self.random.choice((0.001, 0.01, 0.1, 0.5, self.random.uniform(0, 3), self.random.uniform(0, 30)))

    def held(self) -> float:
        """How long a process is held still beyond what it waits for."""
        return self.random.choice((0.0,) * 12 + (self.random.uniform(0, 30),))

    def write(self, claim: Claim, over: int) -> bool:
        if over != self.version:
            return False
        self.claim, self.version = claim, self.version + 1
        return True

    def acting_begins(self) -> None:
        """Two act at once if one begins while another one acts."""
        self.begun += 1
        acting = [each.name for each in self.controllers if each.acts()]
        if len(acting) > 1:
            self.trouble = f"{acting} act at once after {self.now:g} s"


class Controller:
    """Does as the real one does: looks, claims when it may, renews, and now and then stops and starts again."""

    def __init__(self, name: str, election: Election) -> None:
        self.name = name
        self._election = election
        self._offset = election.random.uniform(-1e6, 1e6)
        self._rate = election.random.uniform(0.9, 1.1)
        self._candidacy = Candidacy(name, election.timing)
        self._version = 0
        self._writes = 0

    def acts(self) -> bool:
        return self.clock() < self._candidacy.acts_until

    def clock(self) -> float:
        return self._offset + self._rate * self._election.now

    def stand_by_and_lead(self) -> Life:
        while True:
            if (yield from self.look()) and self._candidacy.may_take(self.clock()):
                yield from self.write(self.name)
            if self.acts():
                yield from self.renew_until_lost()
            yield self.until(self._candidacy.next_look(self.clock()))

    def renew_until_lost(self) -> Life:
        while self.acts():
            yield self.until(min(self._candidacy.next_renewal(self.clock()), self._candidacy.acts_until))
            if self._election.random.random() < 0.1:
                self._candidacy.let_go()
                yield from self.write("")
            elif self.acts() and not (yield from self.write(self.name)):
                yield from self.look()

    def until(self, at: float) -> float:
        return max(0.0, at - self.clock()) / self._rate + self._election.held()

    def look(self) -> Answer:
        yield self._election.random.uniform(0, 0.5)
        claim, version = self._election.claim, self._election.version
        yield self._election.random.uniform(0, 0.5) + self._election.held()
        self._version = version
        self._candidacy.saw(claim, self.clock())
        return True

    def write(self, holder: str) -> Answer:
        """The request arrives also when its answer is not waited for."""
        election, began = self._election, self.clock()
        self._writes += 1
        claim = Claim(holder, election.timing.lease, f"{self.name} {self._writes}")
        over, accepted = self._version, False

        def arrives() -> None:
            nonlocal accepted
            accepted = election.write(claim, over)

        there, back = election.held() + election.late(), election.late()
        election.at(there, arrives)
        yield min(there + back + 0.001, election.timing.answer) + election.held()
        if there + back > election.timing.answer or not accepted:
            return False
        self._version = over + 1
        self._candidacy.wrote(claim, began, self.clock())
        if self.acts():
            election.acting_begins()
        return True


def elect(seed: int, timing: Timing) -> Election:
    election = Election(seed, timing)
    election.controllers = [Controller(name, election) for name in "abc"]
    election.run(600.0)
    return election


@given(seed=st.integers(0, 2**32))
@settings(max_examples=150)
def test_at_most_one_acts_at_any_time(seed: int) -> None:
    assert elect(seed, TIMING).trouble == ""


def test_the_simulation_sees_leaders_and_two_at_once_where_a_holder_gives_up_too_late() -> None:
    assert min(elect(seed, TIMING).begun for seed in range(20)) > 5
    careless = Timing(give_up=13.0)
    assert any(elect(seed, careless).trouble for seed in range(20))


@given(offset=OFFSETS, rate=RATES)
def test_the_others_take_a_dead_ones_place_within_fifteen_seconds(offset: float, rate: float) -> None:
    """The holder dies right after a renewal that came right after a look of the other one: the longest wait."""
    other, now = Candidacy("b", TIMING), 0.0
    other.saw(Claim("a", TIMING.lease, "old"), offset)
    while not other.may_take(offset + rate * now):
        own = offset + rate * now
        now += (other.next_look(own) - own) / rate
        other.saw(Claim("a", TIMING.lease, "new"), offset + rate * now)
        assert now < 15.0
    assert now >= TIMING.lease * 0.9


def test_a_lease_that_was_let_go_may_be_taken_at_once() -> None:
    one = Candidacy("b", TIMING)
    one.saw(Claim("a", 10.0, "1"), now=5.0)
    assert not one.may_take(6.0)
    one.saw(Claim("", 10.0, "2"), now=6.0)
    assert one.may_take(6.0)


def test_a_lease_that_somebody_deleted_binds_for_as_long_as_it_would_have() -> None:
    one = Candidacy("b", TIMING)
    one.saw(Claim("a", 10.0, "1"), now=0.0)
    one.saw(None, now=4.0)
    assert not one.may_take(9.9)
    assert one.may_take(10.0)


def test_a_holder_whose_lease_is_gone_or_another_ones_acts_no_more() -> None:
    for seen in (None, Claim("b", 10.0, "2"), Claim("", 10.0, "2")):
        one = Candidacy("a", TIMING)
        one.wrote(Claim("a", 10.0, "1"), began=0.0, now=0.1)
        assert one.acts_until == TIMING.give_up
        one.saw(seen, now=1.0)
        assert one.acts_until == NEVER


def test_a_holder_renews_with_time_left_for_more_than_one_try() -> None:
    one = Candidacy("a", TIMING)
    one.wrote(Claim("a", 10.0, "1"), began=0.0, now=0.1)
    first = one.next_renewal(0.1)
    assert first == TIMING.renew
    second = one.next_renewal(first + TIMING.answer)  # nobody answered
    assert second + TIMING.look <= one.acts_until


def test_a_claim_that_came_late_lets_nobody_act_on_it() -> None:
    """Held still between its sending and its answer, a controller counts from the sending."""
    one = Candidacy("a", TIMING)
    one.wrote(Claim("a", 10.0, "1"), began=0.0, now=60.0)
    assert one.acts_until == TIMING.give_up
