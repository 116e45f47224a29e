-- The ERP of the demo company, as SQLite holds it.
--
-- Types: dates are text 'YYYY-MM-DD', timestamps are UTC text 'YYYY-MM-DD HH:MM:SS', amounts and rates are decimal
-- text (amounts with exactly two decimals: CNY, EUR and USD all have them), because SQLite has no exact decimal.
-- Amounts are positive; the table, and in ar_adjustment the adj_type, give the sign.
--
-- Every row says when it was recorded (created_at) and when it last changed (updated_at). Rows are never deleted.
-- After creation only these facts change, each with updated_at of that day: doc_status, void_date, void_reason,
-- posted_at, posting_date and sent_at of a posted draft, the closing facts of a dispute, open_amount of an order, and
-- the GL balance of a past day when something is booked back into it. Every other column, and every customer, stays.
--
-- Every timestamp falls on the same calendar day in UTC, Europe/Berlin and Asia/Shanghai.

create table demo_meta (
    key text primary key,
    value text not null
);

create table company (
    code text primary key,
    name text not null,
    name_local text not null,
    currency text not null,
    timezone text not null,
    created_at text not null,
    updated_at text not null
);

create table customer (
    code text primary key,
    name text not null,
    name_en text not null,
    company_code text not null,
    group_parent_code text,
    segment text not null,             -- key_account, distributor, sme, public
    industry text not null,
    country text not null,             -- ISO 3166 alpha-2
    region text not null,
    currency text not null,
    terms_days integer not null,
    discount_percent text,             -- cash discount, e.g. '2.00'; null: none
    discount_days integer,
    credit_limit text,                 -- at the opening of the account; later ones in credit_limit; null: none
    rating text not null,              -- A, B, C, D
    collector text not null,
    salesperson text not null,
    email text not null,
    language text not null,            -- zh, en
    active integer not null,
    created_at text not null,
    updated_at text not null
);

create table sales_invoice (
    doc_no text primary key,
    doc_type text not null,            -- INV, DM (debit memo)
    customer_code text not null,
    company_code text not null,
    doc_date text not null,
    posting_date text,                 -- the day it was booked; null while a draft, and for a cancelled draft
    due_date text not null,            -- of an invoice with instalments: the last one
    currency text not null,
    gross_amount text not null,
    tax_amount text not null,
    fx_rate text not null,             -- to the company's currency, on the document date (a draft: on the day it was written)
    doc_status text not null,          -- DRAFT, POSTED, VOID, CANCELLED (a draft that was never posted)
    void_date text,
    posted_at text,                    -- created_at for what was posted at once; null for drafts
    terms_days integer not null,
    discount_percent text,
    discount_days integer,
    customer_ref text,
    contract_no text,
    salesperson text not null,
    replaces_doc_no text,              -- the void invoice that this one replaces
    sent_at text,
    created_at text not null,
    updated_at text not null
);

-- Only invoices payable in parts have rows here; their amounts add up to the invoice.
create table invoice_schedule (
    doc_no text not null,
    line_no integer not null,
    due_date text not null,
    amount text not null,
    created_at text not null,
    updated_at text not null,
    primary key (doc_no, line_no)
);

-- A note that names its invoice is set against it in settlement, in full and on its own day.
create table credit_note (
    doc_no text primary key,
    customer_code text not null,
    company_code text not null,
    doc_date text not null,
    posting_date text not null,
    currency text not null,
    gross_amount text not null,
    tax_amount text not null,
    fx_rate text not null,
    invoice_no text,
    reason text not null,
    doc_status text not null,          -- POSTED, VOID
    void_date text,
    created_at text not null,
    updated_at text not null
);

create table cash_receipt (
    receipt_no text primary key,
    customer_code text not null,
    company_code text not null,
    receipt_date text not null,
    posting_date text not null,
    currency text not null,
    amount text not null,
    fx_rate text not null,
    method text not null,              -- bank_transfer, direct_debit, cheque, bank_acceptance
    bank_ref text not null,
    doc_status text not null,          -- POSTED, VOID (bounced)
    void_date text,
    void_reason text,
    created_at text not null,
    updated_at text not null
);

-- An amount of one credit set against one invoice. The invoice is relieved by amount + discount_amount,
-- the credit is used up by amount. Rows of a void receipt stay: they counted until its void_date.
create table settlement (
    settlement_no text primary key,
    credit_kind text not null,         -- RCPT, CN, JNL
    credit_no text not null,           -- cash_receipt.receipt_no, credit_note.doc_no, ar_adjustment.adj_no
    invoice_no text not null,
    schedule_line integer,             -- null: the oldest instalment first
    amount text not null,
    discount_amount text not null,
    settled_on text not null,          -- the day it was recorded
    fx_rate text not null,             -- of the credit
    created_at text not null,
    updated_at text not null
);

create table ar_adjustment (
    adj_no text primary key,
    adj_type text not null,            -- WOFF write-off, DISC discount, JDR journal debit, JCR journal credit, RFND refund
    customer_code text not null,
    company_code text not null,
    adj_date text not null,
    posting_date text not null,
    due_date text,                     -- journal debits only
    currency text not null,
    amount text not null,
    fx_rate text not null,             -- of the document it names, else on its own date
    invoice_no text,                   -- write-offs and discounts
    credit_kind text,                  -- refunds: RCPT or CN
    credit_no text,
    reason text not null,
    approved_by text not null,
    doc_status text not null,          -- POSTED, VOID (a reversed journal)
    void_date text,
    created_at text not null,
    updated_at text not null
);

create table dispute (
    dispute_no text primary key,
    invoice_no text not null,
    opened_on text not null,
    closed_on text,
    amount text not null,
    currency text not null,
    reason text not null,
    outcome text,                      -- null while open; customer_right, company_right
    created_at text not null,
    updated_at text not null
);

create table promise (
    promise_no text primary key,
    customer_code text not null,
    invoice_no text not null,
    promised_on text not null,
    promised_date text not null,
    amount text not null,
    currency text not null,
    created_at text not null,
    updated_at text not null
);

create table dunning_event (
    event_no text primary key,
    customer_code text not null,
    invoice_no text not null,
    event_date text not null,
    stage text not null,               -- REMINDER (before due), CALL, LETTER, LEGAL, AGENCY
    channel text not null,             -- email, phone, post
    collector text not null,
    outcome text not null,
    created_at text not null,
    updated_at text not null
);

create table credit_limit (
    customer_code text not null,
    valid_from text not null,
    limit_amount text not null,
    currency text not null,
    rating text not null,
    approved_by text not null,
    created_at text not null,
    updated_at text not null,
    primary key (customer_code, valid_from)
);

-- Orders taken; open_amount is what is not yet invoiced: the whole order, then 0.00.
create table sales_order_open (
    order_no text primary key,
    customer_code text not null,
    company_code text not null,
    order_date text not null,
    currency text not null,
    order_amount text not null,
    open_amount text not null,
    order_status text not null,        -- OPEN, INVOICED, CANCELLED
    created_at text not null,
    updated_at text not null
);

-- Business days only: a rate holds until the next one.
create table fx_rate (
    rate_date text not null,
    from_ccy text not null,
    to_ccy text not null,
    rate_type text not null,           -- closing
    rate text not null,
    created_at text not null,
    updated_at text not null,
    primary key (rate_date, from_ccy, to_ccy, rate_type)
);

-- The receivable account of each company at the end of each calendar day, in the company's currency.
create table gl_balance (
    company_code text not null,
    balance_date text not null,
    account text not null,
    currency text not null,
    balance text not null,
    created_at text not null,
    updated_at text not null,
    primary key (company_code, balance_date, account)
);

create index customer_updated on customer (updated_at);
create index sales_invoice_updated on sales_invoice (updated_at);
create index invoice_schedule_updated on invoice_schedule (updated_at);
create index credit_note_updated on credit_note (updated_at);
create index cash_receipt_updated on cash_receipt (updated_at);
create index settlement_updated on settlement (updated_at);
create index ar_adjustment_updated on ar_adjustment (updated_at);
create index dispute_updated on dispute (updated_at);
create index promise_updated on promise (updated_at);
create index dunning_event_updated on dunning_event (updated_at);
create index credit_limit_updated on credit_limit (updated_at);
create index sales_order_open_updated on sales_order_open (updated_at);
create index fx_rate_updated on fx_rate (updated_at);
create index gl_balance_updated on gl_balance (updated_at);
