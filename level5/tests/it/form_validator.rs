//! A form that a user fills in at random, compared with what its rules say in the end.

use std::time::Duration;

use level5::form_validator::{
    CheckFailed, Checking, Code, FieldId, FieldStatus, Form, FormBuilder, FormStatus, Rule,
    Snapshot, Verdict,
};
use tokio::time::sleep;

const FIELDS: [FieldId; 3] = [FieldId::new("a"), FieldId::new("b"), FieldId::new("c")];
const WRONG: Code = Code::new("wrong");

/// Accepts a value whose length with that of the field that it reads is even, after a time that depends on both.
struct Even {
    reads: Vec<FieldId>,
}

fn verdict(value: &str, other: &str) -> Verdict {
    if (value.len() + other.len()).is_multiple_of(2) {
        Verdict::ok()
    } else {
        Verdict::error(WRONG)
    }
}

impl Rule for Even {
    fn name(&self) -> &'static str {
        "even"
    }

    fn reads(&self) -> &[FieldId] {
        &self.reads
    }

    async fn check(&self, value: &str, form: &Snapshot) -> Result<Verdict, CheckFailed> {
        let other = self.reads.first().and_then(|read| form.get(*read)).unwrap_or_default();
        sleep(Duration::from_millis((value.len() * 37 + other.len() * 11) as u64 % 90)).await;
        Ok(verdict(value, other))
    }
}

/// The first field reads none, each other one the field before it.
fn form() -> Form {
    let mut builder = FormBuilder::new();
    for (number, field) in FIELDS.into_iter().enumerate() {
        let reads = number.checked_sub(1).map(|before| FIELDS[before]).into_iter().collect();
        let checking =
            Checking { debounce: Duration::from_millis(20 * number as u64), ..Checking::default() };
        builder = builder.field(field).rule(field, Even { reads }, checking);
    }
    builder.build().expect("a chain is no cycle")
}

fn expected(values: &[String; 3]) -> Vec<FieldStatus> {
    let other = |number: usize| number.checked_sub(1).map_or("", |before| &values[before]);
    let verdicts = (0..3).map(|number| verdict(&values[number], other(number)));
    let status = |verdict: Verdict| match verdict {
        Verdict { errors, warnings } if errors.is_empty() => FieldStatus::Valid { warnings },
        Verdict { errors, warnings } => FieldStatus::Invalid { errors, warnings },
    };
    verdicts.map(status).collect()
}

/// A generator of numbers that needs no crate.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[tokio::test(start_paused = true)]
async fn the_answers_are_about_the_last_values() {
    for seed in 0..200 {
        let (form, mut numbers) = (form(), Numbers(seed));
        let mut values: [String; 3] = Default::default();
        for _ in 0..12 {
            let field = numbers.below(3) as usize;
            values[field] = "x".repeat(numbers.below(6) as usize);
            form.set(FIELDS[field], &values[field]).unwrap();
            sleep(Duration::from_millis(numbers.below(60))).await;
        }
        let statuses: Vec<_> = form.validate_all().await.into_values().collect();
        assert_eq!(statuses, expected(&values), "seed {seed}, values {values:?}");
        let valid = statuses.iter().all(|status| matches!(status, FieldStatus::Valid { .. }));
        let status = if valid { FormStatus::Valid } else { FormStatus::Invalid };
        assert_eq!(*form.status().borrow(), status, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_from_several_threads_are_one_order() {
    let form = std::sync::Arc::new(form());
    let typists = (0..4_usize).map(|typist| {
        let form = std::sync::Arc::clone(&form);
        tokio::spawn(async move {
            for key in 0..50 {
                form.set(FIELDS[(typist + key) % 3], &"x".repeat(key % 7)).unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    for typist in typists.collect::<Vec<_>>() {
        typist.await.unwrap();
    }
    let statuses: Vec<_> = form.validate_all().await.into_values().collect();
    let values = FIELDS.map(|field| form.value(field).unwrap());
    assert_eq!(statuses, expected(&values));
}
