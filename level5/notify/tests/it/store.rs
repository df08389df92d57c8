//! What both stores promise, and what the file promises besides.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::Path;

use notifier::profile::{Known, Profile, Way};
use notifier::store::{
    Applied, Change, Disk, End, InboxItem, Limits, Memory, Parcel, ParcelState, Status, Store,
    StoreError,
};

use crate::office::entry;

fn limits() -> Limits {
    let count = |count: usize| NonZeroUsize::new(count).unwrap();
    Limits { ended: count(3), dead: count(2), inbox: count(2) }
}

fn item(id: &str) -> InboxItem {
    let at = entry(id, "ann").accepted_at;
    InboxItem { number: 0, id: id.to_owned(), topic: "it".to_owned(), text: id.to_owned(), at }
}

fn sent() -> End {
    End::Sent { via: vec![Way::Mail] }
}

fn dead() -> End {
    End::Dead { why: "no channel".to_owned() }
}

fn parcel(key: &str, state: ParcelState) -> Parcel {
    Parcel { key: key.to_owned(), way: Way::Mail, ids: vec!["1".to_owned()], state }
}

async fn change(store: &dyn Store, changes: Vec<Change>) -> Vec<Applied> {
    store.apply(changes).await.unwrap()
}

async fn accepts(store: &dyn Store, id: &str) -> bool {
    change(store, vec![Change::Accept(entry(id, "ann"))]).await == [Applied::Done]
}

async fn ends(store: &dyn Store, id: &str, end: End) -> bool {
    change(store, vec![Change::End(id.to_owned(), end)]).await == [Applied::Done]
}

fn pending(store: &dyn Store) -> Vec<String> {
    store.load().unwrap().pending.into_iter().map(|entry| entry.request.id).collect()
}

/// The promises of the trait.
async fn keeps_its_promises(store: &dyn Store) {
    // In the order of acceptance, each id once.
    for id in ["2", "1", "3"] {
        assert!(accepts(store, id).await);
        assert!(!accepts(store, id).await);
    }
    assert_eq!(pending(store), ["2", "1", "3"]);
    assert_eq!(store.load().unwrap().pending[0], entry("2", "ann"));
    assert_eq!(store.status("1").unwrap(), Some(Status::Pending));
    assert_eq!(store.status("0").unwrap(), None);
    change(store, vec![Change::Forget("3".to_owned())]).await;
    assert_eq!(store.status("3").unwrap(), None);
    assert!(accepts(store, "3").await);
    // An id that has ended is known, until others have ended after it.
    assert!(ends(store, "1", sent()).await);
    assert!(!ends(store, "1", dead()).await);
    assert!(!ends(store, "0", sent()).await);
    assert_eq!(store.status("1").unwrap(), Some(Status::Ended(sent())));
    assert!(!accepts(store, "1").await);
    for id in ["4", "5", "6"] {
        assert!(accepts(store, id).await && ends(store, id, End::Expired).await);
    }
    assert_eq!(store.status("1").unwrap(), None);
    assert_eq!(store.status("4").unwrap(), Some(Status::Ended(End::Expired)));
    assert!(accepts(store, "1").await);
    assert_eq!(pending(store), ["2", "3", "1"]);
    // A dead letter may come again, and is none then.
    assert!(ends(store, "2", dead()).await);
    let letters = |store: &dyn Store| {
        let letters = store.letters().unwrap().into_iter();
        letters.map(|letter| letter.entry.request.id).collect::<Vec<_>>()
    };
    assert_eq!(letters(store), ["2"]);
    assert!(
        matches!(store.status("2").unwrap(), Some(Status::Dead(letter)) if letter.why == "no channel")
    );
    assert!(accepts(store, "2").await);
    assert!(letters(store).is_empty());
    for id in ["1", "2", "3"] {
        assert!(ends(store, id, dead()).await);
    }
    assert_eq!(letters(store), ["2", "3"]);
    assert_eq!(store.status("1").unwrap(), None);
    // Parcels and profiles are replaced.
    let refused = parcel("a", ParcelState::Refused("no".to_owned()));
    change(
        store,
        vec![Change::Parcel(parcel("a", ParcelState::Begun)), Change::Parcel(refused.clone())],
    )
    .await;
    assert_eq!(store.load().unwrap().parcels, [refused]);
    let gone = vec![Change::DropParcel("a".to_owned()), Change::DropParcel("a".to_owned())];
    assert_eq!(change(store, gone).await, [Applied::Done, Applied::Nothing]);
    let since = entry("1", "ann").accepted_at;
    let known = |language: &str| {
        let profile = Profile { language: language.to_owned(), ..Profile::in_app() };
        Known { profile, since }
    };
    for language in ["en", "de"] {
        change(store, vec![Change::Profile("ann".to_owned(), known(language))]).await;
    }
    assert_eq!(store.load().unwrap().profiles, [("ann".to_owned(), known("de"))]);
    // The list of a user has each message once, with rising numbers, and the newest ones.
    let file = |user: &str, id: &str| Change::Inbox(user.to_owned(), item(id));
    assert_eq!(
        change(store, vec![file("ann", "1"), file("ben", "1"), file("ann", "1")]).await,
        [Applied::Done, Applied::Done, Applied::Nothing]
    );
    change(store, vec![file("ann", "2"), file("ann", "3")]).await;
    let list = store.inbox("ann", 0, 10).unwrap();
    assert_eq!(list.iter().map(|item| &*item.id).collect::<Vec<_>>(), ["2", "3"]);
    assert!(list[0].number < list[1].number);
    assert_eq!(store.inbox("ann", list[0].number, 10).unwrap(), list[1..]);
    assert_eq!(store.inbox("ann", 0, 1).unwrap(), list[..1]);
    assert!(store.inbox("ann", list[1].number, 10).unwrap().is_empty());
    assert_eq!(store.inbox("ben", 0, 10).unwrap().len(), 1);
    assert!(store.inbox("eve", 0, 10).unwrap().is_empty());
}

#[tokio::test]
async fn memory_keeps_its_promises() {
    keeps_its_promises(&Memory::new(limits())).await;
}

fn open(folder: &Path) -> Result<Disk, StoreError> {
    Disk::open(folder.join("store.redb"), limits())
}

#[tokio::test]
async fn a_file_keeps_its_promises_and_everything_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    keeps_its_promises(&store).await;
    assert!(accepts(&store, "7").await);
    let (loaded, letters) = (store.load().unwrap(), store.letters().unwrap());
    let list = store.inbox("ann", 0, 10).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::InUse { .. })));
    drop(store);
    let store = open(folder.path()).unwrap();
    assert_eq!((store.load().unwrap(), store.letters().unwrap()), (loaded, letters));
    assert_eq!(store.inbox("ann", 0, 10).unwrap(), list);
    // Numbers go on.
    change(&store, vec![Change::Inbox("ann".to_owned(), item("8"))]).await;
    assert!(store.inbox("ann", list[1].number, 10).unwrap()[0].number > list[1].number);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_come_together_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let calls =
        (0..500).map(|number| store.apply(vec![Change::Accept(entry(&number.to_string(), "ann"))]));
    let applied = futures::future::join_all(calls).await;
    assert!(applied.into_iter().all(|applied| applied.unwrap() == [Applied::Done]));
    // Calls at the same time have no order.
    let (kept, expected) = (pending(&store), (0..500).map(|number| number.to_string()));
    assert_eq!(kept.len(), 500);
    assert_eq!(kept.into_iter().collect::<HashSet<_>>(), expected.collect());
}

#[tokio::test]
async fn another_file_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    std::fs::write(&file, "a text of another program, which is longer than a header").unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::NotAStore { .. })));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("a text of another program"));
}
