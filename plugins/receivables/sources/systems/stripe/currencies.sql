-- Amounts are whole numbers of the smallest unit that Stripe uses: how many of them make one.
-- ISK and UGX have no decimals, and Stripe still writes them with two.
select unnest(['bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga', 'pyg', 'rwf', 'vnd', 'vuv', 'xaf', 'xof', 'xpf'])
    as currency, 1.0000 as unit
union all
select unnest(['bhd', 'jod', 'kwd', 'omr', 'tnd']), 0.0010
