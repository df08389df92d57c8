//! Two servers that get the same records in another order.

use jiff::Timestamp;
use level5::conflict::{
    Fields, Latest, Record, Resolution, SourceId, Stamp, Standing, Standings, Strategy, resolve,
};
use serde_json::json;

fn record(second: i64, source: &str, fields: &[(&str, &str)]) -> Record {
    let at = Timestamp::from_second(second).expect("a second of this century");
    let stamp = Stamp { at, version: 1, source: SourceId::new(source) };
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    Record { stamp, content: Some(fields.collect::<Fields>()) }
}

#[test]
fn two_servers_agree() {
    let till = record(5, "till", &[("city", "Graz"), ("phone", "1")]);
    let web = record(5, "web", &[("city", "Linz"), ("mail", "ann@example.org")]);
    let older = record(4, "web", &[("city", "Wels")]);
    let mut first = Latest::new();
    for record in [&till, &older, &web] {
        first.offer(record.clone());
    }
    let mut second = Latest::new();
    for record in [&web, &till, &older, &till] {
        second.offer(record.clone());
    }
    assert_eq!(first, second);
    let standing = |priority| Standing { priority, trust: 0 };
    let standings: Standings = [("till".into(), standing(9)), ("web".into(), standing(1))].into();
    let Resolution::Decided(merged) = resolve(&first, Strategy::Merge, &standings) else {
        panic!("a merge needs no person");
    };
    let fields = merged.content.expect("no source has deleted the record");
    assert_eq!(json!(fields), json!({"city": "Graz", "mail": "ann@example.org", "phone": "1"}));
    assert_eq!(merged.origins["city"], till.stamp);
    assert_eq!(merged.origins["mail"], web.stamp);
    assert!(matches!(resolve(&second, Strategy::Manual, &standings), Resolution::Open(_)));
}
