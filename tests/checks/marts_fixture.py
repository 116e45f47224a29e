"""The published tables of a company with five documents, derived from its ledger in plain SQL.

Written against the documented columns, apart from the models: what the rules say about these tables must
hold here, and break when a test spoils one value.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

DAY = date(2024, 3, 29)
RUN = "2024-03-29T010203-abcd"

# open item, document, type, customer, currency, rate, document date, due date, instalment, original amount
ITEMS = """
    ('inv1:1', 'inv1', 'invoice', 'c1', 'CNY', 1, '2024-01-10', '2024-02-09', 1, 1000.00),
    ('inv2:1', 'inv2', 'invoice', 'c1', 'CNY', 1, '2024-02-01', '2024-03-01', 1, 300.00),
    ('inv2:2', 'inv2', 'invoice', 'c1', 'CNY', 1, '2024-02-01', '2024-04-01', 2, 300.00),
    ('inv3:1', 'inv3', 'invoice', 'c2', 'USD', 7, '2024-03-05', '2024-04-04', 1, 100.00),
    ('cm1', 'cm1', 'credit_memo', 'c2', 'CNY', 1, '2024-02-15', '2024-02-15', null, -50.00),
    ('r1', 'r1', 'receipt', 'c1', 'CNY', 1, '2024-02-20', '2024-02-20', null, -400.00),
    ('r2', 'r2', 'receipt', 'c2', 'CNY', 1, '2024-03-10', '2024-03-10', null, -30.00)
"""

# entry, open item, application, type, amount, effective date
ENTRIES = """
    ('e1', 'inv1:1', null, 'invoice', 1000.00, '2024-01-10'),
    ('e2', 'inv2:1', null, 'invoice', 300.00, '2024-02-01'),
    ('e3', 'inv2:2', null, 'invoice', 300.00, '2024-02-01'),
    ('e4', 'inv3:1', null, 'invoice', 100.00, '2024-03-05'),
    ('e5', 'cm1', null, 'credit_memo', -50.00, '2024-02-15'),
    ('e6', 'r1', null, 'receipt', -400.00, '2024-02-20'),
    ('e7', 'r2', null, 'receipt', -30.00, '2024-03-10'),
    ('e8', 'inv1:1', 'a1', 'application', -400.00, '2024-02-20'),
    ('e9', 'r1', 'a1', 'application', 400.00, '2024-02-20')
"""

DIMENSIONS = """
create table marts.dim_aging_buckets as
select * from (values
    ('not_due', null::integer, 0), ('1-30', 1, 30), ('31-60', 31, 60), ('61-90', 61, 90), ('91-120', 91, 120),
    ('121+', 121, null)
) as buckets(aging_bucket, min_days, max_days);
create table marts.dim_reporting as select 'due_date' as aging_basis;
create table marts.dim_companies as select 'A' as company_id, 'CNY' as currency_code;
create table marts.dim_customers as
select * from (values ('c1', 'A', 'retail'), ('c2', 'A', 'trade'))
    as customers(customer_id, company_id, segment);
"""

FACTS = f"""
create temp table items as
select open_item_id, document_id, document_type, customer_id, currency_code, rate::decimal(18,8) as rate,
    document_date::date as document_date, due_date::date as due_date, instalment_number::integer
    as instalment_number,
    original_amount::decimal(18,2) as original_amount
from (values {ITEMS}) as items(open_item_id, document_id, document_type, customer_id, currency_code, rate,
    document_date, due_date, instalment_number, original_amount);

create table marts.fct_ledger_entries as
select entries.entry_id, entries.open_item_id, items.document_id, entries.application_id, 'A' as company_id,
    items.customer_id, entries.entry_type, items.currency_code, entries.amount::decimal(18,2) as amount,
    entries.effective_date::date as effective_date, entries.effective_date::date as known_on
from (values {ENTRIES}) as entries(entry_id, open_item_id, application_id, entry_type, amount, effective_date)
inner join items on entries.open_item_id = items.open_item_id;

create table marts.fct_documents as
select document_id, 'A' as company_id, min(customer_id) as customer_id, min(document_type) as document_type,
    min(currency_code) as currency_code, 'CNY' as company_currency_code,
    abs(sum(original_amount))::decimal(18,2) as amount, min(rate) as booking_rate,
    abs(sum(original_amount * rate))::decimal(18,2) as company_amount,
    min(document_date) as document_date, max(due_date) as due_date
from items group by document_id;

create table marts.fct_applications as
select 'a1' as application_id, 'inv1' as invoice_document_id, 'r1' as credit_document_id, 'A' as company_id,
    'CNY' as currency_code, 0::decimal(18,2) as realised_exchange_amount, date '2024-02-20' as effective_date;

create table marts.fct_credit_limits as
select 'c1' as customer_id, 'A' as company_id, 'CNY' as currency_code, 10000::decimal(18,2) as limit_amount,
    date '2024-01-01' as valid_from, date '9999-12-31' as valid_to;

create table marts.ar_restatements (
    detected_on date, as_of_date date, company_id varchar, cause varchar, amount_before decimal(18,2),
    amount_after decimal(18,2), entry_count bigint);

create table marts.fct_instalments as
select document_id, instalment_number, open_item_id, original_amount as amount, due_date from items
where instalment_number >= 1;
"""

BALANCES = """
create temp table days as
select unnest(range(date '2024-01-10', date '2024-03-30', interval 1 day))::date as as_of_date;

create temp table item_days as
select days.as_of_date, items.open_item_id, items.customer_id, items.currency_code, sum(entries.amount)
    as open_amount,
    sum(entries.amount * items.rate) as company_amount, days.as_of_date - items.due_date as days_past_due,
    sum(entries.amount) < 0 as is_credit
from days
cross join items
inner join marts.fct_ledger_entries as entries
    on items.open_item_id = entries.open_item_id and entries.effective_date <= days.as_of_date
group by all having sum(entries.amount) <> 0;

create temp table aged as
select item_days.*, buckets.aging_bucket from item_days
inner join marts.dim_aging_buckets as buckets
    on days_past_due between coalesce(min_days, -9999) and coalesce(max_days, 9999);

create table marts.ar_open_items as
select aged.as_of_date, aged.open_item_id, 'A' as company_id, aged.customer_id, items.document_id,
    items.document_type, items.instalment_number, aged.currency_code, 'CNY' as company_currency_code,
    'CNY' as group_currency_code, aged.aging_bucket, aged.open_amount::decimal(18,2) as open_amount,
    aged.company_amount::decimal(18,2) as company_amount, aged.company_amount::decimal(18,2) as group_amount,
    items.document_date, items.document_date as posting_date, items.due_date, aged.days_past_due,
    aged.is_credit
from aged inner join items on aged.open_item_id = items.open_item_id
where aged.as_of_date = date '2024-03-29';

create table marts.ar_aging_snapshots as
select as_of_date, 'A' as company_id, customer_id, currency_code, aging_bucket,
    case when as_of_date = last_day(as_of_date) then 'month_end' else 'daily' end as snapshot_type,
    sum(open_amount)::decimal(18,2) as open_amount, sum(company_amount)::decimal(18,2) as company_amount,
    coalesce(sum(open_amount) filter (where not is_credit), 0)::decimal(18,2) as debit_amount,
    coalesce(sum(open_amount) filter (where is_credit), 0)::decimal(18,2) as credit_amount,
    count(*) as item_count
from aged group by all;

create table marts.ar_aging_by_parent as
select as_of_date, company_id, customer_id as ultimate_parent_customer_id, currency_code, aging_bucket,
    open_amount
from marts.ar_aging_snapshots;

create table marts.dim_fiscal_dates as
select 'A' as company_id, as_of_date::date as date_day, last_day(as_of_date) as period_end_date from days;

create table marts.ar_aging_daily as
select days.as_of_date, 'A' as company_id, books.currency_code, buckets.aging_bucket,
    coalesce(sum(aged.open_amount), 0)::decimal(18,2) as open_amount,
    coalesce(sum(aged.company_amount), 0)::decimal(18,2) as company_amount,
    coalesce(sum(aged.open_amount) filter (where not is_credit), 0)::decimal(18,2) as debit_amount,
    coalesce(sum(aged.open_amount) filter (where is_credit), 0)::decimal(18,2) as credit_amount,
    count(aged.open_item_id) as item_count
from days
cross join (select distinct currency_code from items) as books
cross join marts.dim_aging_buckets as buckets
left join aged on days.as_of_date = aged.as_of_date and books.currency_code = aged.currency_code
    and buckets.aging_bucket = aged.aging_bucket
group by all;
"""

MONTHS = """
create temp table closings as
select as_of_date as month_end_date, currency_code, sum(open_amount) as closing_amount
    from marts.ar_aging_daily
where as_of_date = last_day(as_of_date) group by all;

create table marts.ar_roll_forward as
select month_end_date, 'A' as company_id, currency_code, opening_amount::decimal(18,2) as opening_amount,
    invoices_amount, credit_memos_amount, receipts_amount, 0::decimal(18,2) as discounts_amount,
    0::decimal(18,2) as write_offs_amount, 0::decimal(18,2) as refunds_amount, 0::decimal(18,2)
    as journals_amount,
    0::decimal(18,2) as reversals_amount, transfers_amount, 0::decimal(18,2) as exchange_amount,
    closing_amount::decimal(18,2) as closing_amount,
    (closing_amount - opening_amount - invoices_amount + credit_memos_amount + receipts_amount -
    transfers_amount)
        ::decimal(18,2) as difference_amount,
    0::decimal(18,2) as company_difference_amount, false as is_conversion_incomplete
from (
    select closings.*,
        lag(closing_amount, 1, 0) over (partition by closings.currency_code order by month_end_date)
        as opening_amount,
        coalesce(sum(entries.amount) filter (where entry_type = 'invoice'), 0)::decimal(18,2)
        as invoices_amount,
        coalesce(-sum(entries.amount) filter (where entry_type = 'credit_memo'), 0)::decimal(18,2)
            as credit_memos_amount,
        coalesce(-sum(entries.amount) filter (where entry_type = 'receipt'), 0)::decimal(18,2)
        as receipts_amount,
        coalesce(sum(entries.amount) filter (where entry_type = 'application'), 0)::decimal(18,2)
        as transfers_amount
    from closings
    left join marts.fct_ledger_entries as entries
        on closings.currency_code = entries.currency_code
        and last_day(entries.effective_date) = month_end_date
    group by closings.month_end_date, closings.currency_code, closings.closing_amount
) as months;

create table marts.ar_reconciliation as
select as_of_date, 'A' as company_id, 'CNY' as currency_code, amount as ledger_amount, amount as items_amount,
    amount as buckets_amount, gl_amount, gl_amount - amount as difference_amount,
    case when gl_amount is null then 'no_gl_balance' else 'reconciled' end as status, null::varchar as reason
from (
    select as_of_date, sum(company_amount)::decimal(18,2) as amount,
        case when as_of_date = date '2024-03-29' then sum(company_amount)::decimal(18,2) end as gl_amount
    from marts.ar_aging_daily
    where as_of_date = last_day(as_of_date) or as_of_date = date '2024-03-29'
    group by as_of_date
) as balances;

-- The customers' months, then the company and its segments as sums of them.
create temp table customer_months as
select months.month_end_date, customers.customer_id, customers.segment,
    coalesce((
        select sum(company_amount) from aged
        where aged.as_of_date = months.month_end_date and aged.customer_id = customers.customer_id
    ), 0) as ar,
    coalesce((
        select sum(company_amount) from aged
        where aged.as_of_date = months.month_end_date and aged.customer_id = customers.customer_id
            and days_past_due <= 0
    ), 0) as not_due,
    coalesce((
        select sum(amount) from marts.fct_ledger_entries as entries
        where last_day(effective_date) = months.month_end_date and entries.customer_id = customers.customer_id
            and entry_type in ('invoice', 'credit_memo')
    ), 0) as net_sales
from (select distinct month_end_date from closings) as months
cross join marts.dim_customers as customers;

create temp table scope_months as
select *, coalesce(lag(ar) over (partition by scope_type, scope_id order by month_end_date), 0) as opening
    from (
    select month_end_date, 'A' as company_id, 'customer' as scope_type, customer_id as scope_id, ar, not_due,
    net_sales
    from customer_months
    union all
    select month_end_date, 'A', 'segment', segment, sum(ar), sum(not_due), sum(net_sales)
    from customer_months group by month_end_date, segment
    union all
    select month_end_date, 'A', 'company', 'A', sum(ar), sum(not_due), sum(net_sales)
    from customer_months group by month_end_date
    union all
    select month_end_date, 'group', 'group', 'group', sum(ar), sum(not_due), sum(net_sales)
    from customer_months group by month_end_date
) as scopes;

create table marts.ar_dso as
select month_end_date, company_id, scope_type, scope_id,
    case when signed is not null then greatest(signed, 0) end as dso, signed as dso_signed,
    best as best_possible_dso, signed - best as average_days_delinquent, ar::decimal(18,2) as ar_amount,
    not_due::decimal(18,2) as not_due_amount, net_sales::decimal(18,2) as net_sales_amount,
    day(month_end_date)::integer as days_in_month,
    case
        when net_sales <= 0 then 'no_sales_in_period'
        when ar < 0 then 'credit_balance'
    end as flag
from (
    select *,
        case when net_sales > 0 then ar::double / net_sales::double * day(month_end_date) end as signed,
        case when net_sales > 0 then not_due::double / net_sales::double * day(month_end_date) end as best
    from scope_months
) as computed;

create table marts.ar_turnover as
select month_end_date, company_id, scope_type, scope_id,
    case
        when net_sales <= 0 then 0
        when opening + ar > 0 then net_sales::double / ((opening + ar)::double / 2)
    end as turnover,
    net_sales::decimal(18,2) as net_sales_amount, opening::decimal(18,2) as opening_ar_amount,
    ar::decimal(18,2) as closing_ar_amount,
    case when net_sales <= 0 then 'no_sales_in_period' when opening + ar <= 0 then 'no_receivables' end
    as flag
from scope_months;

create table marts.ar_collection_effectiveness as
select month_end_date, company_id, scope_type, scope_id,
    (opening + net_sales - ar)::double / nullif((opening + net_sales - not_due)::double, 0) * 100 as cei,
    0.5::double as overdue_item_rate, 400::decimal(18,2) as collected_amount,
    opening::decimal(18,2) as opening_ar_amount, ar::decimal(18,2) as closing_ar_amount,
    not_due::decimal(18,2) as closing_not_due_amount, net_sales::decimal(18,2) as net_sales_amount,
    case when opening + net_sales - not_due = 0 then 'nothing_was_collectible' end as flag
from scope_months;

create table marts.ar_payment_behaviour as
select month_end_date, company_id, scope_type, scope_id, 41::double as days_to_pay, 41::double
    as days_to_pay_weighted,
    0.5::double as late_share, 2::bigint as settled_invoice_count
from scope_months;
"""

# Tables that no rule reads, but that have to be there.
OTHERS = (
    "dim_customer_history",
    "dim_dates",
    "fct_collection_events",
    "fct_disputes",
    "fct_open_item_history",
    "fct_promises",
)


def build(path: Path) -> Path:
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema marts")
        for statements in (DIMENSIONS, FACTS, BALANCES, MONTHS):
            connection.execute(statements)
        for table in OTHERS:
            connection.execute(f"create table marts.{table} as select 1 as id")
    return path
