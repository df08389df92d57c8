//! Compares the rows of the ledger and the refunds with what the trail says about them.

use super::change::Change;
use crate::sql::StoreFault;
use crate::sql::row::Columns;

/// Faults that are kept one by one; more of them are counted.
const KEPT: usize = 1000;

/// Collects what differs.
///
/// [`row`](Self::row) and [`refund`](Self::refund) get one line for each row or refund and each entry
/// about it, in the order of the entries; one without entries has a line with an empty change.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    current: Option<Current>,
    found: u64,
    faults: Vec<StoreFault>,
}

/// The values of a thing, each with its name.
type Values = Vec<(&'static str, String)>;

#[derive(Debug)]
struct Current {
    what: &'static str,
    name: String,
    /// As the table has it.
    is: Values,
    /// As the entries so far say.
    said: Option<Values>,
}

impl Comparison {
    fn fault(&mut self, at: String, what: String) {
        self.found += 1;
        if self.faults.len() < KEPT {
            self.faults.push(StoreFault { at, what });
        }
    }

    /// Gets the payment, the name of the row, its order, intent, minor units, currency and status, and a
    /// change.
    pub(crate) fn row<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        let name = row.text(0)?;
        if self.is_another("row", &name) {
            let is = values(
                row.text(1)?,
                row.text(2)?,
                row.text(3)?,
                row.number(4)?,
                row.text(5)?,
                &row.text(6)?,
            );
            self.begin("row", name, is);
        }
        self.say(&row.text(7)?, |change, said| match change {
            Change::RowSaved { transaction, order, intent, minor, currency } => {
                Some(values(transaction, order, intent, minor, currency, "completed"))
            }
            Change::RowVoided => Some(match said {
                Some(said) => with(said, "status", "voided"),
                // Its name is derived from that of the payment, which a check compares.
                None => Vec::new(),
            }),
            _ => said,
        });
        Ok(())
    }

    /// Gets the name of a refund, its payment, minor units, currency and state, the provider's name of
    /// it, and a change.
    pub(crate) fn refund<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        let name = row.text(0)?;
        if self.is_another("refund", &name) {
            let is = vec![
                ("payment", row.text(1)?),
                ("amount", row.number(2)?.to_string()),
                ("currency", row.text(3)?),
                ("state", row.text(4)?),
                ("provider", row.text(5)?),
            ];
            self.begin("refund", name, is);
        }
        self.say(&row.text(6)?, |change, said| match change {
            Change::RefundBegun { payment, minor, currency } => Some(vec![
                ("payment", payment),
                ("amount", minor.to_string()),
                ("currency", currency),
                ("state", "processing".to_owned()),
                ("provider", String::new()),
            ]),
            Change::RefundSucceeded { provider } => {
                said.map(|said| with(with(said, "state", "succeeded"), "provider", &provider))
            }
            Change::RefundFailed { .. } => said.map(|said| with(said, "state", "failed")),
            _ => said,
        });
        Ok(())
    }

    /// Gets the name of a row or a refund that the trail has and the tables do not.
    pub(crate) fn missing<R: Columns>(&mut self, row: &R) -> Result<(), R::Fault> {
        self.fault(
            row.text(0)?,
            "the trail says that it was written, and it is missing".to_owned(),
        );
        Ok(())
    }

    fn is_another(&self, what: &str, name: &str) -> bool {
        self.current.as_ref().is_none_or(|current| current.what != what || current.name != name)
    }

    fn begin(&mut self, what: &'static str, name: String, is: Values) {
        self.settle();
        self.current = Some(Current { what, name, is, said: None });
    }

    fn say(&mut self, change: &str, next: impl FnOnce(Change, Option<Values>) -> Option<Values>) {
        let Some(mut current) = self.current.take() else { return };
        if !change.is_empty() {
            match Change::decode(change) {
                Ok(change) => current.said = next(change, current.said.take()),
                Err(error) => self.fault(current.name.clone(), error.to_string()),
            }
        }
        self.current = Some(current);
    }

    /// Compares a thing with its entries, when all of them are read.
    fn settle(&mut self) {
        let Some(Current { what, name, is, said }) = self.current.take() else { return };
        let Some(said) = said else {
            return self.fault(name, format!("the trail does not know its {what}"));
        };
        // A payment that was voided before it had a row.
        if said.is_empty() {
            if !is.contains(&("status", "voided".to_owned())) {
                self.fault(name, format!("the trail says that its {what} was voided"));
            }
            return;
        }
        let differs = |((field, is), (_, said)): (&(&'static str, String), &(_, String))| {
            (is != said).then_some(*field)
        };
        let fields: Vec<_> = is.iter().zip(&said).filter_map(differs).collect();
        if !fields.is_empty() {
            let fields = fields.join(", ");
            self.fault(name, format!("the trail says something else about its {what}: {fields}"));
        }
    }

    pub(crate) fn end(mut self) -> (u64, Vec<StoreFault>) {
        self.settle();
        (self.found, self.faults)
    }
}

fn values(
    transaction: String,
    order: String,
    intent: String,
    minor: i64,
    currency: String,
    status: &str,
) -> Values {
    vec![
        ("transaction", transaction),
        ("order", order),
        ("intent", intent),
        ("amount", minor.to_string()),
        ("currency", currency),
        ("status", status.to_owned()),
    ]
}

fn with(mut values: Values, field: &str, value: &str) -> Values {
    for (name, old) in &mut values {
        if *name == field {
            value.clone_into(old);
        }
    }
    values
}
