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
