-- `broken` says that our own ledger, items and buckets differ in the company's currency: an error of these models, never
-- of the source. Published, every figure built on one of the three would contradict the other two.
select * from {{ ref('ar_reconciliation') }}
where status = 'broken'
