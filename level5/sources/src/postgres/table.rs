//! The statements about a table and its log.

use std::fmt;

use super::PostgresError;

/// The most bytes of a name. PostgreSQL cuts names at 63, and the names of the log are longer than that of its table.
const MOST: usize = 48;

/// A table whose rows are records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    schema: String,
    name: String,
    id: String,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl Table {
    /// The table `name` in the schema `schema`. The column `id`, its primary key, names the records. All names are as the
    /// server has them, with their capital letters.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Name`].
    pub fn new(schema: &str, name: &str, id: &str) -> Result<Self, PostgresError> {
        for text in [schema, name, id] {
            if text.is_empty() || text.len() > MOST || text.contains('\0') {
                return Err(PostgresError::Name(text.to_owned()));
            }
        }
        let (schema, name, id) = (schema.to_owned(), name.to_owned(), id.to_owned());
        Ok(Self { schema, name, id })
    }

    /// A name of the table or of its log, with its schema: triggers run with the search path of those who write.
    fn named(&self, end: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&format!("{}{end}", self.name)))
    }

    /// Makes the log: a row for each record, with its last change.
    ///
    /// In one transaction, and the triggers before the rows that are there: a write in between is noted by its trigger. `at`
    /// and `logical_time` are set again under the lock of the log's row, so they are in the order of the writes: the values of
    /// the insert are older than the wait for that lock.
    pub(super) fn log(&self) -> String {
        let (table, log, id) = (self.named(""), self.named("_sync"), quoted(&self.id));
        let (time, note, cut) =
            (self.named("_sync_time"), self.named("_sync_note"), self.named("_sync_cut"));
        let number = format!("nextval({})", literal(&time));
        let index = |end: &str| quoted(&format!("{}_sync_{end}", self.name));
        let (by_text, by_xact) = (index("text"), index("xact"));
        let noted = |key: &str, deleted: &str| {
            format!(
                "insert into {log} as known (id, at, logical_time, xact, deleted)
                 values ({key}, clock_timestamp(), {number}, pg_current_xact_id(), {deleted})
                 on conflict (id) do update set at = greatest(clock_timestamp(), known.at),
                    logical_time = {number}, xact = pg_current_xact_id(), deleted = {deleted};"
            )
        };
        let (gone, there) =
            (noted(&format!("old.{id}"), "true"), noted(&format!("new.{id}"), "false"));
        let safe = "language plpgsql security definer set search_path = pg_catalog, pg_temp";
        format!(
            "begin;
             create sequence if not exists {time};
             create table if not exists {log} as
                select {id} as id, clock_timestamp() as at, 0::bigint as logical_time,
                    '0'::xid8 as xact, false as deleted from {table} with no data;
             do $do$ begin
                if not exists (select from pg_constraint
                    where conrelid = {log_literal}::regclass and contype = 'p') then
                    alter table {log} add primary key (id), alter at set not null,
                        alter logical_time set not null, alter xact set not null,
                        alter deleted set not null;
                end if;
             end $do$;
             create index if not exists {by_text} on {log} ((id::text));
             create index if not exists {by_xact} on {log} (xact);
             create or replace function {note}() returns trigger {safe} as $do$ begin
                if tg_op = 'DELETE' or tg_op = 'UPDATE' and old.{id} is distinct from new.{id} then
                    {gone}
                end if;
                if tg_op <> 'DELETE' then
                    {there}
                end if;
                return null;
             end $do$;
             create or replace function {cut}() returns trigger {safe} as $do$ begin
                update {log} set at = greatest(clock_timestamp(), at), logical_time = {number},
                    xact = pg_current_xact_id(), deleted = true where not deleted;
                return null;
             end $do$;
             drop trigger if exists sync_note on {table};
             create trigger sync_note after insert or update or delete on {table}
                for each row execute function {note}();
             drop trigger if exists sync_cut on {table};
             create trigger sync_cut after truncate on {table}
                for each statement execute function {cut}();
             insert into {log} (id, at, logical_time, xact, deleted)
                select {id}, clock_timestamp(), {number}, pg_current_xact_id(), false from {table}
                on conflict (id) do nothing;
             commit;",
            log_literal = literal(&log),
        )
    }

    /// The statement for what transactions from `$1` on have changed. It has a row at least, for `oldest`: that and the rows
    /// are from one snapshot, since they are from one statement.
    pub(super) fn changed(&self) -> String {
        let (table, log, id) = (self.named(""), self.named("_sync"), quoted(&self.id));
        let columns = self.columns();
        format!(
            "select oldest::text, {columns}
             from (select pg_snapshot_xmin(pg_current_snapshot()) as oldest) as snapshot
             left join {log} as log on log.xact >= $1::text::xid8
             left join {table} as item on item.{id} = log.id"
        )
    }

    /// The statement for the records with the ids `$1`. As texts, since an id of another source may be no value of the column.
    pub(super) fn some(&self) -> String {
        let (table, log, id) = (self.named(""), self.named("_sync"), quoted(&self.id));
        let columns = self.columns();
        format!(
            "select {columns} from {log} as log left join {table} as item on item.{id} = log.id
             where log.id::text = any($1::text[])"
        )
    }

    fn columns(&self) -> String {
        let id = literal(&self.id);
        format!(
            "log.id::text as id, (extract(epoch from log.at) * 1000000)::bigint as at,
             log.logical_time, (to_jsonb(item.*) - {id}::text)::text as content"
        )
    }
}

/// A name as SQL reads it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL reads it.
fn literal(text: &str) -> String {
    // With `E`: in a plain literal a setting of the server decides what a backslash means.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
