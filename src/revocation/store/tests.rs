use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::super::digest::{Revocation, Selector};
use super::*;

const NOW: UnixTime = UnixTime::from_seconds(1_000_000);

fn entry(value: &str, lifetime: i64) -> Entry {
    let revocation = Revocation {
        issuer: "https://id.example.com".into(),
        selector: Some(Selector::Jti(value.into())),
        issued_before: NOW,
    };
    revocation.entry(UnixTime::from_seconds(NOW.as_seconds() + lifetime))
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("revocations.log");
    (folder, path)
}

fn store(path: &Path) -> Arc<Revocations> {
    let store = Revocations::new(1_000_000, Epoch::default());
    store.open(path, NOW).expect("a sound file");
    store
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

fn revoke(store: &Revocations, entry: Entry) -> Result<usize, RevokeError> {
    block_on(store.revoke(vec![entry], Origin::Here, NOW))
}

// The lock is released when the thread that writes has ended.
fn reopened(store: Arc<Revocations>, path: &Path) -> Arc<Revocations> {
    drop(store);
    let again = Revocations::new(1_000_000, Epoch::default());
    for _ in 0..10_000 {
        match again.open(path, NOW) {
            Ok(_) => return again,
            Err(FileFault::Locked { .. }) => std::thread::yield_now(),
            Err(fault) => panic!("{fault}"),
        }
    }
    panic!("the file stays locked")
}

#[test]
fn generation_advances_only_with_what_is_new() {
    let epoch = Epoch::default();
    let store = Revocations::new(9, epoch.clone());
    let before = (store.generation(), epoch.now());
    assert_eq!(store.add(&entry("a", 10), Origin::Here, NOW), Ok(true));
    let after = (store.generation(), epoch.now());
    assert_eq!(after, (before.0 + 1, before.1 + 1));
    assert_eq!(store.add(&entry("a", 10), Origin::Here, NOW), Ok(false));
    assert_eq!((store.generation(), epoch.now()), after);
}

#[test]
fn full_store_makes_room_only_by_what_has_expired() {
    let store = Revocations::new(1, Epoch::default());
    assert_eq!(store.add(&entry("a", 10), Origin::Here, NOW), Ok(true));
    assert_eq!(store.add(&entry("b", 10), Origin::Here, NOW), Err(Full));
    let later = NOW.later_by(std::time::Duration::from_secs(10));
    assert_eq!(store.add(&entry("b", 20), Origin::Here, later), Ok(true));
    assert_eq!(store.counts().refused, 1);
}

#[test]
fn listeners_hear_what_was_added_here_and_nothing_of_the_fleet() {
    let store = Revocations::new(9, Epoch::default());
    let mut listener = store.listen();
    let _ = store.add(&entry("fleet", 10), Origin::Fleet, NOW);
    let _ = store.add(&entry("here", 10), Origin::Here, NOW);
    let _ = store.add(&entry("here", 10), Origin::Here, NOW);
    assert_eq!(listener.try_recv().ok(), Some(entry("here", 10)));
    assert!(listener.try_recv().is_err());
}

#[test]
fn confirmed_revocations_survive_a_restart() {
    let (_folder, path) = folder();
    let first = store(&path);
    for value in ["a", "b"] {
        assert!(matches!(revoke(&first, entry(value, 10)), Ok(1)));
    }
    assert!(matches!(revoke(&first, entry("expired", 0)), Ok(1)));
    let again = reopened(first, &path);
    let mut found = again.entries();
    found.sort_by_key(|entry| entry.digest);
    let mut expected = vec![entry("a", 10), entry("b", 10)];
    expected.sort_by_key(|entry| entry.digest);
    assert_eq!(found, expected);
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).expect("text").lines().count(), 3);
}

#[test]
fn file_of_another_process_is_refused() {
    let (_folder, path) = folder();
    let _first = store(&path);
    let second = Revocations::new(9, Epoch::default());
    let fault = second.open(&path, NOW).expect_err("it is locked");
    assert!(matches!(fault, FileFault::Locked { .. }), "{fault}");
}

#[test]
fn torn_last_line_is_removed_and_later_lines_are_whole() {
    let (_folder, path) = folder();
    let first = store(&path);
    revoke(&first, entry("a", 10)).expect("a disk");
    let first = reopened(first, &path);
    let whole = fs::read(&path).expect("the file");
    drop(first);
    fs::write(&path, [&whole[..], b"0123456789abcdef 17"].concat()).expect("a disk");
    let again = reopened(Revocations::new(1, Epoch::default()), &path);
    assert_eq!(fs::read(&path).expect("the file"), whole);
    revoke(&again, entry("b", 10)).expect("a disk");
    assert_eq!(reopened(again, &path).entries().len(), 2);
}

#[test]
fn damaged_file_is_refused_with_its_line_and_left_as_it_is() {
    let (_folder, path) = folder();
    let first = store(&path);
    revoke(&first, entry("a", 10)).expect("a disk");
    drop(reopened(first, &path));
    let mut bytes = fs::read(&path).expect("the file");
    bytes[30] ^= 1;
    fs::write(&path, &bytes).expect("a disk");
    for _ in 0..10_000 {
        match Revocations::new(1, Epoch::default()).open(&path, NOW) {
            Err(FileFault::Locked { .. }) => std::thread::yield_now(),
            found => {
                let fault = found.expect_err("damaged").to_string();
                assert!(
                    fault.contains("revocations.log:2: expected a revocation"),
                    "{fault}"
                );
                assert_eq!(fs::read(&path).expect("the file"), bytes);
                return;
            }
        }
    }
    panic!("the file stays locked")
}

#[test]
fn file_of_mostly_expired_lines_is_rewritten_and_stays_locked() {
    let (_folder, path) = folder();
    let first = store(&path);
    let many = (0..5000).map(|number| entry(&number.to_string(), 1));
    block_on(first.revoke(many.collect(), Origin::Here, NOW)).expect("a disk");
    let later = NOW.later_by(std::time::Duration::from_secs(1));
    assert_eq!(first.remove_expired(later), 5000);
    revoke(&first, entry("a", 10)).expect("a disk");
    // The next write ends after the rewriting of the previous one, which may have its entry, too.
    revoke(&first, entry("b", 10)).expect("a disk");
    let text = fs::read_to_string(&path).expect("text");
    assert!(text.lines().count() <= 4);
    let second = Revocations::new(9, Epoch::default()).open(&path, NOW);
    assert!(matches!(second, Err(FileFault::Locked { .. })));
    assert_eq!(reopened(first, &path).entries().len(), 2);
}

#[test]
fn directory_and_missing_folder_are_errors() {
    let (folder, path) = folder();
    let missing = path.join("revocations.log");
    for path in [folder.path(), &missing] {
        let fault = Revocations::new(1, Epoch::default()).open(path, NOW);
        assert!(
            matches!(fault, Err(FileFault::Unusable { .. })),
            "{fault:?}"
        );
    }
}

#[test]
fn million_entries_are_added_and_found_within_bounds() {
    let store = Revocations::new(1_000_000, Epoch::default());
    let begin = crate::clock::now();
    for number in 0..1_000_000_u64 {
        let mut digest = [0; 16];
        // As uniform as a hash, and cheaper in a build without optimisation.
        digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let entry = Entry {
            digest: super::super::Digest::from_bytes(digest),
            issued_before: super::super::IssuedBefore::Always,
            expires: NOW.later_by(std::time::Duration::from_secs(60)),
        };
        assert_eq!(store.add(&entry, Origin::Fleet, NOW), Ok(true));
    }
    assert_eq!(
        store.add(&entry("one more", 9), Origin::Here, NOW),
        Err(Full)
    );
    assert_eq!(store.counts().entries, 1_000_000);
    assert!(
        store.entries.capacity() <= 1_700_000,
        "{}",
        store.entries.capacity()
    );
    println!("{:?}", crate::clock::since(begin));
}

#[test]
fn what_found_room_is_in_the_file_although_the_rest_did_not() {
    let (_folder, path) = folder();
    let store = Revocations::new(2, Epoch::default());
    store.open(&path, NOW).expect("a sound file");
    let three = ["a", "b", "c"].map(|value| entry(value, 10));
    let outcome = block_on(store.revoke(three.to_vec(), Origin::Fleet, NOW));
    assert!(matches!(outcome, Err(RevokeError::Full(_))), "{outcome:?}");
    assert_eq!(store.entries().len(), 2);
    assert_eq!(reopened(store, &path).entries().len(), 2);
}

#[test]
fn events_leave_room_for_others_who_revoke() {
    let store = Revocations::new(16, Epoch::default());
    let add = |number: u32, origin| store.add(&entry(&number.to_string(), 10), origin, NOW);
    for number in 0..15 {
        assert_eq!(add(number, Origin::Event), Ok(true));
    }
    assert_eq!(add(15, Origin::Event), Err(Full));
    assert_eq!(add(0, Origin::Event), Ok(false), "a known one");
    assert_eq!(add(16, Origin::Here), Ok(true));
    assert_eq!(add(17, Origin::Here), Err(Full));
}

#[test]
fn file_that_was_removed_or_replaced_gets_everything_again() {
    let (folder, path) = folder();
    let first = store(&path);
    revoke(&first, entry("a", 10)).expect("a disk");
    fs::remove_file(&path).expect("the file");
    revoke(&first, entry("b", 10)).expect("a disk");
    let first = reopened(first, &path);
    assert_eq!(first.entries().len(), 2);

    // By a backup that has something else.
    let beside = folder.path().join("backup");
    let other = store(&beside);
    revoke(&other, entry("c", 10)).expect("a disk");
    drop(reopened(other, &beside));
    fs::rename(&beside, &path).expect("a rename");
    let epoch = first.epoch().now();
    // The backup may still be locked by the thread that wrote it.
    while revoke(&first, entry("d", 10)).is_err() {
        std::thread::yield_now();
    }
    assert_eq!(first.entries().len(), 4, "what the backup had counts");
    assert!(first.epoch().now() >= epoch + 2);
    assert_eq!(reopened(first, &path).entries().len(), 4);
}

#[test]
fn file_that_was_replaced_by_something_else_is_an_error_until_it_is_gone() {
    let (_folder, path) = folder();
    let first = store(&path);
    revoke(&first, entry("a", 10)).expect("a disk");
    fs::remove_file(&path).expect("the file");
    fs::write(&path, "something else\n").expect("a disk");
    let outcome = revoke(&first, entry("b", 10));
    let Err(RevokeError::NotWritten(error)) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        error.to_string().contains("expected a revocation"),
        "{error}"
    );
    let left = fs::read_to_string(&path).expect("the file");
    assert_eq!(left, "something else\n");
    assert_eq!(first.counts().unwritten, 1);
    fs::remove_file(&path).expect("the file");
    revoke(&first, entry("c", 10)).expect("a disk");
    assert_eq!(reopened(first, &path).entries().len(), 3);
}

#[test]
fn file_that_cannot_be_rewritten_is_used_as_it_is() {
    let (folder, path) = folder();
    let first = store(&path);
    revoke(&first, entry("expired", 0)).expect("a disk");
    revoke(&first, entry("a", 10)).expect("a disk");
    // Nothing can be written beside it, as in a folder that is read-only.
    let beside = folder.path().join("revocations.log.new");
    fs::create_dir_all(beside.join("full")).expect("a folder");
    let again = reopened(first, &path);
    assert_eq!(again.entries(), [entry("a", 10)]);
    revoke(&again, entry("b", 10)).expect("a disk");
    assert_eq!(reopened(again, &path).entries().len(), 2);
}

#[test]
fn file_of_a_running_gateway_is_read_and_left_as_it_is() {
    let (_folder, path) = folder();
    let first = store(&path);
    revoke(&first, entry("a", 10)).expect("a disk");
    revoke(&first, entry("expired", 0)).expect("a disk");
    let before = fs::read(&path).expect("the file");
    let reader = Revocations::new(1, Epoch::default());
    assert_eq!(reader.read(&path, NOW).expect("a sound file"), 1);
    assert_eq!(reader.entries(), [entry("a", 10)]);
    assert_eq!(fs::read(&path).expect("the file"), before);
    assert!(reader.read(&path.join("none"), NOW).is_err());
}

#[test]
fn file_that_was_cut_while_the_gateway_runs_gets_everything_again() {
    let (_folder, path) = folder();
    let first = store(&path);
    for value in ["a", "b"] {
        revoke(&first, entry(value, 10)).expect("a disk");
    }
    // As some tools rotate logs: the file is copied, and then emptied.
    fs::write(&path, "").expect("a disk");
    revoke(&first, entry("c", 10)).expect("a disk");
    assert_eq!(reopened(first, &path).entries().len(), 3);
}
