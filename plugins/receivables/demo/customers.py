"""The customers of the demo company: a sequence that depends on the seed alone and can always be continued.

Customer n is the same whatever day it is asked for, so nothing about customers has to be kept between days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, count
from math import exp
from random import Random
from statistics import NormalDist

from receivables.demo.calibration import Calibration, PaymentClass, Pick
from receivables.demo.money import NOMINAL_PER_USD
from receivables.demo.names import EUROPEAN_PLACES, OVERSEAS_PLACES, Name, at_site, chinese_name, western_name

CURRENCY_OF_COMPANY = {"HD-CN": "CNY", "HD-EU": "EUR"}
DOMESTIC_TAX = {"HD-CN": ("CN", 1_300), "HD-EU": ("DE", 1_900)}
COLLECTORS = {
    "HD-CN": ("Chen Yue 陈悦", "Liu Min 刘敏", "Zhao Lei 赵磊", "Sun Jia 孙佳"),
    "HD-EU": ("Anna Becker", "Jonas Krämer", "Claire Dubois"),
}
SALESPEOPLE = {
    "HD-CN": ("Wang Qiang 王强", "Li Na 李娜", "Zhou Tao 周涛", "Wu Fang 吴芳", "Xu Hao 徐浩", "Ma Lin 马琳"),
    "HD-EU": ("Stefan Vogt", "Katrin Schulz", "Marco Ferri", "Emily Ward"),
}
RATING_BY_CLASS = {
    "early": Pick.of({"A": 0.7, "B": 0.3}),
    "prompt": Pick.of({"A": 0.5, "B": 0.4, "C": 0.1}),
    "slightly_late": Pick.of({"A": 0.2, "B": 0.6, "C": 0.2}),
    "late": Pick.of({"B": 0.3, "C": 0.6, "D": 0.1}),
    "very_late": Pick.of({"C": 0.5, "D": 0.5}),
}
OPENED_BEFORE_START = 900  # accounts of the first day were opened in the days before it

# The spread (standard deviation of the logarithm) of how many invoices customers get, and of how large these
# are. Together they put as much on the largest fifth as the calibration says.
COUNT_SPREAD = 0.85
SIZE_SPREAD = 0.29
GOLDEN = 0.6180339887498949

DISCOUNT_FROM_TERMS = 30
BONUS_SEGMENTS = ("key_account", "distributor")
# What waiting for the next run adds to the variance of the days late.
RUN_VARIANCE = {"": 1.0, "weekly": 4.0, "semimonthly": 19.0}
SMALLEST_NOISE = 2.0
ADDED_DAYS_SPREAD = 6.0  # how much the days differ that a dispute adds (standard deviation)
PAYMENT_RUNS = Pick.of({"weekly": 0.6, "semimonthly": 0.4})
NAME_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer and the habits that the ERP does not know: class, means and runs of payment."""

    index: int
    code: str
    joined: int  # day of the first possible invoice
    opened: int  # day the account was recorded
    company: str
    named: Name
    parent: str | None
    segment: str
    currency: str
    second_currency: str | None
    terms_days: int
    discount: bool
    rating: str
    collector: str
    salesperson: str
    weight: float
    amount_mu: float
    amount_sigma: float
    payment_class: PaymentClass
    mean_days_late: float
    noise: float
    run: str  # '' pays invoice by invoice, 'weekly', 'semimonthly'
    run_weekday: int
    is_bonus: bool
    has_limit: bool
    names_instalments: bool

    @property
    def tax_rate(self) -> int:
        """Value added tax in basis points; exports bear none."""
        country, basis_points = DOMESTIC_TAX[self.company]
        return basis_points if self.named.country == country else 0

    def draw_amount(self, rng: Random, currency: str) -> int:
        """A gross amount in minor units of the currency."""
        return max(
            5_000,
            round(100 * NOMINAL_PER_USD[currency] * rng.lognormvariate(self.amount_mu, self.amount_sigma)),
        )


class CustomerBook:
    """The customers that have joined so far, and weighted draws among them."""

    def __init__(
        self, *, seed: int, start: int, number: int, pace_days: int, calibration: Calibration
    ) -> None:
        at_start = max(2, round(number * calibration.chance("customers_at_start")))
        self.customers: list[Customer] = []
        self._cumulative: list[float] = []
        sequence = _Sequence(seed=seed, calibration=calibration)
        self._coming = sequence.make(
            start=start, at_start=at_start, later=max(1, number - at_start), pace_days=pace_days
        )
        self._next = next(self._coming)

    def join(self, day: int) -> list[Customer]:
        """Let everyone in who joins up to that day; returns the new ones."""
        new = []
        while self._next.joined <= day:
            new.append(self._next)
            self._next = next(self._coming)
        self.customers.extend(new)
        base = self._cumulative[-1] if self._cumulative else 0.0
        self._cumulative.extend(base + total for total in accumulate(customer.weight for customer in new))
        return new

    def draw(self, rng: Random) -> Customer:
        return rng.choices(self.customers, cum_weights=self._cumulative)[0]

    def share(self, customer: Customer) -> float:
        return customer.weight / self._cumulative[-1]


class _ClassShares:
    """Gives each new customer the class that is most behind its share of the invoices so far.

    Drawn at random, the class of the one largest customer would move the whole company's lateness.
    """

    def __init__(self, classes: tuple[PaymentClass, ...]) -> None:
        self._classes = classes
        self._given = [0.0] * len(classes)
        self._total = 0.0

    def next(self, weight: float, rng: Random) -> PaymentClass:
        self._total += weight
        behind = [
            entry.share * self._total - given + rng.random() * weight * entry.share
            for entry, given in zip(self._classes, self._given, strict=True)
        ]
        best = behind.index(max(behind))
        self._given[best] += weight
        return self._classes[best]


class _Sequence:
    """Makes customer after customer; what it remembers is what the next one depends on."""

    def __init__(self, *, seed: int, calibration: Calibration) -> None:
        self._rng = Random(f"{seed}|customers")
        self._calibration = calibration
        self._classes = _ClassShares(calibration.classes)
        self._heads: dict[str, list[str]] = {company: [] for company in CURRENCY_OF_COMPANY}
        self._names: set[str] = set()
        self._offset = self._rng.random()

    def make(self, *, start: int, at_start: int, later: int, pace_days: int) -> Iterator[Customer]:
        for index in count():
            if index < at_start:
                yield self._customer(
                    index, joined=start, opened=start - 1 - self._rng.randrange(OPENED_BEFORE_START)
                )
            else:
                joined = start + 1 + (index - at_start) * pace_days // later
                yield self._customer(index, joined=joined, opened=joined)

    def _customer(self, index: int, *, joined: int, opened: int) -> Customer:
        rng, calibration = self._rng, self._calibration
        # A sequence that fills the range evenly: drawn at random, one giant would come with every tenth seed.
        level = (index * GOLDEN + self._offset) % 1.0
        size = NormalDist().inv_cdf(min(max(level, 1e-6), 1 - 1e-6))
        weight = exp(COUNT_SPREAD * size)
        payment_class = self._classes.next(weight, rng)
        company = calibration.companies(rng)
        currency = calibration.currencies[company](rng)
        segment = _segment(size, rng)
        terms = calibration.terms[company](rng)
        code = f"C{index + 1:06d}"
        parent = self._parent(company)
        if parent is None:
            self._heads[company].append(code)
        mean, noise = _lateness(payment_class, rng, calibration)
        run = PAYMENT_RUNS(rng) if rng.random() < calibration.chance("payment_run_customers") else ""
        amount = calibration.figures["invoice_amount"]
        return Customer(
            index=index,
            code=code,
            joined=joined,
            opened=opened,
            company=company,
            named=self._name(company, currency, segment),
            parent=parent,
            segment=segment,
            currency=currency,
            second_currency=_second_currency(currency, rng, calibration),
            terms_days=terms,
            discount=payment_class.name == "early"
            and terms >= DISCOUNT_FROM_TERMS
            and rng.random() < calibration.chance("discount_customers_of_early"),
            rating=RATING_BY_CLASS[payment_class.name](rng),
            collector=rng.choice(COLLECTORS[company]),
            salesperson=rng.choice(SALESPEOPLE[company]),
            weight=weight,
            # Large customers get more invoices, so the mean over invoices lies above the mean over customers.
            amount_mu=amount["mu"] + SIZE_SPREAD * (size - COUNT_SPREAD),
            amount_sigma=(amount["sigma"] ** 2 - SIZE_SPREAD**2) ** 0.5,
            payment_class=payment_class,
            mean_days_late=mean,
            noise=max(noise**2 - RUN_VARIANCE[run], SMALLEST_NOISE**2) ** 0.5,
            # Two runs a month move payments too far for customers who are always about on time.
            run="weekly" if run and noise < 2 * SMALLEST_NOISE else run,
            run_weekday=Pick.of(dict(enumerate(calibration.payment_weekdays[:5])))(rng),
            is_bonus=segment in BONUS_SEGMENTS and rng.random() < calibration.chance("bonus_customers"),
            has_limit=rng.random() >= calibration.chance("customers_without_limit"),
            names_instalments=rng.random() < 0.5,
        )

    def _parent(self, company: str) -> str | None:
        heads = self._heads[company]
        is_member = self._rng.random() < self._calibration.chance("group_members")
        return self._rng.choice(heads) if is_member and heads else None

    def _name(self, company: str, currency: str, segment: str) -> Name:
        for _ in range(NAME_ATTEMPTS):
            named = self._any_name(company, currency, segment)
            if named.name not in self._names:
                break
        number = 2
        first = named
        while named.name in self._names:
            named, number = at_site(first, number), number + 1
        self._names.add(named.name)
        return named

    def _any_name(self, company: str, currency: str, segment: str) -> Name:
        if currency == "CNY":
            return chinese_name(self._rng, segment)
        return western_name(self._rng, segment, OVERSEAS_PLACES if currency == "USD" else EUROPEAN_PLACES)


def _segment(size: float, rng: Random) -> str:
    if rng.random() < 0.06:
        return "public"
    if size > 1.2:
        return "key_account"
    return "distributor" if rng.random() < (0.45 if size > 0 else 0.15) else "sme"


def _lateness(payment_class: PaymentClass, rng: Random, calibration: Calibration) -> tuple[float, float]:
    """Mean and spread of days late of an undisputed invoice.

    The calibrated figures include disputed invoices, so what disputes add is taken off both.
    """
    disputes = calibration.figures["disputes"]
    share, added = disputes["share"], disputes["added_days"]
    mean = payment_class.mean_days_late - share * added + rng.gauss(0.0, 1.0)
    variance = payment_class.within_sd**2 - share * ((1 - share) * added**2 + ADDED_DAYS_SPREAD**2)
    return mean, max(variance, SMALLEST_NOISE**2) ** 0.5


def _second_currency(currency: str, rng: Random, calibration: Calibration) -> str | None:
    if rng.random() >= calibration.figures["multi_currency_customers"]["share"]:
        return None
    return rng.choice([other for other in NOMINAL_PER_USD if other != currency])
