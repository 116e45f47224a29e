"""Do the entities of all sources fit together? One suite per canonical entity, in the working database.

The raw suites judge a source by itself, before anything is built. Here the models are built: a row is judged
beside the rows it points at, the rates of its day, the company it belongs to and the people who touched it.
Rows are those loaded since the published version (its slice); what is summed up is summed up whole.
"""

# ruff: noqa: S608 - the SQL is made of names of this project and of quoted literals

from __future__ import annotations

from collections.abc import Callable

from receivables.checks.report import Severity
from receivables.checks.suites import CanonicalScope, Needs, Rule, Suite, no_rows, rule
from receivables.entities import ENTITIES

SOURCE_OWNER = "the source system's owner"
OWNER = "receivables accounting"
CREDIT = "credit management"
AUDIT = "internal audit"
MODELS = "data engineering"
TREASURY = "treasury"

CUSTOMERS = Needs("select 1 from raw.customers", "no source delivers customers")


def suites(scope: CanonicalScope) -> list[Suite]:
    return [
        Suite(
            name=f"canonical.{name}",
            query=batch(name, scope),
            key=("_source", "_row_key"),
            rules=tuple(_RULES[name](scope)),
        )
        for name in ENTITIES
        if name in scope.entities
    ]


def batch(entity: str, scope: CanonicalScope) -> str:
    """The newest version of every row of the slice."""
    after = "" if scope.since is None else f" and rows._loaded_on > date '{scope.since}'"
    return f"""
        select rows.* from raw.{entity} as rows
        where not rows._is_removed and rows._loaded_on <= date '{scope.day}'{after}
            and not exists (
                select 1 from raw.{entity} as later
                where later._version > 1 and later._loaded_on <= date '{scope.day}'
                    and later._source = rows._source and later._row_key = rows._row_key
                    and later._version > rows._version
            )
    """


# --- what several entities have in common ---


def _customer_is_delivered() -> Rule:
    return rule(
        "the_customer_is_delivered",
        no_rows("""
            select rows._source, rows._row_key, rows.customer_id from {batch} as rows
            where rows._source in (select _source from raw.customers)
                and not exists (
                    select 1 from raw.customers as customers
                    where customers._source = rows._source and customers._row_key = rows.customer_id
                )
        """),
        says="The customer of every row was delivered.",
        severity="warning",
        note="It is owed by a customer without name, segment, limit or collector: nobody calls, and reports"
        " by segment show it as unassigned.",
        owner="master data",
        needs=CUSTOMERS,
    )


def _company_is_configured(
    what: str = "row",
    note: str = "A company appears in the reports that nobody described: its currency is guessed, or unknown,"
    " and its figures are missing from the group's.",
) -> Rule:
    return rule(
        "the_company_is_configured",
        no_rows("""
            select _source, _row_key, company_id from {batch}
            where company_id is not null
                and company_id not in (select company_id from settings.companies)
        """),
        says=f"The company of every {what} stands in receivables.yml.",
        severity="warning",
        note=note,
        owner=OWNER,
    )


def _booking_rate_is_believable(scope: CanonicalScope, day: str) -> Rule:
    gap = scope.limits["rate_gap"]
    return rule(
        "the_booking_rate_is_near_the_market",
        no_rows(f"""
            select rows._source, rows._row_key, rows.currency_code, rows.{day}, rows.exchange_rate,
                rates.rate as market_rate
            from {{batch}} as rows
            left join raw.customers as customers
                on customers._source = rows._source and customers._row_key = rows.customer_id
                and customers._version = 1
            inner join settings.sources as sources on sources.source = rows._source
            inner join settings.companies as companies
                on companies.company_id
                    = coalesce(rows.company_id, customers.company_id, sources.default_company_id)
            inner join intermediate.int_exchange_rates as rates
                on rates.from_currency = coalesce(rows.currency_code, sources.default_currency_code)
                and rates.to_currency = companies.currency_code
                and rates.rate_date <= rows.{day} and rates.valid_until > rows.{day}
            where rows.exchange_rate is not null
                and abs(rows.exchange_rate - rates.rate) > {gap} * rates.rate
        """),
        says=f"A document's own exchange rate is within {gap:.0%} of the quoted one.",
        severity="warning",
        note="The amount in company currency is wrong by the factor: quoted the other way round, per hundred,"
        " or of another day.",
        owner=TREASURY,
        needs=Needs("select 1 from intermediate.int_exchange_rates", "no source delivers exchange rates"),
    )


def _not_larger_than_its_invoice(
    name: str, *, says: str, severity: Severity, note: str, owner: str, only: str = "true"
) -> Rule:
    """What names an invoice is not more than it; `only`: which rows, as SQL."""
    return rule(
        name,
        no_rows(f"""
            select rows._source, rows._row_key, rows.amount, invoices.amount as invoice_amount
            from {{batch}} as rows
            inner join raw.invoices as invoices
                on invoices._source = rows._source and invoices._row_key = rows.invoice_id
                and invoices._version = 1
            where {only} and rows.amount > invoices.amount
        """),
        says=says,
        severity=severity,
        note=note,
        owner=owner,
    )


def _finds_its_documents(entity: str) -> Rule:
    return rule(
        "every_row_finds_its_documents",
        no_rows(f"""
            select source_name, row_id, reason from intermediate.int_refused_rows where entity = '{entity}'
        """),
        says="No row points at a document that nobody delivered, or contradicts the one it names.",
        severity="warning",
        note="The row is left out of every balance and waits in quarantine until its document arrives:"
        " paid invoices are shown as open, or open ones without their schedule.",
        owner=OWNER,
    )


def _reaches_the_marts(entity: str, types: str, id_kind: str) -> Rule:
    """Control totals, raw to marts: drafts, and documents that were void before they counted, stay out."""
    return rule(
        "every_document_reaches_the_marts",
        no_rows(f"""
            select raw_rows._source, raw_rows.currency_code, raw_rows.documents as documents_in_raw,
                raw_rows.amount as amount_in_raw, coalesce(published.documents, 0) as documents_in_marts,
                coalesce(published.amount, 0) as amount_in_marts
            from (
                select live._source, coalesce(live.currency_code, sources.default_currency_code)
                        as currency_code, count(*) as documents, sum(live.amount) as amount
                from raw.{entity} as live
                inner join settings.sources as sources on sources.source = live._source
                where coalesce(live.status, 'posted') = 'posted' and not live._is_removed
                    and live._known_on <= (select max(as_of_date) from marts.ar_aging_daily)
                    and not exists (
                        select 1 from raw.{entity} as later
                        where later._version > 1 and later._source = live._source
                            and later._row_key = live._row_key and later._version > live._version
                            and later._known_on <= (select max(as_of_date) from marts.ar_aging_daily)
                    )
                group by 1, 2
            ) as raw_rows
            left join (
                select source_name, currency_code, count(*) as documents, sum(amount) as amount
                from marts.fct_documents
                where status = 'posted' and document_type in ({types})
                group by 1, 2
            ) as published
                on published.source_name = raw_rows._source
                and published.currency_code = raw_rows.currency_code
            where raw_rows.documents <> coalesce(published.documents, 0)
                or raw_rows.amount <> coalesce(published.amount, 0)
        """),
        says=f"Every posted {id_kind} in the warehouse is in the marts, with its amount.",
        severity="critical",
        note="The models lost or changed documents: receivables are short, or over, by their amounts.",
        owner=MODELS,
    )


# --- entity by entity ---


def _customers(scope: CanonicalScope) -> list[Rule]:
    return [
        _company_is_configured(),
        rule(
            "a_parent_is_delivered",
            no_rows("""
                select rows._source, rows._row_key, rows.parent_customer_id from {batch} as rows
                where rows.parent_customer_id is not null
                    and not exists (
                        select 1 from raw.customers as parents
                        where parents._source = rows._source and parents._row_key = rows.parent_customer_id
                    )
            """),
            says="The parent of every customer was delivered.",
            severity="warning",
            note="Exposure and concentration by group of customers leave this customer out of its group.",
            owner="master data",
        ),
        rule(
            "a_customer_is_not_its_own_parent",
            no_rows("""
                select rows._source, rows._row_key, rows.parent_customer_id, parents.parent_customer_id
                    as its_parent
                from {batch} as rows
                inner join raw.customers as parents
                    on parents._source = rows._source and parents._row_key = rows.parent_customer_id
                where rows._row_key in (rows.parent_customer_id, parents.parent_customer_id)
            """),
            says="No customer is its own parent, or its parent's parent.",
            severity="warning",
            note="The group of customers has no top; its exposure cannot be added up.",
            owner="master data",
        ),
        rule(
            "no_customer_is_delivered_twice",
            no_rows("""
                select rows._source, rows._row_key, others._row_key as same_as from {batch} as rows
                inner join raw.customers as others
                    on others._source = rows._source and others._row_key <> rows._row_key
                    and lower(trim(others.customer_name)) = lower(trim(rows.customer_name))
                    and others.country_code is not distinct from rows.country_code
                    and others.company_id is not distinct from rows.company_id
                where not others._is_removed
            """),
            says="No two customers of a company have the same name and country.",
            severity="info",
            note="The customer has two accounts: two limits, two dunning letters, and half the exposure on"
            " each.",
            owner="master data",
        ),
        rule(
            "terms_are_believable",
            no_rows(f"""
                select _source, _row_key, payment_terms_days from {{batch}}
                where payment_terms_days < 0 or payment_terms_days > {scope.limits["terms_days"]}
            """),
            says=f"Payment terms are between 0 and {scope.limits['terms_days']} days.",
            severity="warning",
            note="Invoices without a due date fall due by these terms: never, or at once.",
            owner="master data",
        ),
    ]


def _invoices(scope: CanonicalScope) -> list[Rule]:
    terms, posting = scope.limits["terms_days"], scope.limits["posting_days"]
    return [
        _customer_is_delivered(),
        _company_is_configured(),
        _booking_rate_is_believable(scope, "invoice_date"),
        _reaches_the_marts("invoices", "'invoice', 'debit_memo'", "invoice and debit memo"),
        rule(
            "terms_are_believable",
            no_rows(f"""
                select _source, _row_key, invoice_date, due_date, due_date - invoice_date as days
                from {{batch}} where due_date - invoice_date > {terms}
            """),
            says=f"No invoice falls due more than {terms} days after its date.",
            severity="warning",
            note="It stays in 'not due' for years: overdue receivables and the provision are too low.",
            owner=SOURCE_OWNER,
        ),
        rule(
            "it_is_posted_near_its_date",
            no_rows(f"""
                select _source, _row_key, invoice_date, posting_date from {{batch}}
                where abs(posting_date - invoice_date) > {posting}
            """),
            says=f"An invoice is posted within {posting} days of its date.",
            severity="info",
            note="It was back-dated, or booked into another period: ageing by posting date differs.",
            owner=OWNER,
        ),
        rule(
            "a_number_is_used_once",
            no_rows("""
                select rows._source, rows._row_key, rows.invoice_number, others._row_key as same_number_as
                from {batch} as rows
                inner join raw.invoices as others
                    on others._source = rows._source and others._row_key <> rows._row_key
                    and others.invoice_number = rows.invoice_number
                    and others.company_id is not distinct from rows.company_id
                where not others._is_removed and coalesce(others.status, 'posted') = 'posted'
                    and coalesce(rows.status, 'posted') = 'posted'
            """),
            says="An invoice number belongs to one posted invoice of a company.",
            severity="warning",
            note="A payment that names the number cannot be matched, and one of the two may be a copy that is"
            " counted twice.",
            owner=OWNER,
        ),
        rule(
            "a_void_says_when",
            no_rows("""
                select _source, _row_key, status, voided_on from {batch}
                where (status = 'void' and voided_on is null) or voided_on < invoice_date
            """),
            says="A void invoice says since when, and not before its date.",
            severity="info",
            note="It ends on the day on which the void was noticed: month ends before that still show it.",
            owner=SOURCE_OWNER,
        ),
    ]


def _instalments(scope: CanonicalScope) -> list[Rule]:
    return [
        _finds_its_documents("instalments"),
        rule(
            "no_instalment_falls_due_before_its_invoice",
            no_rows("""
                select rows._source, rows._row_key, rows.due_date, invoices.invoice_date from {batch} as rows
                inner join raw.invoices as invoices
                    on invoices._source = rows._source and invoices._row_key = rows.invoice_id
                    and invoices._version = 1
                where rows.due_date < invoices.invoice_date
            """),
            says="No instalment falls due before its invoice was written.",
            severity="warning",
            note="It is overdue from the first day; ageing is too old.",
            owner=SOURCE_OWNER,
        ),
        rule(
            "later_numbers_fall_due_later",
            no_rows("""
                select rows._source, rows._row_key, rows.due_date, others.instalment_number as other_number,
                    others.due_date as other_due_date
                from {batch} as rows
                inner join raw.instalments as others
                    on others._source = rows._source and others.invoice_id = rows.invoice_id
                    and not others._is_removed
                where (others.instalment_number < rows.instalment_number and others.due_date > rows.due_date)
                    or (others.instalment_number > rows.instalment_number and others.due_date < rows.due_date)
            """),
            says="A later instalment does not fall due before an earlier one.",
            severity="info",
            note="Payments fill the oldest due date first: not the order that the numbers promise.",
            owner=SOURCE_OWNER,
        ),
    ]


def _credit_memos(scope: CanonicalScope) -> list[Rule]:
    return [
        _customer_is_delivered(),
        _company_is_configured(),
        _booking_rate_is_believable(scope, "credit_memo_date"),
        _reaches_the_marts("credit_memos", "'credit_memo'", "credit memo"),
        _not_larger_than_its_invoice(
            "a_credit_is_not_larger_than_its_invoice",
            says="No credit memo is larger than the invoice it names.",
            severity="warning",
            note="The rest becomes a credit that the customer can use: a typing mistake gives money away.",
            owner=OWNER,
        ),
        _two_people("credit_memos", "credited"),
    ]


def _receipts(scope: CanonicalScope) -> list[Rule]:
    return [
        _customer_is_delivered(),
        _company_is_configured(),
        _booking_rate_is_believable(scope, "receipt_date"),
        _reaches_the_marts("receipts", "'receipt'", "receipt"),
        rule(
            "a_bank_reference_is_booked_once",
            no_rows("""
                select rows._source, rows._row_key, rows.amount, rows.currency_code, others._row_key
                    as same_reference_as
                from {batch} as rows
                inner join raw.receipts as others
                    on others._source = rows._source and others._row_key <> rows._row_key
                    and others.bank_reference = rows.bank_reference and others.amount = rows.amount
                where not others._is_removed and coalesce(others.status, 'posted') = 'posted'
                    and coalesce(rows.status, 'posted') = 'posted'
                    and others.customer_id <> rows.customer_id
            """),
            says="One payment of the bank is not booked for two customers.",
            severity="warning",
            note="Receivables are short by the payment that came in once and was booked twice.",
            owner=OWNER,
            needs=Needs(
                "select 1 from raw.receipts where bank_reference is not null",
                "no receipt has a bank reference",
            ),
        ),
    ]


def _applications(scope: CanonicalScope) -> list[Rule]:
    share = scope.limits["discount_share"]
    return [
        _finds_its_documents("applications"),
        rule(
            "an_invoice_is_not_settled_beyond_its_amount",
            no_rows("""
                select settled.invoice_document_id, invoices.amount, invoices.currency_code,
                    sum(settled.amount + settled.discount_amount) as settled_amount
                from (select distinct _source || ':invoice:' || invoice_id as document_id from {batch})
                    as touched
                inner join marts.fct_applications as settled
                    on settled.invoice_document_id = touched.document_id and settled.ended_on is null
                inner join marts.fct_documents as invoices
                    on invoices.document_id = settled.invoice_document_id
                group by settled.invoice_document_id, invoices.amount, invoices.currency_code
                having sum(settled.amount + settled.discount_amount) > invoices.amount
            """),
            says="Payments, credits and discounts on an invoice are not more than its amount.",
            severity="warning",
            note="The excess is shown as a credit of the invoice: paid twice, or matched to the wrong one.",
            owner=OWNER,
        ),
        rule(
            "a_discount_is_believable",
            no_rows(f"""
                select _source, _row_key, amount, discount_amount from {{batch}}
                where discount_amount > {share} * (amount + discount_amount)
            """),
            says=f"A discount taken is at most {share:.0%} of what it settles.",
            severity="warning",
            note="A short payment is hidden as a discount: the rest is not collected.",
            owner=CREDIT,
            needs=Needs(
                "select 1 from raw.applications where discount_amount > 0", "no discount was ever taken"
            ),
        ),
        rule(
            "a_payment_settles_invoices_of_its_own_customer",
            no_rows("""
                select rows._source, rows._row_key, receipts.customer_id as paid_by, invoices.customer_id
                    as owed_by
                from {batch} as rows
                inner join raw.receipts as receipts
                    on receipts._source = rows._source and receipts._row_key = rows.credit_id
                    and receipts._version = 1
                inner join raw.invoices as invoices
                    on invoices._source = rows._source and invoices._row_key = rows.invoice_id
                    and invoices._version = 1
                where rows.credit_type = 'receipt' and receipts.customer_id <> invoices.customer_id
            """),
            says="A payment is applied to invoices of the customer who paid.",
            severity="info",
            note="A parent pays for its daughter, or the money of one customer pays the debt of another.",
            owner=OWNER,
        ),
    ]


def _two_people(entity: str, done: str) -> Rule:
    return rule(
        "who_entered_it_did_not_approve_it",
        no_rows("""
            select _source, _row_key, created_by, approved_by from {batch}
            where lower(trim(created_by)) = lower(trim(approved_by))
        """),
        says=f"What is {done} is entered by one person and approved by another.",
        severity="warning",
        note="One person alone can make a receivable disappear: the control that auditors ask for failed.",
        owner=AUDIT,
        needs=Needs(
            f"select 1 from raw.{entity} where created_by is not null and approved_by is not null",
            "no source says who entered and who approved it",
        ),
    )


def _is_approved(entity: str, name: str, *, shown: str, only: str, what: str, says: str, note: str) -> Rule:
    """Every row names who approved it; `shown`: columns of the examples, `only`: which rows, as SQL."""
    return rule(
        name,
        no_rows(f"""
            select _source, _row_key, {shown} from {{batch}}
            where {only} and trim(coalesce(approved_by, '')) = ''
        """),
        says=says,
        severity="warning",
        note=note,
        owner=AUDIT,
        needs=Needs(
            f"select 1 from raw.{entity} where approved_by is not null",
            f"no source says who approved {what}",
        ),
    )


def _adjustments(scope: CanonicalScope) -> list[Rule]:
    return [
        _customer_is_delivered(),
        _company_is_configured(),
        _finds_its_documents("adjustments"),
        _two_people("adjustments", "written off or adjusted"),
        _is_approved(
            "adjustments",
            "a_write_off_is_approved",
            shown="amount, currency_code",
            only="adjustment_type = 'write_off'",
            says="Every write-off names who approved it.",
            note="A claim was given up, and nobody is answerable for it.",
            what="a write-off",
        ),
        rule(
            "a_write_off_is_not_approved_by_who_sold_or_collects",
            no_rows("""
                select rows._source, rows._row_key, rows.amount, rows.approved_by from {batch} as rows
                inner join raw.customers as customers
                    on customers._source = rows._source and customers._row_key = rows.customer_id
                where rows.adjustment_type = 'write_off'
                    and lower(trim(rows.approved_by))
                        in (lower(trim(customers.collector)), lower(trim(customers.salesperson)))
            """),
            says="A write-off is not approved by the customer's salesperson or collector.",
            severity="warning",
            note="Whoever is measured by the collection can improve the measure with a signature.",
            owner=AUDIT,
            needs=Needs(
                "select 1 from raw.customers where collector is not null or salesperson is not null",
                "no customer has a collector or salesperson",
            ),
        ),
        rule(
            "a_write_off_has_a_reason",
            no_rows("""
                select _source, _row_key, amount, currency_code from {batch}
                where adjustment_type = 'write_off' and trim(coalesce(reason, '')) = ''
            """),
            says="Every write-off has a reason.",
            severity="info",
            note="The loss history cannot tell insolvencies from small differences.",
            owner=CREDIT,
        ),
        _not_larger_than_its_invoice(
            "a_write_off_is_not_larger_than_its_invoice",
            only="rows.adjustment_type in ('write_off', 'discount')",
            says="No write-off or discount is larger than the invoice it names.",
            severity="warning",
            note="The excess is shown as a credit that the customer can use.",
            owner=OWNER,
        ),
    ]


def _disputes(scope: CanonicalScope) -> list[Rule]:
    return [
        _finds_its_documents("disputes"),
        _not_larger_than_its_invoice(
            "a_dispute_is_not_larger_than_its_invoice",
            says="No disputed amount is larger than its invoice.",
            severity="warning",
            note="Open deductions, and with them DDO, are too high.",
            owner=CREDIT,
        ),
    ]


def _promises(scope: CanonicalScope) -> list[Rule]:
    return [
        _customer_is_delivered(),
        _not_larger_than_its_invoice(
            "a_promise_is_not_larger_than_its_invoice",
            says="Nobody promises more than the invoice's amount.",
            severity="info",
            note="The cash forecast counts money that nobody owes.",
            owner=CREDIT,
        ),
    ]


def _collection_events(scope: CanonicalScope) -> list[Rule]:
    return [
        _customer_is_delivered(),
        rule(
            "nobody_is_sued_without_a_letter",
            no_rows("""
                select rows._source, rows._row_key, rows.customer_id, rows.event_date from {batch} as rows
                where rows.stage in ('legal', 'agency')
                    and not exists (
                        select 1 from raw.collection_events as before
                        where before._source = rows._source and before.customer_id = rows.customer_id
                            and before.stage in ('letter', 'call', 'pre_due_reminder')
                            and before.event_date <= rows.event_date
                    )
            """),
            says="Before the lawyer or the agency, the customer got a call or a letter.",
            severity="info",
            note="The case costs money that a letter might have saved, or earlier steps are not recorded.",
            owner=CREDIT,
        ),
    ]


def _credit_limits(scope: CanonicalScope) -> list[Rule]:
    jump = scope.limits["limit_jump"]
    return [
        _customer_is_delivered(),
        _two_people("credit_limits", "granted as a limit"),
        _is_approved(
            "credit_limits",
            "a_limit_is_approved",
            shown="limit_amount, valid_from",
            only="limit_amount > 0",
            says="Every credit limit names who approved it.",
            note="Goods leave on credit that nobody granted.",
            what="a limit",
        ),
        rule(
            "a_limit_is_not_approved_by_who_sells",
            no_rows("""
                select rows._source, rows._row_key, rows.limit_amount, rows.approved_by from {batch} as rows
                inner join raw.customers as customers
                    on customers._source = rows._source and customers._row_key = rows.customer_id
                where lower(trim(rows.approved_by)) = lower(trim(customers.salesperson))
            """),
            says="A credit limit is not approved by the customer's salesperson.",
            severity="warning",
            note="Who earns a commission on the sale decides about its risk.",
            owner=AUDIT,
            needs=Needs(
                "select 1 from raw.customers where salesperson is not null",
                "no customer has a salesperson",
            ),
        ),
        rule(
            "a_limit_has_not_jumped",
            no_rows(f"""
                select rows._source, rows._row_key, before.limit_amount as limit_before, rows.limit_amount
                from {{batch}} as rows
                inner join raw.credit_limits as before
                    on before._source = rows._source and before.customer_id = rows.customer_id
                    and before.valid_from < rows.valid_from and not before._is_removed
                where before.limit_amount > 0 and rows.limit_amount > {jump} * before.limit_amount
            """),
            says=f"No limit is raised to more than {jump} times an earlier one.",
            severity="warning",
            note="A zero too many: orders go out that should have been stopped.",
            owner=CREDIT,
        ),
        rule(
            "a_limit_is_in_the_customers_currency",
            no_rows("""
                select rows._source, rows._row_key, rows.currency_code, customers.currency_code
                    as customer_currency
                from {batch} as rows
                inner join raw.customers as customers
                    on customers._source = rows._source and customers._row_key = rows.customer_id
                where rows.currency_code <> customers.currency_code
            """),
            says="A limit is in the currency of its customer.",
            severity="info",
            note="Utilisation needs a rate, and moves with it.",
            owner=CREDIT,
        ),
    ]


def _open_orders(scope: CanonicalScope) -> list[Rule]:
    years = scope.limits["order_years"]
    return [
        _customer_is_delivered(),
        rule(
            "an_open_order_is_not_forgotten",
            no_rows(f"""
                select _source, _row_key, order_date, open_amount from {{batch}}
                where order_date < date '{scope.day}' - interval {years} year
            """),
            says=f"No order is open for more than {years} years.",
            severity="info",
            note="It uses up a credit limit for goods that will never be ordered again.",
            owner=CREDIT,
        ),
    ]


def _exchange_rates(scope: CanonicalScope) -> list[Rule]:
    jump, gap, days = scope.limits["rate_jump"], scope.limits["inverse_gap"], scope.limits["rate_days"]
    return [
        rule(
            "a_rate_has_not_jumped",
            no_rows(f"""
                select rows._source, rows._row_key, before.rate as rate_before, rows.rate
                from {{batch}} as rows
                asof inner join intermediate.int_exchange_rates as before
                    on before.from_currency = rows.from_currency and before.to_currency = rows.to_currency
                    and before.rate_date < rows.rate_date
                where abs(rows.rate - before.rate) > {jump} * before.rate
            """),
            says=f"A rate differs by at most {jump:.0%} from the one before.",
            severity="warning",
            note="Everything that is converted on this day is wrong by the factor of a mistyped rate.",
            owner=TREASURY,
        ),
        rule(
            "a_rate_and_its_opposite_agree",
            no_rows(f"""
                select rows._source, rows._row_key, rows.rate, opposite.rate as opposite_rate
                from {{batch}} as rows
                inner join raw.exchange_rates as opposite
                    on opposite.from_currency = rows.to_currency and opposite.to_currency = rows.from_currency
                    and opposite.rate_date = rows.rate_date and not opposite._is_removed
                    and rows.from_currency <> rows.to_currency
                    and opposite.rate_type is not distinct from rows.rate_type
                where abs(rows.rate * opposite.rate - 1) > {gap}
            """),
            says="A rate and the rate the other way round are each other's inverse.",
            severity="warning",
            note="The same amount is worth different things in two reports.",
            owner=TREASURY,
        ),
        rule(
            "rates_are_fresh",
            no_rows(f"""
                select needed.currency_code, needed.company_currency_code,
                    max(rates.rate_date) as last_rate_on
                from (
                    select distinct currency_code, company_currency_code from marts.ar_open_items
                    where currency_code <> company_currency_code
                ) as needed
                inner join intermediate.int_exchange_rates as rates
                    on rates.from_currency = needed.currency_code
                    and rates.to_currency = needed.company_currency_code
                    and rates.rate_date <= date '{scope.day}'
                group by needed.currency_code, needed.company_currency_code
                having max(rates.rate_date) < date '{scope.day}' - {days}
            """),
            says=f"Each currency with open items has a rate of the last {days} days.",
            severity="warning",
            note="Foreign receivables are converted at an old rate; the exchange result is late.",
            owner=TREASURY,
        ),
    ]


def _gl_balances(scope: CanonicalScope) -> list[Rule]:
    return [
        _company_is_configured(
            "balance",
            note="The balance is compared with nothing: the company's receivables are not reconciled.",
        ),
        rule(
            "a_balance_moves",
            no_rows("""
                select _source, company_id, account, currency_code, count(*) as days, min(balance_amount)
                    as balance_amount
                from {batch}
                where balance_amount <> 0
                group by _source, company_id, account, currency_code
                having count(*) >= 10 and min(balance_amount) = max(balance_amount)
            """),
            says="A balance of the general ledger is not the same on ten days in a row.",
            severity="info",
            note="The interface repeats an old balance, and the tie-out compares with it.",
            owner=OWNER,
        ),
    ]


def _bank_statements(scope: CanonicalScope) -> list[Rule]:
    return [
        rule(
            "the_statement_adds_up",
            no_rows("""
                select _source, _row_key, opening_balance_amount, transactions_amount, closing_balance_amount
                from {batch}
                where opening_balance_amount + transactions_amount <> closing_balance_amount
            """),
            says="The opening balance and the bookings of a bank statement are its closing balance.",
            severity="warning",
            note="Bookings are missing: money that came in is neither recorded nor matched, unseen.",
            owner=TREASURY,
        ),
    ]


def _bank_transactions(scope: CanonicalScope) -> list[Rule]:
    return [
        rule(
            "a_booking_is_on_a_statement",
            no_rows("""
                select rows._source, rows._row_key, rows.statement_id from {batch} as rows
                left join raw.bank_statements as statements
                    on rows._source = statements._source and rows.statement_id = statements.statement_id
                where statements.statement_id is null
            """),
            says="The statement of every bank booking is delivered.",
            severity="info",
            note="Whether the bookings are complete cannot be checked against a balance.",
            owner=TREASURY,
        ),
    ]


def _bank_applications(scope: CanonicalScope) -> list[Rule]:
    return [
        rule(
            "the_booking_is_delivered",
            no_rows("""
                select rows._source, rows._row_key, rows.transaction_id from {batch} as rows
                left join raw.bank_transactions as bookings
                    on rows._source = bookings._source and rows.transaction_id = bookings.transaction_id
                where bookings.transaction_id is null
            """),
            says="The bank booking of every match that was applied is delivered.",
            severity="warning",
            note="The match is applied to nothing: its invoice is open although the money was there.",
            owner=TREASURY,
        ),
    ]


_RULES: dict[str, Callable[[CanonicalScope], list[Rule]]] = {
    "customers": _customers,
    "invoices": _invoices,
    "instalments": _instalments,
    "credit_memos": _credit_memos,
    "receipts": _receipts,
    "applications": _applications,
    "adjustments": _adjustments,
    "disputes": _disputes,
    "promises": _promises,
    "collection_events": _collection_events,
    "credit_limits": _credit_limits,
    "open_orders": _open_orders,
    "exchange_rates": _exchange_rates,
    "gl_balances": _gl_balances,
    "bank_statements": _bank_statements,
    "bank_transactions": _bank_transactions,
    "bank_applications": _bank_applications,
}
