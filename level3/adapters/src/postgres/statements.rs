//! The statements for PostgreSQL.

use futures::future::try_join_all;
use tokio_postgres::{Client, Error, Statement};

/// The schema, one text for each version.
pub(super) const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6, V7, V8, V9];

const V1: &str = "
    CREATE SEQUENCE instances AS integer;
    CREATE TABLE sagas (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE,
        kind        text NOT NULL,
        owner       integer NOT NULL,
        epoch       bigint NOT NULL CHECK (epoch >= 1),
        next_seq    bigint NOT NULL,
        standing    text NOT NULL CHECK (standing IN ('open', 'parked', 'ended'))
    ) WITH (fillfactor = 50);
    CREATE INDEX sagas_unfinished ON sagas (standing, number) WHERE standing <> 'ended';
    CREATE TABLE journal (
        saga        bigint NOT NULL REFERENCES sagas (number),
        seq         bigint NOT NULL CHECK (seq >= 1),
        epoch       bigint NOT NULL,
        source      text NOT NULL CHECK (source IN ('saga', 'ledger')),
        body        text NOT NULL,
        at          timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (saga, seq)
    );
    CREATE TABLE payments (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        payment     text NOT NULL UNIQUE,
        transaction_id text NOT NULL CONSTRAINT payments_transaction UNIQUE,
        status      text NOT NULL CHECK (status IN ('completed', 'voided')),
        order_id    text,
        intent      text UNIQUE,
        minor       bigint CHECK (minor > 0),
        currency    text,
        email       text,
        saved_at    timestamptz,
        voided_at   timestamptz,
        CHECK (status = 'voided' OR (order_id IS NOT NULL AND intent IS NOT NULL AND minor IS NOT NULL
            AND currency IS NOT NULL AND email IS NOT NULL AND saved_at IS NOT NULL))
    );
    CREATE TABLE outbox (
        payment     bigint PRIMARY KEY REFERENCES payments (number),
        failures    bigint NOT NULL DEFAULT 0,
        cause       text
    );
";

/// Adds the store's identity. A store that has sagas already gets an empty one, since their names
/// were derived without it.
const V2: &str = "
    CREATE TABLE store (identity text NOT NULL);
    INSERT INTO store
    SELECT CASE WHEN EXISTS (SELECT 1 FROM sagas) THEN '' ELSE gen_random_uuid()::text END;
";

/// Adds the labels. Sagas of before have none.
const V3: &str = "
    ALTER TABLE sagas ADD COLUMN label text;
    CREATE INDEX sagas_labelled ON sagas (label, number) WHERE label IS NOT NULL;
";

/// Adds the claims of receipts. An older program may have sent those that are in the outbox.
const V4: &str = "
    ALTER TABLE outbox ADD COLUMN sender integer;
    ALTER TABLE outbox ADD COLUMN claims bigint NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN in_doubt boolean NOT NULL DEFAULT false;
    UPDATE outbox SET in_doubt = true;
";

/// Adds the refunds that merchants ask for.
const V5: &str = "
    CREATE TABLE refunds (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE,
        payment     bigint NOT NULL REFERENCES payments (number),
        asked       bigint CHECK (asked > 0),
        minor       bigint NOT NULL CHECK (minor > 0),
        state       text NOT NULL CHECK (state IN ('processing', 'succeeded', 'failed')),
        generation  bigint NOT NULL DEFAULT 0,
        attempts    bigint NOT NULL DEFAULT 0,
        owner       integer,
        claims      bigint NOT NULL DEFAULT 1,
        provider    text,
        cause       text,
        begun_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX refunds_of_payment ON refunds (payment, number);
    CREATE INDEX refunds_open ON refunds (number) WHERE state = 'processing';
";

/// Adds what merchants are notified of.
const V6: &str = "
    CREATE TABLE events (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE,
        label       text NOT NULL,
        kind        text NOT NULL,
        subject     text NOT NULL,
        planned     boolean NOT NULL DEFAULT false,
        at          timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX events_unplanned ON events (number) WHERE NOT planned;
    CREATE TABLE deliveries (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event       bigint NOT NULL REFERENCES events (number),
        label       text NOT NULL,
        endpoint    text NOT NULL,
        body        text NOT NULL,
        state       text NOT NULL DEFAULT 'pending'
            CHECK (state IN ('pending', 'delivered', 'dead')),
        attempts    bigint NOT NULL DEFAULT 0,
        claims      bigint NOT NULL DEFAULT 0,
        cause       text,
        due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (event, endpoint)
    );
    CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 'pending';
    CREATE INDEX deliveries_dead ON deliveries (number) WHERE state = 'dead';
    CREATE INDEX deliveries_labelled ON deliveries (label, number);
";

/// Adds what the provider reports by itself.
const V7: &str = "
    CREATE TABLE inbox (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE,
        kind        text NOT NULL,
        detail      text NOT NULL,
        attempts    bigint NOT NULL DEFAULT 0,
        outcome     text,
        cause       text,
        received_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX inbox_unhandled ON inbox (number) WHERE outcome IS NULL;
    CREATE TABLE disputes (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE,
        payment     bigint NOT NULL REFERENCES payments (number),
        minor       bigint NOT NULL CHECK (minor > 0),
        currency    text NOT NULL,
        reason      text NOT NULL,
        status      text NOT NULL,
        is_closed   boolean NOT NULL,
        as_of       bigint NOT NULL,
        changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE INDEX disputes_of_payment ON disputes (payment, number);
";

/// Adds the audit trail. Rows and refunds of before are not in it. The triggers refuse mistakes, not an
/// administrator, who can drop them.
const V8: &str = "
    CREATE TABLE audit (
        seq         bigint PRIMARY KEY,
        at          bigint NOT NULL,
        instance    bigint NOT NULL,
        subject     text NOT NULL,
        body        text NOT NULL,
        hash        text NOT NULL
    );
    CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$;
    CREATE TRIGGER audit_keeps_entries BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
    CREATE TABLE audit_head (
        entries     bigint NOT NULL,
        hash        text NOT NULL,
        rows_before bigint NOT NULL,
        refunds_before bigint NOT NULL
    ) WITH (fillfactor = 10);
    INSERT INTO audit_head SELECT 0, '', (SELECT coalesce(max(number), 0) FROM payments),
        (SELECT coalesce(max(number), 0) FROM refunds);
";

/// Adds the postings, with those of payments and refunds of before. Postings that would cancel out are
/// left out: those of voided rows and failed refunds.
const V9: &str = "
    CREATE TABLE postings (
        payment     text NOT NULL,
        refund      text NOT NULL,
        reason      text NOT NULL,
        account     text NOT NULL
            CHECK (account IN ('provider', 'merchants', 'refunds in transit')),
        currency    text NOT NULL,
        minor       bigint NOT NULL CHECK (minor <> 0),
        at          timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (payment, refund, reason, account)
    );
    INSERT INTO postings (payment, refund, reason, account, currency, minor)
        SELECT payment, '', 'paid', account, currency, sign * minor
        FROM payments, (SELECT 'provider' AS account, 1 AS sign UNION ALL SELECT 'merchants', -1) AS side
        WHERE status = 'completed';
    INSERT INTO postings (payment, refund, reason, account, currency, minor)
        SELECT p.payment, r.name, 'refund begun', account, p.currency, sign * r.minor
        FROM refunds r JOIN payments p ON p.number = r.payment,
            (SELECT 'merchants' AS account, 1 AS sign UNION ALL SELECT 'refunds in transit', -1) AS side
        WHERE r.state <> 'failed';
    INSERT INTO postings (payment, refund, reason, account, currency, minor)
        SELECT p.payment, r.name, 'refund succeeded', account, p.currency, sign * r.minor
        FROM refunds r JOIN payments p ON p.number = r.payment,
            (SELECT 'refunds in transit' AS account, 1 AS sign UNION ALL SELECT 'provider', -1) AS side
        WHERE r.state = 'succeeded';
";

pub(super) const IDENTITY: &str = "SELECT identity FROM store";
/// Finds out whether the tables are those of the store with this identity, and not of an earlier
/// state: this process has got its number from it.
pub(super) const IS_THE_SAME: &str = "
    SELECT EXISTS (SELECT 1 FROM store WHERE identity = $1)
        AND (SELECT last_value FROM instances) >= $2::integer";

/// The name of the constraint that makes the ids of transactions unique.
pub(super) const TRANSACTION_KEY: &str = "payments_transaction";

pub(super) const BEGIN: &str = "BEGIN";
/// Begins a transaction whose queries all see the same state. A standby allows it too.
pub(super) const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";

/// The settings of each connection. Every answer comes after the flush, whatever the server's
/// default is. A process that is frozen within a transaction keeps its locks for two seconds at
/// most, and no process waits for a lock longer than four. Both are less than the patience of a
/// write, and a write that was cut off is done again.
pub(super) const CONFIGURE: &str = "
    SET synchronous_commit = on;
    SET idle_in_transaction_session_timeout = '2s';
    SET lock_timeout = '4s'";

/// Finds out whether there is the table with the version of the schema, and how many other tables
/// have the names of ours.
pub(super) const TABLES: &str = "
    SELECT count(*) FILTER (WHERE tablename = 'level3_migrations'),
        count(*) FILTER (WHERE tablename IN ('sagas', 'journal', 'payments', 'outbox'))
    FROM pg_tables WHERE schemaname = current_schema()";
pub(super) const MAKE_MIGRATIONS: &str = "
    CREATE TABLE level3_migrations (
        version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
    )";
pub(super) const SCHEMA: &str = "SELECT coalesce(max(version), 0)::bigint FROM level3_migrations";
pub(super) const MIGRATED: &str = "INSERT INTO level3_migrations (version) VALUES ($1::bigint)";

/// Locks of a store are those of its schema; number 0 is held while the tables are changed.
pub(super) const LOCK_SCHEMA: &str = "
    SELECT pg_advisory_xact_lock(hashtext('level3 ' || current_schema()), 0)";
pub(super) const NEW_INSTANCE: &str = "SELECT nextval('instances')::integer";
/// The session holds the lock, so the server releases it when the session ends. A store that was
/// deleted and created again begins with the same numbers, and has locks of its own.
pub(super) const LOCK_INSTANCE: &str = "
    SELECT pg_advisory_lock(hashtext('level3 ' || current_schema() || identity), $1) FROM store";

/// The beginning of a query of refunds. A macro and not a constant: `concat!` takes literals only.
macro_rules! refunds {
    ($rest:literal) => {
        concat!(
            "SELECT r.name, p.payment, p.intent, coalesce(r.asked, 0), r.minor, p.currency, r.state, r.generation,
        r.attempts, coalesce(r.provider, ''), coalesce(r.cause, ''), 
        (extract(epoch FROM r.begun_at) * 1000)::bigint,
        (extract(epoch FROM r.changed_at) * 1000)::bigint, coalesce(r.owner, -1)::bigint, r.claims
    FROM refunds r JOIN payments p ON p.number = r.payment ",
            $rest
        )
    };
}

/// The columns of a delivery. A macro and not a constant: `concat!` takes literals only.
macro_rules! deliveries {
    ($before:literal, $rest:literal) => {
        concat!(
            $before,
            " d.number, e.name, d.label, d.endpoint, d.body, d.state, d.attempts, coalesce(d.cause, ''),
        (extract(epoch FROM d.due_at) * 1000)::bigint,
        (extract(epoch FROM d.changed_at) * 1000)::bigint, d.claims ",
            $rest
        )
    };
}

/// A query of disputes. A macro and not a constant: `concat!` takes literals only.
macro_rules! disputes {
    ($rest:literal) => {
        concat!(
            "SELECT d.name, p.payment, p.intent, d.minor, d.currency, d.reason, d.status,
        d.is_closed::integer::bigint, d.as_of, (extract(epoch FROM d.changed_at) * 1000)::bigint
    FROM disputes d JOIN payments p ON p.number = d.payment ",
            $rest
        )
    };
}

/// The end of the trail. A macro and not a constant: `concat!` takes literals only.
macro_rules! audit_head {
    () => {
        "SELECT h.entries, h.hash, h.rows_before, h.refunds_before, s.identity,
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    FROM audit_head h, store s"
    };
}

/// Declares statements that are prepared together on a connection.
macro_rules! statements {
    ($(#[$about:meta])* $group:ident: $($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $(#[$about])*
        pub(super) struct $group {
            $($(#[$doc])* pub(super) $name: Statement,)*
        }

        impl $group {
            /// Prepares all of them in one round trip.
            pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
                let texts = [$($text),*];
                let prepared = try_join_all(texts.map(|text| client.prepare(text))).await?;
                let mut prepared = prepared.into_iter();
                $(let $name = match prepared.next() {
                    Some(statement) => statement,
                    // There are as many results as statements.
                    None => client.prepare($text).await?,
                };)*
                Ok(Self { $($name),* })
            }
        }
    };
}

statements! {
    /// The queries that show payments and dead letters. They read a store of any schema.
    Queries:
    saga = "
        SELECT number, epoch, next_seq - 1, standing, owner FROM sagas WHERE name = $1";
    records = "SELECT body FROM journal WHERE saga = $1 AND source = 'saga' ORDER BY seq";
    entries = "
        SELECT seq, epoch, (extract(epoch FROM at) * 1000)::bigint, source, body
        FROM journal WHERE saga = $1 ORDER BY seq";
    /// The first condition is that of the index, so that the server can use the index.
    list_unfinished = "
        SELECT name FROM sagas WHERE standing <> 'ended' AND standing = $1 ORDER BY number LIMIT $2";
    failed_receipts = "
        SELECT p.payment, o.cause, o.failures
        FROM outbox o JOIN payments p ON p.number = o.payment
        WHERE o.cause IS NOT NULL ORDER BY o.payment LIMIT $1";
    is_pending = "
        SELECT count(*) FROM outbox
        WHERE payment = (SELECT number FROM payments WHERE payment = $1)";
    row = "
        SELECT number, payment, transaction_id, order_id, intent, minor, currency, status,
            (extract(epoch FROM saved_at) * 1000)::bigint
        FROM payments WHERE payment = $1 AND saved_at IS NOT NULL";
}

statements! {
    /// The statements of a connection that writes.
    Statements:
    /// Finds out whether the tables are still those of the same store.
    is_ours = "SELECT 1 FROM store WHERE identity = $1";
    open = "
        WITH opened AS (
            INSERT INTO sagas (name, kind, owner, epoch, next_seq, standing, label)
            VALUES ($1, $2, $3, 1, 2, 'open', $5)
            ON CONFLICT (name) DO NOTHING RETURNING number
        )
        INSERT INTO journal (saga, seq, epoch, source, body)
        SELECT number, 1, 1, 'saga', $4 FROM opened";
    /// Locks the row of the saga: of a claim and a write, one waits for the other and then sees its
    /// epoch.
    append = "
        WITH mine AS (
            UPDATE sagas SET next_seq = next_seq + 1, standing = coalesce($4, standing)
            WHERE name = $1 AND epoch = $2
            RETURNING number, next_seq - 1 AS seq, epoch
        )
        INSERT INTO journal (saga, seq, epoch, source, body)
        SELECT number, seq, epoch, 'saga', $3 FROM mine";
    saga_locked = "
        SELECT number, epoch, next_seq - 1, standing, owner FROM sagas WHERE name = $1 FOR UPDATE";
    /// Finds out whether the instance's lock is free. The check takes a shared lock until the end
    /// of the transaction, so that two processes that check at the same time do not mistake each
    /// other for the owner.
    is_gone = "
        SELECT pg_try_advisory_xact_lock_shared(
            hashtext('level3 ' || current_schema() || identity), $1)
        FROM store";
    claim = "
        UPDATE sagas SET epoch = epoch + 1, owner = $2, standing = 'open' WHERE number = $1
        RETURNING epoch";
    list_ended = "SELECT name FROM sagas WHERE standing = $1 ORDER BY number LIMIT $2";
    /// The first condition is that of the index, so that the server can use the index. A time is
    /// compared as the whole milliseconds that a reader sees.
    labelled = "
        SELECT s.name, (extract(epoch FROM j.at) * 1000)::bigint
        FROM sagas s JOIN journal j ON j.saga = s.number AND j.seq = 1
        WHERE s.label IS NOT NULL AND s.label = $1
            AND ($2::text IS NULL
                OR s.number < (SELECT number FROM sagas WHERE name = $2 AND label = $1))
            AND (extract(epoch FROM j.at) * 1000)::bigint >= $3
            AND (extract(epoch FROM j.at) * 1000)::bigint < $4
        ORDER BY s.number DESC LIMIT $5";
    /// Writes the row, the outbox entry and the note, or nothing.
    save = "
        WITH saved AS (
            INSERT INTO payments (payment, transaction_id, status, order_id, intent, minor, currency,
                email, saved_at)
            VALUES ($1, $2, 'completed', $3, $4, $5, $6, $7, clock_timestamp())
            ON CONFLICT (payment) DO NOTHING RETURNING number
        ), due AS (
            INSERT INTO outbox (payment) SELECT number FROM saved
        ), noted AS (
            UPDATE sagas SET next_seq = next_seq + 1
            WHERE name = $1 AND EXISTS (SELECT 1 FROM saved)
            RETURNING number, next_seq - 1 AS seq, epoch
        ), entry AS (
            INSERT INTO journal (saga, seq, epoch, source, body)
            SELECT number, seq, epoch, 'ledger', $8 FROM noted
        )
        SELECT number FROM saved";
    saved = "SELECT status, minor, currency FROM payments WHERE payment = $1";
    /// If there is no row yet, writes a tombstone.
    void = "
        WITH voided AS (
            INSERT INTO payments (payment, transaction_id, status, voided_at)
            VALUES ($1, $2, 'voided', clock_timestamp())
            ON CONFLICT (payment) DO UPDATE SET status = 'voided', voided_at = clock_timestamp()
                WHERE payments.status <> 'voided'
            RETURNING number
        ), noted AS (
            UPDATE sagas SET next_seq = next_seq + 1
            WHERE name = $1 AND EXISTS (SELECT 1 FROM voided)
            RETURNING number, next_seq - 1 AS seq, epoch
        ), entry AS (
            INSERT INTO journal (saga, seq, epoch, source, body)
            SELECT number, seq, epoch, 'ledger', $3 FROM noted
        )
        SELECT number FROM voided";
    /// A separate statement: the one before may have waited for a save, and cannot see the outbox
    /// entry that this save has written since.
    no_receipt = "DELETE FROM outbox WHERE payment = $1";
    pending = "
        SELECT p.payment, p.transaction_id, p.order_id, p.minor, p.currency, p.email
        FROM outbox o JOIN payments p ON p.number = o.payment ORDER BY o.payment LIMIT $1";
    receipt_sent = "
        DELETE FROM outbox
        WHERE payment = (SELECT number FROM payments WHERE transaction_id = $1)";
    /// Locked until the end of the transaction: no other process claims it meanwhile.
    outbox_entry = "
        SELECT o.payment, o.sender::bigint, o.claims, o.in_doubt
        FROM outbox o JOIN payments p ON p.number = o.payment
        WHERE p.transaction_id = $1 FOR UPDATE OF o";
    /// A claim is in doubt until it is released: its process may die before that.
    claim_receipt = "
        UPDATE outbox SET sender = $2, claims = claims + 1, in_doubt = true WHERE payment = $1";
    release_receipt = "
        UPDATE outbox SET sender = NULL, in_doubt = $3
        WHERE sender = $2 AND payment = (SELECT number FROM payments WHERE transaction_id = $1)";

    receipt_failed = "
        UPDATE outbox SET failures = failures + 1, cause = $2
        WHERE payment = (SELECT number FROM payments WHERE payment = $1)";
    rows = "
        SELECT number, payment, transaction_id, order_id, intent, minor, currency, status,
            (extract(epoch FROM saved_at) * 1000)::bigint
        FROM payments WHERE number > $1 AND saved_at IS NOT NULL ORDER BY number LIMIT $2";
    counts = "
        SELECT standing, count(*) FROM sagas GROUP BY standing
        UNION ALL SELECT status, count(*) FROM payments GROUP BY status
        UNION ALL SELECT 'receipts', count(*) FROM outbox
        UNION ALL SELECT 'receipts in doubt', count(*) FROM outbox WHERE in_doubt";

    refund = refunds!("WHERE r.name = $1");
    refunds_of = refunds!("WHERE p.payment = $1 ORDER BY r.number");
    open_refunds = "
        SELECT name FROM refunds WHERE state = 'processing' ORDER BY number LIMIT $1";
    /// Locks the row of the payment: one refund of it is recorded at a time.
    charged = "
        SELECT number, status = 'completed', coalesce(minor, 0) FROM payments
        WHERE payment = $1 FOR UPDATE";
    /// A separate statement: it sees what was committed before the lock was granted.
    refunded = "
        SELECT coalesce(sum(minor), 0)::bigint FROM refunds WHERE payment = $1 AND state <> 'failed'";
    new_refund = "
        INSERT INTO refunds (name, payment, asked, minor, state, owner)
        VALUES ($1, $2, $3, $4, 'processing', $5)";
    lock_refund = "SELECT 1 FROM refunds WHERE name = $1 FOR UPDATE";
    refund_claimed = "UPDATE refunds SET owner = $2, claims = $3 WHERE name = $1";
    /// Writes only under the latest claim.
    refund_attempted = "
        UPDATE refunds SET generation = $3, cause = $4, attempts = attempts + 1,
            owner = CASE WHEN $5 THEN NULL ELSE owner END, changed_at = clock_timestamp()
        WHERE name = $1 AND claims = $2 AND state = 'processing'";
    refund_settled = "
        UPDATE refunds SET state = $3, provider = $4, cause = $5, owner = NULL,
            changed_at = clock_timestamp()
        WHERE name = $1 AND claims = $2 AND state = 'processing'";

    new_event = "
        INSERT INTO events (name, label, kind, subject)
        SELECT $1, label, $3, $4 FROM sagas WHERE name = $2 AND label IS NOT NULL
        ON CONFLICT (name) DO NOTHING";
    unplanned = "
        SELECT number, name, label, kind, subject, (extract(epoch FROM at) * 1000)::bigint
        FROM events WHERE NOT planned ORDER BY number LIMIT $1";
    planned = "UPDATE events SET planned = true WHERE number = $1 AND NOT planned";
    new_delivery = "
        INSERT INTO deliveries (event, label, endpoint, body)
        SELECT number, label, $2, $3 FROM events WHERE number = $1";
    /// Deliveries that another process claims at this moment are left out, and not waited for.
    claim_deliveries = deliveries!(
        "WITH due AS (
            SELECT number FROM deliveries WHERE state = 'pending' AND due_at <= clock_timestamp()
            ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        UPDATE deliveries d SET claims = claims + 1,
            due_at = clock_timestamp() + $2::bigint * interval '1 millisecond'
        FROM due, events e WHERE d.number = due.number AND e.number = d.event RETURNING",
        ""
    );
    deliveries = deliveries!(
        "SELECT",
        "FROM deliveries d JOIN events e ON e.number = d.event
        WHERE ($1::text IS NULL OR d.label = $1) AND ($2::text IS NULL OR d.state = $2)
            AND ($3::bigint IS NULL OR d.number < $3)
        ORDER BY d.number DESC LIMIT $4"
    );
    /// Writes only under the latest claim.
    delivery_ended = "
        UPDATE deliveries SET state = $3, cause = $4, attempts = attempts + $6,
            due_at = clock_timestamp() + $5::bigint * interval '1 millisecond',
            changed_at = clock_timestamp()
        WHERE number = $1 AND claims = $2 AND state = 'pending'";
    /// Raises the number of claims, so that the end of an attempt that is under way writes nothing.
    replay = "
        UPDATE deliveries SET state = 'pending', attempts = 0, cause = NULL, claims = claims + 1,
            due_at = clock_timestamp(), changed_at = clock_timestamp()
        WHERE number = $1 AND ($2::text IS NULL OR label = $2)";

    arrival = "
        INSERT INTO inbox (name, kind, detail) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
    unhandled = "
        SELECT number, name, kind, detail, attempts FROM inbox
        WHERE outcome IS NULL ORDER BY number LIMIT $1";
    arrival_handled = "
        UPDATE inbox SET outcome = $2, cause = NULL WHERE number = $1 AND outcome IS NULL";
    arrival_failed = "
        UPDATE inbox SET attempts = attempts + 1, cause = $2 WHERE number = $1 AND outcome IS NULL";
    payment_of_intent = "SELECT number, payment FROM payments WHERE intent = $1";
    /// A report that is older than the last one changes nothing, and nothing changes a closed dispute.
    new_dispute = "
        INSERT INTO disputes (name, payment, minor, currency, reason, status, is_closed, as_of)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (name) DO UPDATE SET minor = excluded.minor, reason = excluded.reason,
            status = excluded.status, is_closed = excluded.is_closed, as_of = excluded.as_of,
            changed_at = clock_timestamp()
        WHERE NOT disputes.is_closed AND disputes.status <> excluded.status
            AND (excluded.is_closed OR excluded.as_of >= disputes.as_of)";
    disputes_of = disputes!("WHERE p.payment = $1 ORDER BY d.number");
    dispute = disputes!("WHERE d.name = $1");
    refund_failed_late = "
        UPDATE refunds SET state = 'failed', cause = $2, changed_at = clock_timestamp()
        WHERE name = $1 AND state = 'succeeded'";

    /// Locks the end of the trail until the end of the transaction.
    audit_head = concat!(audit_head!(), " FOR UPDATE OF h");
    new_audit = "
        INSERT INTO audit (seq, at, instance, subject, body, hash)
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[])";
    move_head = "UPDATE audit_head SET entries = $1, hash = $2";

    /// A line for each of the two accounts. What is posted already stays as it is: a row that was lost
    /// and is written again is not posted twice. A payment that was voided before it had a row has no
    /// amount.
    post_payment = "
        INSERT INTO postings (payment, refund, reason, account, currency, minor)
        SELECT payment, '', $2, account, currency, sign * minor
        FROM payments, (VALUES ($3::text, 1::bigint), ($4::text, -1)) AS side (account, sign)
        WHERE payment = $1 AND minor IS NOT NULL ON CONFLICT DO NOTHING";
    post_refund = "
        INSERT INTO postings (payment, refund, reason, account, currency, minor)
        SELECT p.payment, r.name, $2, account, p.currency, sign * r.minor
        FROM refunds r JOIN payments p ON p.number = r.payment,
            (VALUES ($3::text, 1::bigint), ($4::text, -1)) AS side (account, sign)
        WHERE r.name = $1 ON CONFLICT DO NOTHING";
}

/// The parts of a check: one that fails ends at its savepoint, and the transaction goes on.
pub(super) const PART: &str = "SAVEPOINT part";
pub(super) const PART_DONE: &str = "RELEASE part; SAVEPOINT part";
pub(super) const PART_FAILED: &str = "ROLLBACK TO part";

pub(super) const EVERY_ENTRY: &str = "
    SELECT s.name, s.epoch, s.standing,
        EXISTS (SELECT 1 FROM payments WHERE payment = s.name)::integer::bigint,
        coalesce(j.seq, 0), coalesce(j.epoch, 0), coalesce(j.source, ''), coalesce(j.body, '')
    FROM sagas s LEFT JOIN journal j ON j.saga = s.number ORDER BY s.number, j.seq";
pub(super) const EVERY_ROW: &str = "
    SELECT p.number, p.payment, p.transaction_id, coalesce(p.order_id, ''), coalesce(p.intent, ''),
        coalesce(p.minor, 0), coalesce(p.currency, ''), p.status,
        coalesce((extract(epoch FROM p.saved_at) * 1000)::bigint, -1),
        EXISTS (SELECT 1 FROM sagas WHERE name = p.payment)::integer::bigint,
        EXISTS (SELECT 1 FROM outbox WHERE payment = p.number)::integer::bigint,
        coalesce(p.email, '')
    FROM payments p ORDER BY p.number";

pub(super) const HAS_REFUNDS: &str = "SELECT to_regclass('refunds') IS NOT NULL";
pub(super) const EVERY_REFUND: &str = "
    SELECT p.payment, coalesce(p.minor, 0), p.status,
        coalesce(sum(r.minor) FILTER (WHERE r.state <> 'failed'), 0)::bigint
    FROM refunds r JOIN payments p ON p.number = r.payment
    GROUP BY p.number, p.payment, p.minor, p.status";

pub(super) const HAS_CHECKSUMS: &str = "SELECT current_setting('data_checksums') = 'on'";
/// Whether the extension is there, and this account may call its functions.
pub(super) const HAS_AMCHECK: &str = "
    SELECT count(*) = 2 FROM pg_extension e
        JOIN pg_depend d ON d.refobjid = e.oid AND d.deptype = 'e'
        JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    WHERE e.extname = 'amcheck' AND has_function_privilege(p.oid, 'EXECUTE')
        AND (p.proname = 'verify_heapam' OR p.proname = 'bt_index_check' AND p.pronargs = 2)";
pub(super) const INDEXES: &str = "
    SELECT c.oid, c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        JOIN pg_class t ON t.oid = i.indrelid JOIN pg_am a ON a.oid = c.relam
    WHERE t.relnamespace = current_schema()::regnamespace AND a.amname = 'btree'
        AND t.relname IN ('sagas', 'journal', 'payments', 'outbox', 'refunds', 'events', 'deliveries',
            'inbox', 'disputes', 'audit', 'audit_head',
            'postings')
    ORDER BY c.relname";
pub(super) const TABLES_TO_CHECK: &str = "
    SELECT oid, relname::text FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
        AND relname IN ('sagas', 'journal', 'payments', 'outbox', 'refunds', 'events', 'deliveries',
            'inbox', 'disputes', 'audit', 'audit_head',
            'postings')
    ORDER BY relname";
/// Checks the order of an index, and that it has every row of its table.
pub(super) const CHECK_INDEX: &str = "SELECT bt_index_check($1::oid, true)";
pub(super) const CHECK_TABLE: &str = "SELECT msg FROM verify_heapam($1::oid)";

pub(super) const HAS_AUDIT: &str = "SELECT to_regclass('audit_head') IS NOT NULL";
pub(super) const AUDIT_HEAD: &str = audit_head!();
pub(super) const EVERY_AUDIT: &str = "
    SELECT seq, at, instance, subject, body, hash FROM audit ORDER BY seq";
/// Each row with the entries about it.
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
    SELECT subject FROM audit a WHERE body LIKE '{"change":"row\_saved",%'
        AND NOT EXISTS (SELECT 1 FROM payments WHERE payment = a.subject)
    UNION ALL SELECT subject FROM audit a WHERE body LIKE '{"change":"refund\_begun",%'
        AND NOT EXISTS (SELECT 1 FROM refunds WHERE name = a.subject)"#;

pub(super) const HAS_POSTINGS: &str = "SELECT to_regclass('postings') IS NOT NULL";
