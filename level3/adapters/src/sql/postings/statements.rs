//! The statements over postings, for SQLite and PostgreSQL.
//!
//! PostgreSQL's sum of whole numbers is a `numeric`, hence the casts. SQLite's is a whole number already.

/// The debits and credits of each account, in each currency.
pub(crate) const ACCOUNTS: &str = "
    SELECT account, currency, CAST(sum(CASE WHEN minor > 0 THEN minor ELSE 0 END) AS bigint),
        CAST(sum(CASE WHEN minor < 0 THEN -minor ELSE 0 END) AS bigint)
    FROM postings GROUP BY account, currency ORDER BY currency, account";
/// Postings whose lines do not add up to zero.
pub(crate) const UNBALANCED: &str = "
    SELECT payment, reason, CAST(sum(minor) AS bigint) FROM postings
    GROUP BY payment, refund, reason, currency HAVING sum(minor) <> 0 ORDER BY payment";
/// What the row of each payment and its refunds say, beside the sums of its postings.
pub(crate) const POSTED: &str = "
    SELECT p.payment, CASE WHEN p.status = 'completed' THEN p.minor ELSE 0 END,
        CAST(coalesce(r.processing, 0) AS bigint), CAST(coalesce(r.succeeded, 0) AS bigint),
        CAST(coalesce(q.provider, 0) AS bigint), CAST(coalesce(q.merchants, 0) AS bigint),
        CAST(coalesce(q.transit, 0) AS bigint),
        (SELECT count(*) FROM postings o WHERE o.payment = p.payment AND o.currency <> p.currency)
    FROM payments p
    LEFT JOIN (
        SELECT payment, sum(CASE WHEN state = 'processing' THEN minor ELSE 0 END) AS processing,
            sum(CASE WHEN state = 'succeeded' THEN minor ELSE 0 END) AS succeeded
        FROM refunds GROUP BY payment
    ) r ON r.payment = p.number
    LEFT JOIN (
        SELECT payment, sum(CASE WHEN account = 'provider' THEN minor ELSE 0 END) AS provider,
            sum(CASE WHEN account = 'merchants' THEN minor ELSE 0 END) AS merchants,
            sum(CASE WHEN account = 'refunds in transit' THEN minor ELSE 0 END) AS transit
        FROM postings GROUP BY payment
    ) q ON q.payment = p.payment ORDER BY p.number";
/// Payments that have postings and no row.
pub(crate) const ORPHANS: &str = "
    SELECT DISTINCT payment FROM postings q
    WHERE NOT EXISTS (SELECT 1 FROM payments WHERE payment = q.payment) ORDER BY payment";
