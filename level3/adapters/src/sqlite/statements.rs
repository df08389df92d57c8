//! The statements for SQLite.

/// The schema, one text for each version.
pub(super) const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6, V7, V8, V9];

/// `sagas.number` and `payments.number` count up, so that entries of the same group lie on the same
/// pages. The names are hashes: with them as keys of `journal` and `outbox`, each of 64 payments in
/// a group would write pages of its own.
const V1: &str = "
    CREATE TABLE instances (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        opened_at   INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE sagas (
        number      INTEGER PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        kind        TEXT NOT NULL,
        owner       INTEGER NOT NULL,
        epoch       INTEGER NOT NULL CHECK (epoch >= 1),
        standing    TEXT NOT NULL CHECK (standing IN ('open', 'parked', 'ended'))
    ) STRICT;
    CREATE INDEX sagas_unfinished ON sagas (standing, number) WHERE standing <> 'ended';
    CREATE TABLE journal (
        saga        INTEGER NOT NULL REFERENCES sagas (number),
        seq         INTEGER NOT NULL CHECK (seq >= 1),
        epoch       INTEGER NOT NULL,
        source      TEXT NOT NULL CHECK (source IN ('saga', 'ledger')),
        body        TEXT NOT NULL,
        at          INTEGER NOT NULL,
        PRIMARY KEY (saga, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE payments (
        number      INTEGER PRIMARY KEY,
        payment     TEXT NOT NULL UNIQUE,
        transaction_id TEXT NOT NULL UNIQUE,
        status      TEXT NOT NULL CHECK (status IN ('completed', 'voided')),
        order_id    TEXT,
        intent      TEXT UNIQUE,
        minor       INTEGER CHECK (minor > 0),
        currency    TEXT,
        email       TEXT,
        saved_at    INTEGER,
        voided_at   INTEGER,
        CHECK (status = 'voided' OR (order_id IS NOT NULL AND intent IS NOT NULL AND minor IS NOT NULL
            AND currency IS NOT NULL AND email IS NOT NULL AND saved_at IS NOT NULL))
    ) STRICT;
    CREATE TABLE outbox (
        payment     INTEGER PRIMARY KEY REFERENCES payments (number),
        failures    INTEGER NOT NULL DEFAULT 0,
        cause       TEXT
    ) STRICT;
";

/// Adds the store's identity. A store that has sagas already gets an empty one, since their names
/// were derived without it.
const V2: &str = "
    CREATE TABLE store (identity TEXT NOT NULL) STRICT;
    INSERT INTO store
    SELECT CASE WHEN EXISTS (SELECT 1 FROM sagas) THEN '' ELSE lower(hex(randomblob(16))) END;
";

/// Adds the labels. Sagas of before have none.
const V3: &str = "
    ALTER TABLE sagas ADD COLUMN label TEXT;
    CREATE INDEX sagas_labelled ON sagas (label, number) WHERE label IS NOT NULL;
";

/// Adds the claims of receipts. An older program may have sent those that are in the outbox.
const V4: &str = "
    ALTER TABLE outbox ADD COLUMN sender INTEGER;
    ALTER TABLE outbox ADD COLUMN claims INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN in_doubt INTEGER NOT NULL DEFAULT 0;
    UPDATE outbox SET in_doubt = 1;
";

/// Adds the refunds that merchants ask for.
const V5: &str = "
    CREATE TABLE refunds (
        number      INTEGER PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        payment     INTEGER NOT NULL REFERENCES payments (number),
        asked       INTEGER CHECK (asked > 0),
        minor       INTEGER NOT NULL CHECK (minor > 0),
        state       TEXT NOT NULL CHECK (state IN ('processing', 'succeeded', 'failed')),
        generation  INTEGER NOT NULL DEFAULT 0,
        attempts    INTEGER NOT NULL DEFAULT 0,
        owner       INTEGER,
        claims      INTEGER NOT NULL DEFAULT 1,
        provider    TEXT,
        cause       TEXT,
        begun_at    INTEGER NOT NULL,
        changed_at  INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX refunds_of_payment ON refunds (payment, number);
    CREATE INDEX refunds_open ON refunds (number) WHERE state = 'processing';
";

/// Adds what merchants are notified of.
const V6: &str = "
    CREATE TABLE events (
        number      INTEGER PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        label       TEXT NOT NULL,
        kind        TEXT NOT NULL,
        subject     TEXT NOT NULL,
        planned     INTEGER NOT NULL DEFAULT 0,
        at          INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX events_unplanned ON events (number) WHERE planned = 0;
    CREATE TABLE deliveries (
        number      INTEGER PRIMARY KEY,
        event       INTEGER NOT NULL REFERENCES events (number),
        label       TEXT NOT NULL,
        endpoint    TEXT NOT NULL,
        body        TEXT NOT NULL,
        state       TEXT NOT NULL DEFAULT 'pending'
            CHECK (state IN ('pending', 'delivered', 'dead')),
        attempts    INTEGER NOT NULL DEFAULT 0,
        claims      INTEGER NOT NULL DEFAULT 0,
        cause       TEXT,
        due_at      INTEGER NOT NULL,
        changed_at  INTEGER NOT NULL,
        UNIQUE (event, endpoint)
    ) STRICT;
    CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 'pending';
    CREATE INDEX deliveries_dead ON deliveries (number) WHERE state = 'dead';
    CREATE INDEX deliveries_labelled ON deliveries (label, number);
";

/// Adds what the provider reports by itself.
const V7: &str = "
    CREATE TABLE inbox (
        number      INTEGER PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        kind        TEXT NOT NULL,
        detail      TEXT NOT NULL,
        attempts    INTEGER NOT NULL DEFAULT 0,
        outcome     TEXT,
        cause       TEXT,
        received_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX inbox_unhandled ON inbox (number) WHERE outcome IS NULL;
    CREATE TABLE disputes (
        number      INTEGER PRIMARY KEY,
        name        TEXT NOT NULL UNIQUE,
        payment     INTEGER NOT NULL REFERENCES payments (number),
        minor       INTEGER NOT NULL CHECK (minor > 0),
        currency    TEXT NOT NULL,
        reason      TEXT NOT NULL,
        status      TEXT NOT NULL,
        is_closed   INTEGER NOT NULL,
        as_of       INTEGER NOT NULL,
        changed_at  INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX disputes_of_payment ON disputes (payment, number);
";

/// Adds the audit trail. Rows and refunds of before are not in it. The triggers refuse mistakes, not an
/// administrator, who can drop them.
const V8: &str = "
    CREATE TABLE audit (
        seq         INTEGER PRIMARY KEY,
        at          INTEGER NOT NULL,
        instance    INTEGER NOT NULL,
        subject     TEXT NOT NULL,
        body        TEXT NOT NULL,
        hash        TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER audit_keeps_entries BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
    CREATE TRIGGER audit_loses_no_entry BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
    CREATE TABLE audit_head (
        entries     INTEGER NOT NULL,
        hash        TEXT NOT NULL,
        rows_before INTEGER NOT NULL,
        refunds_before INTEGER NOT NULL
    ) STRICT;
    INSERT INTO audit_head SELECT 0, '', (SELECT coalesce(max(number), 0) FROM payments),
        (SELECT coalesce(max(number), 0) FROM refunds);
";

/// Adds the postings, with those of payments and refunds of before. Postings that would cancel out are
/// left out: those of voided rows and failed refunds.
const V9: &str = "
    CREATE TABLE postings (
        payment     TEXT NOT NULL,
        refund      TEXT NOT NULL,
        reason      TEXT NOT NULL,
        account     TEXT NOT NULL
            CHECK (account IN ('provider', 'merchants', 'refunds in transit')),
        currency    TEXT NOT NULL,
        minor       INTEGER NOT NULL CHECK (minor <> 0),
        at          INTEGER NOT NULL,
        PRIMARY KEY (payment, refund, reason, account)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO postings (payment, refund, reason, account, currency, minor, at)
        SELECT payment, '', 'paid', account, currency, sign * minor, CAST(unixepoch('subsec') * 1000 AS INTEGER)
        FROM payments, (SELECT 'provider' AS account, 1 AS sign UNION ALL SELECT 'merchants', -1) AS side
        WHERE status = 'completed';
    INSERT INTO postings (payment, refund, reason, account, currency, minor, at)
        SELECT p.payment, r.name, 'refund begun', account, p.currency, sign * r.minor, CAST(unixepoch('subsec') * 1000 AS INTEGER)
        FROM refunds r JOIN payments p ON p.number = r.payment,
            (SELECT 'merchants' AS account, 1 AS sign UNION ALL SELECT 'refunds in transit', -1) AS side
        WHERE r.state <> 'failed';
    INSERT INTO postings (payment, refund, reason, account, currency, minor, at)
        SELECT p.payment, r.name, 'refund succeeded', account, p.currency, sign * r.minor, CAST(unixepoch('subsec') * 1000 AS INTEGER)
        FROM refunds r JOIN payments p ON p.number = r.payment,
            (SELECT 'refunds in transit' AS account, 1 AS sign UNION ALL SELECT 'provider', -1) AS side
        WHERE r.state = 'succeeded';
";

pub(super) const IDENTITY: &str = "SELECT identity FROM store";

/// Finds the page on which the identity is: its place in the file, and its size.
pub(super) const PAGE_OF_THE_IDENTITY: &str = "
    SELECT (rootpage - 1) * page_size, page_size
    FROM sqlite_schema, pragma_page_size WHERE type = 'table' AND name = 'store'";
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";

/// Finds out whether there is any table, and whether there is the one with the version of the
/// schema.
pub(super) const TABLES: &str = "
    SELECT count(*), coalesce(sum(name = 'level3_migrations'), 0) FROM sqlite_schema
    WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
pub(super) const MAKE_MIGRATIONS: &str = "
    CREATE TABLE level3_migrations (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT";
pub(super) const SCHEMA: &str = "SELECT coalesce(max(version), 0) FROM level3_migrations";
pub(super) const MIGRATED: &str = "
    INSERT INTO level3_migrations VALUES (?1, CAST(unixepoch('subsec') * 1000 AS INTEGER))";

pub(super) const NEW_INSTANCE: &str = "
    INSERT INTO instances (opened_at) VALUES (CAST(unixepoch('subsec') * 1000 AS INTEGER))
    RETURNING id";
pub(super) const INSTANCE: &str = "SELECT 1 FROM instances WHERE id = ?1";
pub(super) const INSTANCES: &str = "SELECT id FROM instances WHERE id <> ?1";
pub(super) const END_INSTANCE: &str = "DELETE FROM instances WHERE id = ?1";

pub(super) const OPEN: &str = "
    INSERT INTO sagas (name, kind, owner, epoch, standing, label)
    VALUES (?1, ?2, ?3, 1, 'open', ?4)
    ON CONFLICT (name) DO NOTHING RETURNING number";
pub(super) const FIRST: &str = "
    INSERT INTO journal VALUES (?1, 1, 1, 'saga', ?2, CAST(unixepoch('subsec') * 1000 AS INTEGER))";
/// Writes only under the latest epoch: no row means that the writer is fenced.
pub(super) const APPEND: &str = "
    INSERT INTO journal
    SELECT number, (SELECT max(seq) + 1 FROM journal WHERE saga = number), epoch, 'saga', ?3,
        CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM sagas WHERE name = ?1 AND epoch = ?2";
pub(super) const STAND: &str = "UPDATE sagas SET standing = ?2 WHERE name = ?1";
/// Writes a note of the ledger, if this store has the payment's saga.
pub(super) const NOTE: &str = "
    INSERT INTO journal
    SELECT number, (SELECT max(seq) + 1 FROM journal WHERE saga = number), epoch, 'ledger', ?2,
        CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM sagas WHERE name = ?1";
pub(super) const SAGA: &str = "
    SELECT number, epoch, standing, owner, (SELECT max(seq) FROM journal WHERE saga = number)
    FROM sagas WHERE name = ?1";
pub(super) const RECORDS: &str = "
    SELECT body FROM journal WHERE saga = ?1 AND source = 'saga' ORDER BY seq";
pub(super) const ENTRIES: &str = "
    SELECT seq, epoch, at, source, body FROM journal WHERE saga = ?1 ORDER BY seq";
pub(super) const CLAIM: &str = "
    UPDATE sagas SET epoch = epoch + 1, owner = ?2, standing = 'open' WHERE name = ?1
    RETURNING epoch";
/// The first condition is that of the index, so that SQLite can use the index.
pub(super) const LIST_UNFINISHED: &str = "
    SELECT name FROM sagas WHERE standing <> 'ended' AND standing = ?1 ORDER BY number LIMIT ?2";
pub(super) const LIST_ENDED: &str = "
    SELECT name FROM sagas WHERE standing = ?1 ORDER BY number LIMIT ?2";

/// The first condition is that of the index, so that SQLite can use the index.
pub(super) const LABELLED: &str = "
    SELECT s.name, j.at
    FROM sagas s JOIN journal j ON j.saga = s.number AND j.seq = 1
    WHERE s.label IS NOT NULL AND s.label = ?1 AND j.at >= ?3 AND j.at < ?4
        AND (?2 IS NULL OR s.number < (SELECT number FROM sagas WHERE name = ?2 AND label = ?1))
    ORDER BY s.number DESC LIMIT ?5";

pub(super) const SAVE: &str = "
    INSERT INTO payments
        (payment, transaction_id, status, order_id, intent, minor, currency, email, saved_at)
    VALUES (?1, ?2, 'completed', ?3, ?4, ?5, ?6, ?7, CAST(unixepoch('subsec') * 1000 AS INTEGER))
    ON CONFLICT (payment) DO NOTHING RETURNING number";
pub(super) const RECEIPT_DUE: &str = "INSERT INTO outbox (payment) VALUES (?1)";
pub(super) const SAVED: &str = "SELECT status, minor, currency FROM payments WHERE payment = ?1";
/// If there is no row yet, writes a tombstone.
pub(super) const VOID: &str = "
    INSERT INTO payments (payment, transaction_id, status, voided_at)
    VALUES (?1, ?2, 'voided', CAST(unixepoch('subsec') * 1000 AS INTEGER))
    ON CONFLICT (payment) DO UPDATE SET status = 'voided', voided_at = excluded.voided_at
        WHERE status <> 'voided'
    RETURNING number";
pub(super) const NO_RECEIPT: &str = "DELETE FROM outbox WHERE payment = ?1";
pub(super) const PENDING: &str = "
    SELECT p.payment, p.transaction_id, p.order_id, p.minor, p.currency, p.email
    FROM outbox o JOIN payments p ON p.number = o.payment ORDER BY o.payment LIMIT ?1";
pub(super) const RECEIPT_SENT: &str = "
    DELETE FROM outbox
    WHERE payment = (SELECT number FROM payments WHERE transaction_id = ?1)";
/// A claim is in doubt until it is released: its process may die before that.
pub(super) const OUTBOX_ENTRY: &str = "
    SELECT o.payment, o.sender, o.claims, o.in_doubt
    FROM outbox o JOIN payments p ON p.number = o.payment WHERE p.transaction_id = ?1";
pub(super) const CLAIM_RECEIPT: &str = "
    UPDATE outbox SET sender = ?2, claims = claims + 1, in_doubt = 1 WHERE payment = ?1";
pub(super) const RELEASE_RECEIPT: &str = "
    UPDATE outbox SET sender = NULL, in_doubt = ?3
    WHERE sender = ?2 AND payment = (SELECT number FROM payments WHERE transaction_id = ?1)";

pub(super) const RECEIPT_FAILED: &str = "
    UPDATE outbox SET failures = failures + 1, cause = ?2
    WHERE payment = (SELECT number FROM payments WHERE payment = ?1)";
pub(super) const FAILED_RECEIPTS: &str = "
    SELECT p.payment, o.cause, o.failures
    FROM outbox o JOIN payments p ON p.number = o.payment
    WHERE o.cause IS NOT NULL ORDER BY o.payment LIMIT ?1";
pub(super) const IS_PENDING: &str = "
    SELECT count(*) FROM outbox
    WHERE payment = (SELECT number FROM payments WHERE payment = ?1)";
pub(super) const ROW: &str = "
    SELECT number, payment, transaction_id, order_id, intent, minor, currency, status, saved_at
    FROM payments WHERE payment = ?1 AND saved_at IS NOT NULL";
pub(super) const ROWS: &str = "
    SELECT number, payment, transaction_id, order_id, intent, minor, currency, status, saved_at
    FROM payments WHERE number > ?1 AND saved_at IS NOT NULL ORDER BY number LIMIT ?2";
pub(super) const COUNTS: &str = "
    SELECT standing, count(*) FROM sagas GROUP BY standing
    UNION ALL SELECT status, count(*) FROM payments GROUP BY status
    UNION ALL SELECT 'receipts', count(*) FROM outbox
    UNION ALL SELECT 'receipts in doubt', count(*) FROM outbox WHERE in_doubt";

/// A macro and not a constant: `concat!` takes literals only.
macro_rules! refunds {
    ($rest:literal) => {
        concat!(
            "SELECT r.name, p.payment, p.intent, coalesce(r.asked, 0), r.minor, p.currency, r.state, r.generation,
        r.attempts, coalesce(r.provider, ''), coalesce(r.cause, ''), 
        r.begun_at, r.changed_at, coalesce(r.owner, -1), r.claims
    FROM refunds r JOIN payments p ON p.number = r.payment ",
            $rest
        )
    };
}

pub(super) const REFUND: &str = refunds!("WHERE r.name = ?1");
pub(super) const REFUNDS_OF: &str = refunds!("WHERE p.payment = ?1 ORDER BY r.number");
pub(super) const OPEN_REFUNDS: &str = "
    SELECT name FROM refunds WHERE state = 'processing' ORDER BY number LIMIT ?1";
pub(super) const CHARGED: &str = "
    SELECT number, status = 'completed', coalesce(minor, 0),
        (SELECT coalesce(sum(minor), 0) FROM refunds
            WHERE payment = payments.number AND state <> 'failed')
    FROM payments WHERE payment = ?1";
pub(super) const NEW_REFUND: &str = "
    INSERT INTO refunds (name, payment, asked, minor, state, owner, begun_at, changed_at)
    VALUES (?1, ?2, ?3, ?4, 'processing', ?5,
        CAST(unixepoch('subsec') * 1000 AS INTEGER), CAST(unixepoch('subsec') * 1000 AS INTEGER))";
pub(super) const REFUND_CLAIMED: &str = "
    UPDATE refunds SET owner = ?2, claims = ?3 WHERE name = ?1";
/// Writes only under the latest claim.
pub(super) const REFUND_ATTEMPTED: &str = "
    UPDATE refunds SET generation = ?3, cause = ?4, attempts = attempts + 1,
        owner = CASE WHEN ?5 THEN NULL ELSE owner END,
        changed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE name = ?1 AND claims = ?2 AND state = 'processing'";
pub(super) const REFUND_SETTLED: &str = "
    UPDATE refunds SET state = ?3, provider = ?4, cause = ?5, owner = NULL,
        changed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE name = ?1 AND claims = ?2 AND state = 'processing'";

pub(super) const NEW_EVENT: &str = "
    INSERT INTO events (name, label, kind, subject, at)
    SELECT ?1, label, ?3, ?4, CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM sagas WHERE name = ?2 AND label IS NOT NULL
    ON CONFLICT (name) DO NOTHING";
pub(super) const UNPLANNED: &str = "
    SELECT number, name, label, kind, subject, at FROM events
    WHERE planned = 0 ORDER BY number LIMIT ?1";
pub(super) const PLANNED: &str = "UPDATE events SET planned = 1 WHERE number = ?1 AND planned = 0";
pub(super) const NEW_DELIVERY: &str = "
    INSERT INTO deliveries (event, label, endpoint, body, due_at, changed_at)
    SELECT number, label, ?2, ?3, CAST(unixepoch('subsec') * 1000 AS INTEGER),
        CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM events WHERE number = ?1";

/// A macro and not a constant: `concat!` takes literals only.
macro_rules! deliveries {
    ($rest:literal) => {
        concat!(
            "SELECT d.number, e.name, d.label, d.endpoint, d.body, d.state, d.attempts, coalesce(d.cause, ''),
        d.due_at, d.changed_at, d.claims
    FROM deliveries d JOIN events e ON e.number = d.event ",
            $rest
        )
    };
}

pub(super) const DUE: &str = deliveries!(
    "WHERE d.state = 'pending' AND d.due_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER)
    ORDER BY d.due_at LIMIT ?1"
);
pub(super) const DELIVERIES: &str = deliveries!(
    "WHERE (?1 IS NULL OR d.label = ?1) AND (?2 IS NULL OR d.state = ?2)
        AND (?3 IS NULL OR d.number < ?3)
    ORDER BY d.number DESC LIMIT ?4"
);
pub(super) const DELIVERY_CLAIMED: &str = "
    UPDATE deliveries SET claims = ?2,
        due_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?3
    WHERE number = ?1";
/// Writes only under the latest claim.
pub(super) const DELIVERY_ENDED: &str = "
    UPDATE deliveries SET state = ?3, cause = ?4, attempts = attempts + ?6,
        due_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?5,
        changed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE number = ?1 AND claims = ?2 AND state = 'pending'";
/// Raises the number of claims, so that the end of an attempt that is under way writes nothing.
pub(super) const REPLAY: &str = "
    UPDATE deliveries SET state = 'pending', attempts = 0, cause = NULL, claims = claims + 1,
        due_at = CAST(unixepoch('subsec') * 1000 AS INTEGER),
        changed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE number = ?1 AND (?2 IS NULL OR label = ?2)";

pub(super) const ARRIVAL: &str = "
    INSERT INTO inbox (name, kind, detail, received_at)
    VALUES (?1, ?2, ?3, CAST(unixepoch('subsec') * 1000 AS INTEGER))
    ON CONFLICT (name) DO NOTHING";
pub(super) const UNHANDLED: &str = "
    SELECT number, name, kind, detail, attempts FROM inbox
    WHERE outcome IS NULL ORDER BY number LIMIT ?1";
pub(super) const ARRIVAL_HANDLED: &str = "
    UPDATE inbox SET outcome = ?2, cause = NULL WHERE number = ?1 AND outcome IS NULL";
pub(super) const ARRIVAL_FAILED: &str = "
    UPDATE inbox SET attempts = attempts + 1, cause = ?2 WHERE number = ?1 AND outcome IS NULL";
pub(super) const PAYMENT_OF_INTENT: &str = "
    SELECT number, payment FROM payments WHERE intent = ?1";
/// A report that is older than the last one changes nothing, and nothing changes a closed dispute.
pub(super) const NEW_DISPUTE: &str = "
    INSERT INTO disputes
        (name, payment, minor, currency, reason, status, is_closed, as_of, changed_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, CAST(unixepoch('subsec') * 1000 AS INTEGER))
    ON CONFLICT (name) DO UPDATE SET minor = excluded.minor, reason = excluded.reason,
        status = excluded.status, is_closed = excluded.is_closed, as_of = excluded.as_of,
        changed_at = excluded.changed_at
    WHERE NOT disputes.is_closed AND disputes.status <> excluded.status
        AND (excluded.is_closed OR excluded.as_of >= disputes.as_of)";

/// A macro and not a constant: `concat!` takes literals only.
macro_rules! disputes {
    ($rest:literal) => {
        concat!(
            "SELECT d.name, p.payment, p.intent, d.minor, d.currency, d.reason, d.status, d.is_closed, d.as_of,
        d.changed_at
    FROM disputes d JOIN payments p ON p.number = d.payment ",
            $rest
        )
    };
}

pub(super) const DISPUTES_OF: &str = disputes!("WHERE p.payment = ?1 ORDER BY d.number");
pub(super) const DISPUTE: &str = disputes!("WHERE d.name = ?1");
pub(super) const REFUND_FAILED_LATE: &str = "
    UPDATE refunds SET state = 'failed', cause = ?2,
        changed_at = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE name = ?1 AND state = 'succeeded'";

pub(super) const AUDIT_HEAD: &str = "
    SELECT h.entries, h.hash, h.rows_before, h.refunds_before, s.identity,
        CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM audit_head h, store s";
pub(super) const NEW_AUDIT: &str = "
    INSERT INTO audit (seq, at, instance, subject, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(super) const MOVE_HEAD: &str = "UPDATE audit_head SET entries = ?1, hash = ?2";

/// A line for each of the two accounts. What is posted already stays as it is: a row that was lost and
/// is written again is not posted twice. A payment that was voided before it had a row has no amount.
pub(super) const POST_PAYMENT: &str = "
    INSERT INTO postings (payment, refund, reason, account, currency, minor, at)
    SELECT payment, '', ?2, account, currency, sign * minor,
        CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM payments, (SELECT ?3 AS account, 1 AS sign UNION ALL SELECT ?4, -1) AS side
    WHERE payment = ?1 AND minor IS NOT NULL ON CONFLICT DO NOTHING";
pub(super) const POST_REFUND: &str = "
    INSERT INTO postings (payment, refund, reason, account, currency, minor, at)
    SELECT p.payment, r.name, ?2, account, p.currency, sign * r.minor,
        CAST(unixepoch('subsec') * 1000 AS INTEGER)
    FROM refunds r JOIN payments p ON p.number = r.payment,
        (SELECT ?3 AS account, 1 AS sign UNION ALL SELECT ?4, -1) AS side
    WHERE r.name = ?1 ON CONFLICT DO NOTHING";

/// The statements that use every table and every column.
pub(super) const WRITES: &[&str] = &[
    OPEN,
    FIRST,
    APPEND,
    STAND,
    CLAIM,
    SAVE,
    VOID,
    RECEIPT_DUE,
    RECEIPT_FAILED,
    CLAIM_RECEIPT,
    RELEASE_RECEIPT,
    NEW_REFUND,
    REFUND_CLAIMED,
    REFUND_ATTEMPTED,
    REFUND_SETTLED,
    NEW_EVENT,
    PLANNED,
    NEW_DELIVERY,
    DELIVERY_CLAIMED,
    DELIVERY_ENDED,
    REPLAY,
    ARRIVAL,
    ARRIVAL_HANDLED,
    ARRIVAL_FAILED,
    NEW_DISPUTE,
    REFUND_FAILED_LATE,
    NEW_AUDIT,
    MOVE_HEAD,
    AUDIT_HEAD,
    POST_PAYMENT,
    POST_REFUND,
    END_INSTANCE,
];

/// Each fault of the file's pages and indexes; `ok` if there is none.
pub(super) const INTEGRITY: &str = "PRAGMA integrity_check(1000)";
pub(super) const FOREIGN_KEYS: &str = "PRAGMA foreign_key_check";
/// The order of the journal is that of its key, so that nothing is sorted.
pub(super) const EVERY_ENTRY: &str = "
    SELECT s.name, s.epoch, s.standing, EXISTS (SELECT 1 FROM payments WHERE payment = s.name),
        coalesce(j.seq, 0), coalesce(j.epoch, 0), coalesce(j.source, ''), coalesce(j.body, '')
    FROM sagas s LEFT JOIN journal j ON j.saga = s.number ORDER BY s.number, j.seq";
pub(super) const EVERY_ROW: &str = "
    SELECT p.number, p.payment, p.transaction_id, coalesce(p.order_id, ''), coalesce(p.intent, ''),
        coalesce(p.minor, 0), coalesce(p.currency, ''), p.status, coalesce(p.saved_at, -1),
        EXISTS (SELECT 1 FROM sagas WHERE name = p.payment),
        EXISTS (SELECT 1 FROM outbox WHERE payment = p.number), coalesce(p.email, '')
    FROM payments p ORDER BY p.number";
pub(super) const HAS_REFUNDS: &str = "SELECT 1 FROM sqlite_schema WHERE name = 'refunds'";
pub(super) const EVERY_REFUND: &str = "
    SELECT p.payment, coalesce(p.minor, 0), p.status,
        sum(CASE WHEN r.state <> 'failed' THEN r.minor ELSE 0 END)
    FROM refunds r JOIN payments p ON p.number = r.payment GROUP BY p.number";

pub(super) const HAS_AUDIT: &str = "SELECT 1 FROM sqlite_schema WHERE name = 'audit_head'";
pub(super) const EVERY_AUDIT: &str = "
    SELECT seq, at, instance, subject, body, hash FROM audit ORDER BY seq";
/// Each row with the entries about it. The names are not indexed: SQLite makes an index for the query.
pub(super) const AUDITED_ROWS: &str = "
    SELECT p.payment, p.transaction_id, coalesce(p.order_id, ''), coalesce(p.intent, ''),
        coalesce(p.minor, 0), coalesce(p.currency, ''), p.status, coalesce(a.body, '')
    FROM payments p LEFT JOIN audit a ON a.subject = p.payment
    WHERE p.number > (SELECT rows_before FROM audit_head) ORDER BY p.number, a.seq";
pub(super) const AUDITED_REFUNDS: &str = "
    SELECT r.name, p.payment, r.minor, coalesce(p.currency, ''), r.state, coalesce(r.provider, ''),
        coalesce(a.body, '')
    FROM refunds r JOIN payments p ON p.number = r.payment LEFT JOIN audit a ON a.subject = r.name
    WHERE r.number > (SELECT refunds_before FROM audit_head) ORDER BY r.number, a.seq";
pub(super) const MISSING_ROWS: &str = r#"
    SELECT subject FROM audit
    WHERE body LIKE '{"change":"row_saved",%' AND subject NOT IN (SELECT payment FROM payments)
    UNION ALL SELECT subject FROM audit
    WHERE body LIKE '{"change":"refund_begun",%' AND subject NOT IN (SELECT name FROM refunds)"#;

pub(super) const HAS_POSTINGS: &str = "SELECT 1 FROM sqlite_schema WHERE name = 'postings'";
